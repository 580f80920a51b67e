package module

import (
	"crypto/rand"
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

// deviceFor is how long a browser is remembered as one that a person signed in with.
const deviceFor = 90 * 24 * time.Hour

// The device cookie is an id and a mark of it, the name and the origin: it is short
// (B03), nobody can make one, and the name cannot be read in it.
const (
	deviceIDLen   = 13 // of base32: 65 bits
	deviceMarkLen = 16 // of base64: 96 bits
)

func (v *visit) deviceName() string { return v.sideNameBelow("device") }

// deviceMarks are those under every key of the ring.
func (v *visit) deviceMarks(name, id string) ([]string, error) {
	k, err := v.app.keys.ring(v.r.Context())
	if err != nil {
		return nil, err
	}
	marks, err := k.Hashes("device", v.place.origin+" "+id+" "+strings.ToLower(strings.TrimSpace(name)))
	for i, m := range marks {
		marks[i] = m[:deviceMarkLen]
	}
	return marks, err
}

func (v *visit) setDevice(x *flows.Execution) {
	if !slices.ContainsFunc(x.Evidence, func(e flows.Evidence) bool { return e.Method == "password" }) {
		return
	}
	id := rand.Text()[:deviceIDLen]
	marks, err := v.deviceMarks(x.User.Name, id)
	if err != nil {
		return
	}
	v.sideCookie(v.deviceName(), id+marks[0], "/.identity", int(deviceFor.Seconds()))
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
	held := v.sideValue(v.deviceName())
	if len(held) != deviceIDLen+deviceMarkLen {
		return ""
	}
	id, mark := held[:deviceIDLen], held[deviceIDLen:]
	marks, err := v.deviceMarks(name, id)
	if err != nil || !slices.ContainsFunc(marks, func(m string) bool { return equalToken(m, mark) }) {
		return ""
	}
	return id
}
