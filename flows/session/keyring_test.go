package session_test

import (
	"bytes"
	"errors"
	"testing"
	"time"

	"github.com/sallyport-gateway/sallyport/flows"
	"github.com/sallyport-gateway/sallyport/flows/session"
)

func TestKeyringRotation(t *testing.T) {
	t.Parallel()
	one, both, two := ring(t, "cluster-key-one-0123"), ring(t, "cluster-key-two-4567", "cluster-key-one-0123"), ring(t, "cluster-key-two-4567")
	seal := func(k *session.Keyring) []byte {
		b, err := k.Seal("p", "ad", []byte("plain"))
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	for _, tc := range []struct {
		name         string
		seals, opens *session.Keyring
		ok           bool
	}{
		{"its own", one, one, true},
		{"after the rotation", one, both, true},
		{"the first seals", both, two, true},
		{"the first seals, not the second", both, one, false},
		{"after the old key is gone", one, two, false},
	} {
		got, err := tc.opens.Open("p", "ad", seal(tc.seals))
		if tc.ok && (err != nil || string(got) != "plain") || !tc.ok && !errors.Is(err, session.ErrSealed) {
			t.Errorf("%s: %q, %v", tc.name, got, err)
		}
	}
	h1, _ := one.Hashes("user", "x")
	hb, _ := both.Hashes("user", "x")
	if len(hb) != 2 || hb[1] != h1[0] || hb[0] == h1[0] {
		t.Errorf("hashes: %v, then %v", h1, hb)
	}
	if other, _ := one.Hashes("sid", "x"); other[0] == h1[0] {
		t.Error("two purposes share a hash")
	}
	d1, err1 := one.Derive("a", 64)
	d2, err2 := one.Derive("b", 64)
	if err1 != nil || err2 != nil || len(d1[0]) != 64 || bytes.Equal(d1[0], d2[0]) {
		t.Errorf("derived keys: %v %v", err1, err2)
	}
}

func TestKeyringRefusesWrongPurposeAndPlace(t *testing.T) {
	t.Parallel()
	k := ring(t, "cluster-key-one-0123")
	sealed, err := k.Seal("card", "here", []byte("plain"))
	if err != nil {
		t.Fatal(err)
	}
	if again, _ := k.Seal("card", "here", []byte("plain")); bytes.Equal(again, sealed) {
		t.Error("the same plain text seals to the same bytes")
	}
	for _, tc := range [][2]string{{"card", "there"}, {"card", ""}, {"vault", "here"}, {"", "here"}, {"card ", "here"}} {
		if _, err := k.Open(tc[0], tc[1], sealed); !errors.Is(err, session.ErrSealed) {
			t.Errorf("opened as %q at %q: %v", tc[0], tc[1], err)
		}
	}
	for i := range sealed {
		bad := bytes.Clone(sealed)
		bad[i] ^= 1
		if _, err := k.Open("card", "here", bad); !errors.Is(err, session.ErrSealed) {
			t.Fatalf("opened with byte %d changed: %v", i, err)
		}
		if _, err := k.Open("card", "here", sealed[:i]); !errors.Is(err, session.ErrSealed) {
			t.Fatalf("opened %d bytes of it: %v", i, err)
		}
	}
	for _, bad := range [][][]byte{nil, {}, {[]byte("short")}, {[]byte("long-enough-for-a-key"), nil}} {
		if _, err := session.NewKeyring(bad...); err == nil {
			t.Errorf("a ring of %d keys, one too short, was made", len(bad))
		}
	}
}

// Rotation logs nobody out, and a revocation under the old key still holds (B20).
func TestB20SessionsOutliveAKeyRotation(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	tk, s := r.login("carol", "sid-1")
	revoked, _ := r.login("dave", "sid-2")
	r.clock.Advance(time.Second)
	if err := r.NotBeforeUser(bg, "corp:dave", r.clock.Now()); err != nil {
		t.Fatal(err)
	}
	r.ring = ring(t, "cluster-key-two-4567", "cluster-key-one-0123")
	r.wantLoad(tk, nil)
	r.wantLoad(revoked, session.ErrEnded)
	if l, err := r.List(bg, "corp:carol", "", 10); err != nil || len(l) != 1 {
		t.Errorf("list: %v %v", l, err)
	}
	if ids, err := r.BySID(bg, "corp", "sid-1"); err != nil || len(ids) != 1 {
		t.Errorf("by sid: %v %v", ids, err)
	}
	s.Active(r.clock.Now().Add(time.Minute))
	if err := r.Touch(bg, s); err != nil { // seals the card anew
		t.Fatal(err)
	}
	r.ring = ring(t, "cluster-key-two-4567")
	r.wantLoad(tk, nil)
	if l, err := r.List(bg, "corp:carol", "", 10); err != nil || len(l) != 1 {
		t.Errorf("list under the new key alone: %v %v", l, err)
	}
	r.ring = ring(t, "cluster-key-three-89")
	r.wantLoad(tk, flows.ErrNotFound)
}

func FuzzParseTicket(f *testing.F) {
	for _, s := range []string{"", "A", session.NewTicket().Text(), session.NewTicket().Text() + "=", "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAB", "\n" + session.NewTicket().Text()[1:], "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\r\n"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		tk, err := session.ParseTicket(s)
		if err != nil {
			if tk != (session.Ticket{}) {
				t.Fatalf("a refused ticket is not empty")
			}
			return
		}
		// One ticket has one text: no second spelling of a cookie that was revoked or cached.
		if tk.Text() != s {
			t.Fatalf("%q reads as the ticket of %q", s, tk.Text())
		}
	})
}

func FuzzKeyringOpen(f *testing.F) {
	k, err := session.NewKeyring([]byte("cluster-key-one-0123"))
	if err != nil {
		f.Fatal(err)
	}
	good, _ := k.Seal("card", "here", []byte("plain"))
	f.Add("card", "here", good)
	f.Add("card", "there", good)
	f.Add("", "", []byte{})
	f.Add("card", "here", good[:31])
	f.Add("card", "here", append(bytes.Clone(good), 0))
	f.Fuzz(func(t *testing.T, purpose, ad string, sealed []byte) {
		plain, err := k.Open(purpose, ad, sealed)
		if err == nil && (purpose != "card" || ad != "here" || string(plain) != "plain") {
			t.Fatalf("opened something nobody sealed: %q", plain)
		}
		if err != nil && !errors.Is(err, session.ErrSealed) {
			t.Fatalf("%v is not ErrSealed", err)
		}
	})
}
