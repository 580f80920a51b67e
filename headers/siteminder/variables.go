package siteminder

import (
	"cmp"
	"crypto/rand"
	"encoding/hex"
	"strconv"
	"time"

	"github.com/sallyport-gateway/sallyport/flows"
)

// wantsConstant spares each request the work on what stays the same.
func (d *Dialect) wantsConstant(w flows.HeaderWriter) bool {
	for _, c := range constants {
		if flows.Wants(w, d.name(c.legacy, c.plain)) {
			return true
		}
	}
	for _, a := range d.Attributes {
		if flows.Wants(w, a.Header) {
			return true
		}
	}
	return false
}

// constants are the headers that stay the same while a session lasts.
var constants = [...]struct{ legacy, plain string }{
	{"SM_USER", "SMUSER"},
	{"SM_USERDN", "SMUSERDN"},
	{"SM_UNIVERSALID", "SMUNIVERSALID"},
	{"SM_AUTHTYPE", "SMAUTHTYPE"},
	{"SM_AUTHDIRNAME", "SMAUTHDIRNAME"},
	{"SM_SERVERSESSIONID", "SMSERVERSESSIONID"},
	{"SM_USERGROUPS", "SMUSERGROUPS"},
	{"SM_REALM", "SMREALM"},
	{"SM_REALMOID", "SMREALMOID"},
	{"SM_AUTHDIROID", "SMAUTHDIROID"},
	{"SM_AUTHDIRNAMESPACE", "SMAUTHDIRNAMESPACE"},
	{"SM_AUTHDIRSERVER", "SMAUTHDIRSERVER"},
	{"SM_SDOMAIN", "SMSDOMAIN"},
}

func (d *Dialect) constant(f *flows.Facts, w flows.HeaderWriter) error {
	o := d.HeaderOptions
	o.Single = true
	u, login := f.User, cmp.Or(f.Newest(), new(flows.Evidence))
	dn, universal := d.userDN(u), d.universalID(u)
	for _, h := range [...]struct {
		legacy, plain, value string
		o                    flows.HeaderOptions
	}{
		{"SM_USER", "SMUSER", u.Name, d.ForLogin(u.Name)},
		{"SM_USERDN", "SMUSERDN", dn, d.ForLogin(dn)},
		{"SM_UNIVERSALID", "SMUNIVERSALID", universal, d.ForLogin(universal)},
		{"SM_SERVERSESSIONID", "SMSERVERSESSIONID", sessionID(f), o},
	} {
		if err := w.Set(d.name(h.legacy, h.plain), []string{h.value}, h.o); err != nil {
			return err
		}
	}
	for _, t := range d.texts() {
		switch t.word {
		case "auth_type":
			t.text = d.authType(login)
		case "directory":
			t.text = cmp.Or(d.Directory, login.Provider, u.Provider)
		default:
			if t.text == "" {
				continue
			}
		}
		if err := w.Set(d.name(t.legacy, t.plain), []string{t.text}, o); err != nil {
			return err
		}
	}
	if d.Groups {
		if err := w.Set(d.name("SM_USERGROUPS", "SMUSERGROUPS"), groups(u), d.HeaderOptions); err != nil {
			return err
		}
	}
	return d.Write(u, w, d.HeaderOptions)
}

// perRequest runs for every request: it works out only what is asked for. Both
// are plain ASCII, and no encoding is needed for them.
func (d *Dialect) perRequest(f *flows.Facts, w flows.HeaderWriter) error {
	o := flows.HeaderOptions{Single: true}
	var use struct { // on the heap, but once
		value [1]string
		id    [16]byte
	}
	if n := d.timeToExpire(); f.Session != nil && !f.Session.Expires.IsZero() && flows.Wants(w, n) {
		left := max(f.Session.Expires.Sub(f.Now), 0) / time.Second
		use.value[0] = strconv.FormatInt(int64(left), 10)
		if err := w.Set(n, use.value[:], o); err != nil {
			return err
		}
	}
	if n := d.transactionID(); flows.Wants(w, n) {
		_, _ = rand.Read(use.id[:]) // never fails: crypto/rand ends the process instead
		var text [2 * len(use.id)]byte
		hex.Encode(text[:], use.id[:])
		use.value[0] = string(text[:])
		return w.Set(n, use.value[:], o)
	}
	return nil
}

func (d *Dialect) userDN(u *flows.User) string {
	if d.UserDN != "" {
		return flows.First(u.Lookup(d.UserDN))
	}
	return cmp.Or(flows.First(u.Lookup("dn")), flows.First(u.Lookup("user_dn")))
}

func (d *Dialect) universalID(u *flows.User) string {
	return flows.First(u.Lookup(cmp.Or(d.UniversalID, "subject")))
}

func (d *Dialect) authType(login *flows.Evidence) string {
	switch {
	case d.AuthType != "":
		return d.AuthType
	case login.Method == "password":
		return "Form"
	}
	return login.Method
}

func groups(u *flows.User) []string {
	v, _ := u.Attribute("group_dns")
	if dns, _ := flows.Strings(v); len(dns) > 0 {
		return dns
	}
	return u.Groups
}

// sessionID is the public id: stable while the session lives, and good for nothing else (I13).
func sessionID(f *flows.Facts) string {
	if f.Session == nil {
		return ""
	}
	return f.Session.ID
}
