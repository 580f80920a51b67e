package module

import (
	"net/http"
	"net/url"
	"strings"

	"github.com/sallyport-gateway/sallyport/flows"
	"github.com/sallyport-gateway/sallyport/module/pages"
)

// land leads to where the person wanted to go.
func (v *visit) land(x *flows.Execution) error {
	if v.stays() {
		return v.vouch.stay()
	}
	if done, err := v.landStepUp(x); done {
		return err
	}
	if x.Hop != nil {
		return v.handOver(x.Flow, x.Hop, x.ReturnTo, x.Attempt)
	}
	return v.landAt(x.ReturnTo, x.Saved)
}

// landAt lets a browser that keeps the address under saved look there first.
func (v *visit) landAt(returnTo, saved string) error {
	origin, path := v.split(returnTo)
	if !validKey(saved) {
		return v.redirect(origin + path)
	}
	return v.redirect(origin + "/.identity/flow?" + url.Values{"resume": {saved}, "return_to": {path}}.Encode())
}

// longAddress lets the browser keep an address that is too long to travel (B05).
func (v *visit) longAddress(returnTo string) error {
	key := newID()
	path, _, _ := strings.Cut(returnTo, "?")
	link := "/.identity/login?" + url.Values{"saved": {key}, "return_to": {safePath(path)}}.Encode()
	if len(link) > maxReturn {
		link = "/.identity/login?" + url.Values{"saved": {key}, "return_to": {"/"}}.Encode()
	}
	v.show(http.StatusOK, pages.View{Kind: pages.KindLongAddress, Key: key, Back: safePath(returnTo), Link: link})
	return nil
}

// savedOf is the key of a run's return address, in the browser's storage of
// whichever host that is on.
func savedOf(x *flows.Execution) string {
	if x.Hop != nil {
		return x.Hop.Saved
	}
	return x.Saved
}

func validKey(s string) bool {
	return len(s) == 26 && strings.Trim(s, "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567") == ""
}
