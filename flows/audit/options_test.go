package audit_test

import (
	"context"
	"encoding/json"
	"errors"
	"reflect"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sallyport-gateway/sallyport/flows"
	"github.com/sallyport-gateway/sallyport/flows/audit"
)

func (s *sink) breaks(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fail = err
}

var errFull = errors.New("no space left on device")

// I25: what takes away is written once there is room again, in its order, and a sink
// that takes nothing holds up no other.
func TestI25NotedEntriesWaitForRoom(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		full, fine := &sink{fail: errFull}, new(sink)
		heard := 0
		trail := audit.NewTrail(func(error) { heard++ }, full, fine)
		for _, id := range []string{"logout", "revoked", "denied"} {
			trail.Note(audit.Event{ID: id})
		}
		time.Sleep(time.Minute)
		if full.has() != "" || fine.has() != "logout revoked denied" || heard != 1 || trail.Dropped() != 0 {
			t.Fatalf("%q and %q, %d heard, %d dropped", full.has(), fine.has(), heard, trail.Dropped())
		}
		full.breaks(nil)
		time.Sleep(2 * time.Second)
		if full.has() != "logout revoked denied" {
			t.Errorf("once there is room: %q", full.has())
		}
		trail.Close()
	})
}

// on_error continue: nobody is kept out, and the entry comes later.
func TestI25ContinueWritesLater(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		full, fine := &sink{fail: errFull}, new(sink)
		heard := 0
		trail := audit.NewTrail(func(error) { heard++ }, &audit.Optioned{Sink: full, SinkOptions: audit.SinkOptions{OnError: audit.Continue}}, fine)
		defer trail.Close()
		r, err := trail.Before(t.Context(), audit.Event{ID: "login"})
		if err != nil || !r.Valid() || fine.has() != "login" || heard == 0 || trail.Failed() == 0 {
			t.Fatalf("%v %v, %q, %d heard", r, err, fine.has(), heard)
		}
		full.breaks(nil)
		time.Sleep(2 * time.Second)
		if full.has() != "login" {
			t.Errorf("later: %q", full.has())
		}
		fine.breaks(errFull)
		if _, err := trail.Before(t.Context(), audit.Event{ID: "login"}); !errors.Is(err, audit.ErrDown) {
			t.Errorf("the sink that may keep people out: %v", err)
		}
	})
}

// keeper keeps whole events.
type keeper struct{ last audit.Event }

func (k *keeper) Write(_ context.Context, e audit.Event) error { k.last = e; return nil }

func tokens(_ context.Context, c audit.Class, v string) (string, error) {
	if v == "broken" {
		return "", errors.New("no key")
	}
	return string(c) + "/" + v, nil
}

func personal() audit.Event {
	return audit.Event{
		ID: "e", Kind: audit.Login, User: "corp:s-1", Name: "ada", IP: "192.0.2.7", Path: "/people/ada/x", Detail: "ada is gone",
		Show: []flows.Row{{Name: "amount", Value: "5"}},
	}
}

func TestMasks(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		masks audit.Masks
		want  func(*audit.Event)
	}{
		"none":  {nil, func(*audit.Event) {}},
		"keep":  {audit.Masks{audit.OfName: audit.Keep}, func(*audit.Event) {}},
		"hash":  {audit.Masks{audit.OfUser: audit.Hash, audit.OfName: audit.Hash, audit.OfAddress: audit.Hash}, func(e *audit.Event) { e.User, e.Name, e.IP = "corp:~user/s-1", "~name/ada", "~address/192.0.2.7" }},
		"short": {audit.Masks{audit.OfAddress: audit.Truncate, audit.OfPath: audit.Truncate}, func(e *audit.Event) { e.IP, e.Path = "192.0.2.0/24", "/people/…" }},
		"drop": {audit.Masks{audit.OfUser: audit.Drop, audit.OfName: audit.Drop, audit.OfAddress: audit.Drop, audit.OfPath: audit.Drop, audit.OfContent: audit.Drop, audit.OfDetail: audit.Drop}, func(e *audit.Event) {
			*e = audit.Event{ID: "e", Kind: audit.Login, User: "corp"}
		}},
	} {
		k := new(keeper)
		if err := (&audit.Optioned{Sink: k, SinkOptions: audit.SinkOptions{Mask: tc.masks}, Tokens: tokens}).Write(t.Context(), personal()); err != nil {
			t.Fatal(err)
		}
		want := personal()
		tc.want(&want)
		for c, w := range tc.masks {
			if w != audit.Keep {
				want.Masked = append(want.Masked, c)
			}
		}
		slices.Sort(want.Masked)
		if !reflect.DeepEqual(k.last, want) {
			t.Errorf("%s: got %+v\nwant %+v", name, k.last, want)
		}
	}
}

