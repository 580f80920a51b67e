package module

import (
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/sallyport-gateway/sallyport/flows"
)

// Side cookies are small and without rights. The recent one ends loops whose session
// cookie does not come back (B08); the device one gives a known browser a
// budget of its own (B27).

func (v *visit) sideName(what string) string {
	return strings.TrimSuffix(v.pendingName(""), ".p") + "." + what
}

// sideNameBelow is that of a cookie for a path below /.identity: other requests do
// not carry it, and __Host- is for the path / only.
func (v *visit) sideNameBelow(what string) string {
	n := v.sideName(what)
	if rest, ok := strings.CutPrefix(n, "__Host-"); ok {
		return "__Secure-" + rest
	}
	return n
}

// sideValue is "" if the browser sent none.
func (v *visit) sideValue(name string) string {
	c, err := (&http.Request{Header: http.Header{"Cookie": v.cookies}}).Cookie(name)
	if err != nil {
		return ""
	}
	return c.Value
}

func (v *visit) recentName() string { return v.sideName("recent") }

func (v *visit) recentLogins(now time.Time) int {
	if v.session != nil {
		return 0
	}
	n, at, ok := strings.Cut(v.sideValue(v.recentName()), ".")
	count, err1 := strconv.Atoi(n)
	sec, err2 := strconv.ParseInt(at, 10, 64)
	if !ok || err1 != nil || err2 != nil || count < 0 || count > maxAttempts || now.Sub(time.Unix(sec, 0)) > loopWindow {
		return 0
	}
	return count
}

func (v *visit) setRecent(attempt int) {
	v.sideCookie(v.recentName(), strconv.Itoa(min(attempt+1, maxAttempts))+"."+strconv.FormatInt(Now().Unix(), 10), "/", int(loopWindow.Seconds()))
}

func (v *visit) clearRecent() { v.sideCookie(v.recentName(), "", "/", -1) }

func (v *visit) sideCookie(name, value, path string, age int) {
	http.SetCookie(v.w, &http.Cookie{Name: name, Value: value, Path: path, MaxAge: age, Secure: v.place.secure, HttpOnly: true, SameSite: http.SameSiteLaxMode})
}

type deviceToken struct {
	Name string `json:"n"`
	ID   string `json:"d"`
}

// deviceFor is how long a browser is remembered as one that a person signed in with.
const deviceFor = 90 * 24 * time.Hour

func (v *visit) deviceName() string { return v.sideNameBelow("device") }

func (v *visit) setDevice(x *flows.Execution) {
	if !slices.ContainsFunc(x.Evidence, func(e flows.Evidence) bool { return e.Method == "password" }) {
		return
	}
	k, err := v.app.keys.ring(v.r.Context())
	if err != nil {
		return
	}
	name := strings.ToLower(strings.TrimSpace(x.User.Name))
	h, err := k.Hashes("device", name)
	if err != nil {
		return
	}
	b, err := json.Marshal(deviceToken{Name: h[0], ID: rand.Text()[:16]})
	if err != nil {
		return
	}
	sealed, err := k.Seal("device", v.place.origin, b)
	if err != nil {
		return
	}
	v.sideCookie(v.deviceName(), base64.RawURLEncoding.EncodeToString(sealed), "/.identity", int(deviceFor.Seconds()))
}

// The last one is for the chooser, which offers first what was chosen the last time.
func (v *visit) lastName() string { return v.sideNameBelow("last") }

func (v *visit) lastProvider() string {
	if name := v.sideValue(v.lastName()); flows.ValidName(name) {
		return name
	}
	return ""
}

// setLastProvider notes who vouched in this run.
func (v *visit) setLastProvider(x *flows.Execution) {
	if n := len(x.Grants); n > 0 && len(v.app.providers) > 1 && x.Drill == nil {
		v.sideCookie(v.lastName(), x.Grants[n-1].Provider, "/.identity", int(deviceFor.Seconds()))
	}
}

// device is the id of this browser if the named person signed in with it before.
func (v *visit) device(name string) string {
	raw, err := base64.RawURLEncoding.DecodeString(v.sideValue(v.deviceName()))
	if err != nil || len(raw) == 0 {
		return ""
	}
	k, err := v.app.keys.ring(v.r.Context())
	if err != nil {
		return ""
	}
	b, err := k.Open("device", v.place.origin, raw)
	var d deviceToken
	if err != nil || json.Unmarshal(b, &d) != nil {
		return ""
	}
	hs, err := k.Hashes("device", strings.ToLower(strings.TrimSpace(name)))
	if err != nil || !slices.Contains(hs, d.Name) {
		return ""
	}
	return d.ID
}
