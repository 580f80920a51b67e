package session_test

import (
	"bytes"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/sallyport-gateway/sallyport/flows"
	"github.com/sallyport-gateway/sallyport/flows/session"
)

// No session is made for somebody who is kept out, also if that is said while it is made;
// others come in, and so do they when they are let in again.
func TestNoSessionIsMadeForTheDisabled(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	if _, err := r.Disable(bg, "corp:carol", "left"); err != nil {
		t.Fatal(err)
	}
	if _, _, err := r.try(r.run("default", "carol", "sid-1"), nil, nil); flows.ReasonOf(err) != flows.ReasonAccountDisabled || !strings.Contains(err.Error(), "left") {
		t.Errorf("a disabled user: %v", err)
	}
	r.login("dave", "sid-2")
	if err := r.Enable(bg, "corp:carol"); err != nil {
		t.Fatal(err)
	}
	if err := r.Enable(bg, "corp:carol"); !errors.Is(err, flows.ErrNotFound) {
		t.Errorf("enabling twice: %v", err)
	}
	tk, _ := r.login("carol", "sid-3")
	r.wantLoad(tk, nil)

	for _, at := range []string{"b/", "c/"} {
		r := newRig(t)
		fin := r.run("default", "carol", "sid-1")
		r.store.set(func(d *double) {
			d.before = func(key string) {
				if !strings.HasPrefix(key, at) {
					return
				}
				d.set(func(d *double) { d.before = nil })
				if _, err := r.Disable(bg, "corp:carol", "left"); err != nil {
					t.Error(err)
				}
			}
		})
		if _, _, err := r.try(fin, nil, nil); flows.ReasonOf(err) != flows.ReasonAccountDisabled {
			t.Errorf("disabled before %s: %v", at, err)
		}
		if l, _ := r.List(bg, "corp:carol", "", 10); len(l) != 0 {
			t.Errorf("disabled before %s: a session is alive", at)
		}
	}
}

// What is kept names nobody to who reads the store, says since when for the first time,
// and is a list that comes in pages.
func TestWhoIsDisabled(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	first, err := r.Disable(bg, "corp:carol", "left")
	if err != nil {
		t.Fatal(err)
	}
	r.clock.Advance(time.Hour)
	again, err := r.Disable(bg, "corp:carol", "left for good")
	if err != nil || !again.Since.Equal(first.Since) || again.Reason != "left for good" {
		t.Errorf("disabling again: %v %+v", err, again)
	}
	if b := r.store.bytes(); bytes.Contains(b, []byte("carol")) || bytes.Contains(b, []byte("left")) {
		t.Error("the store shows who is disabled")
	}
	for _, u := range []flows.UserKey{"corp:dave", "corp:erin"} {
		if _, err := r.Disable(bg, u, ""); err != nil {
			t.Fatal(err)
		}
	}
	var seen []string
	for after := ""; ; {
		list, next, err := r.ListDisabled(bg, after, 2)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range list {
			seen = append(seen, string(d.User))
		}
		if after = next; after == "" {
			break
		}
	}
	if len(seen) != 3 {
		t.Errorf("the list: %v", seen)
	}
	// A row that cannot be read is no "may come in" (I16, fail closed).
	r.store.set(func(d *double) { d.refuse["get d/"] = flows.ErrUnavailable })
	if err := r.MayEnter(bg, "corp:frank"); !errors.Is(err, flows.ErrUnavailable) {
		t.Errorf("a store that is down: %v", err)
	}
	r.store.set(func(d *double) {
		d.refuse = map[string]error{}
		for k, row := range d.rows {
			if strings.HasPrefix(k, "d/") {
				row.val = []byte("damaged")
				d.rows[k] = row
			}
		}
	})
	if err := r.MayEnter(bg, "corp:carol"); !errors.Is(err, session.ErrSealed) {
		t.Errorf("a damaged row: %v", err)
	}
}

// Who is disabled is brought under the newest key, and is kept out when the older one goes.
func TestB20TheDisabledAreCarriedOver(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	if _, err := r.Disable(bg, "corp:carol", "left"); err != nil {
		t.Fatal(err)
	}
	r.ring = ring(t, "cluster-key-two-0123", "cluster-key-one-0123")
	if err := r.MayEnter(bg, "corp:carol"); flows.ReasonOf(err) != flows.ReasonAccountDisabled {
		t.Fatalf("under the older key: %v", err)
	}
	for range 2 {
		if err := r.CarryDisabled(bg); err != nil {
			t.Fatal(err)
		}
	}
	r.ring = ring(t, "cluster-key-two-0123")
	if err := r.MayEnter(bg, "corp:carol"); flows.ReasonOf(err) != flows.ReasonAccountDisabled {
		t.Fatalf("without the older key: %v", err)
	}
	if list, _, err := r.ListDisabled(bg, "", 10); err != nil || len(list) != 1 || list[0].Reason != "left" {
		t.Errorf("the list: %v %v", list, err)
	}
	if err := r.Enable(bg, "corp:carol"); err != nil || r.MayEnter(bg, "corp:carol") != nil {
		t.Errorf("enabling: %v", err)
	}
}