func TestMaskedFacts(t *testing.T) {
	t.Parallel()
	facts := audit.Facts{Scheme: "https", Read: []string{"email", "groups", "title"}, User: map[string]any{"email": "ada@example.com", "groups": []string{"a"}}}
	for name, tc := range map[string]struct {
		masks audit.Masks
		read  []string
		user  map[string]any
	}{
		"email truncate":  {audit.Masks{audit.OfEmail: audit.Truncate}, facts.Read, map[string]any{"email": "@example.com", "groups": []string{"a"}}},
		"email drop":      {audit.Masks{audit.OfEmail: audit.Drop}, []string{"groups", "title"}, map[string]any{"groups": []string{"a"}}},
		"attributes drop": {audit.Masks{audit.OfAttributes: audit.Drop}, []string{"email", "title"}, map[string]any{"email": "ada@example.com"}},
	} {
		e, err := tc.masks.Apply(t.Context(), audit.Event{Facts: &facts}, tokens)
		if err != nil || !reflect.DeepEqual(e.Facts.Read, tc.read) || !reflect.DeepEqual(e.Facts.User, tc.user) || len(e.Masked) != 1 {
			t.Errorf("%s: %+v, masked %v, %v", name, e.Facts, e.Masked, err)
		}
	}
	if len(facts.User) != 2 || len(facts.Read) != 3 {
		t.Errorf("the event itself was changed: %+v", facts)
	}
}

func TestMaskedAddresses(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"2001:db8:1:2::3": "2001:db8:1::/48", "192.0.2.7:443": "192.0.2.0/24", "::ffff:192.0.2.7": "192.0.2.0/24", "fe80::1%eth0": "fe80::/48",
		"[2001:db8:1:2::3]:80": "2001:db8:1::/48", "nonsense": "", "": "",
	} {
		e, err := audit.Masks{audit.OfAddress: audit.Truncate}.Apply(t.Context(), audit.Event{IP: in}, tokens)
		if err != nil || e.IP != want {
			t.Errorf("%s: %s, %v; want %s", in, e.IP, err, want)
		}
	}
}

// What cannot be masked is not written instead.
func TestMaskThatFails(t *testing.T) {
	t.Parallel()
	s := new(sink)
	trail := audit.NewTrail(nil, &audit.Optioned{Sink: s, SinkOptions: audit.SinkOptions{Mask: audit.Masks{audit.OfName: audit.Hash}}, Tokens: tokens})
	defer trail.Close()
	if _, err := trail.Before(t.Context(), audit.Event{ID: "e", Name: "broken"}); !errors.Is(err, audit.ErrDown) || s.has() != "" {
		t.Errorf("%v, written %q", err, s.has())
	}
}

func TestSinkOptionsCheck(t *testing.T) {
	t.Parallel()
	for want, o := range map[string]audit.SinkOptions{
		"on_error is deny or continue, not 'ignore'":                    {OnError: "ignore"},
		"no class of personal data is called 'ip'; there are: address,": {Mask: audit.Masks{"ip": audit.Drop}},
		"name can be: keep, hash, drop; not 'truncate'":                 {Mask: audit.Masks{audit.OfName: audit.Truncate}},
	} {
		if err := o.Check(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %s", err, want)
		}
	}
	if err := (&audit.SinkOptions{OnError: audit.Continue, Mask: audit.Masks{audit.OfAddress: audit.Hash}}).Check(); err != nil {
		t.Error(err)
	}
}

// Every field of an event is of a class or known to be of none: who adds one decides.
func TestEveryFieldHasItsClass(t *testing.T) {
	t.Parallel()
	none := []string{
		"id", "time", "kind", "provider", "flow", "step", "factor", "item", "session", "reason", "rule", "text", "method", "host", "amr", "acr",
		"approval", "fallback", "drill", "correlation", "masked",
	}
	all := audit.Masks{}
	for _, c := range []audit.Class{audit.OfUser, audit.OfName, audit.OfAddress, audit.OfEmail, audit.OfAttributes, audit.OfPath, audit.OfContent, audit.OfDetail} {
		all[c] = audit.Drop
	}
	full := audit.Event{Person: &flows.User{}}
	v := reflect.ValueOf(&full).Elem()
	for i := range v.NumField() {
		switch f := v.Field(i); f.Kind() {
		case reflect.String:
			f.SetString("x:y")
		case reflect.Pointer:
			if f.Type() == reflect.TypeFor[*audit.Risk]() {
				f.Set(reflect.ValueOf(&audit.Risk{Readings: map[string]flows.Reading{"travel": {Text: "x:y"}}}))
			}
			if f.Type() == reflect.TypeFor[*audit.Facts]() {
				f.Set(reflect.ValueOf(&audit.Facts{Read: []string{"email", "groups"}, User: map[string]any{"email": "x:y@z", "groups": []string{"x:y"}}}))
			}
		case reflect.Slice:
			f.Set(reflect.MakeSlice(f.Type(), 1, 1))
		default:
		}
	}
	masked, err := all.Apply(t.Context(), full, tokens)
	if err != nil {
		t.Fatal(err)
	}
	for i := range v.NumField() {
		name, _, _ := strings.Cut(v.Type().Field(i).Tag.Get("json"), ",")
		left := reflect.ValueOf(masked).Field(i)
		if same := reflect.DeepEqual(left.Interface(), v.Field(i).Interface()); name != "-" && name != "masked" && same != slices.Contains(none, name) {
			t.Errorf("%s: masked %v, and it belongs to no class: %v", name, !same, same)
		}
	}
	if b, err := json.Marshal(masked); err != nil || strings.Contains(string(b), ":y") && masked.User != "x" {
		t.Errorf("%s", b)
	}
}
