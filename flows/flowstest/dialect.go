package flowstest

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sallyport-gateway/sallyport/flows"
)

// EncodeFunc is what makes one header value of several, such as headers.Encode.
type EncodeFunc = func(name string, values []string, o flows.HeaderOptions) (string, bool, error)

// TestDialect is the conformance suite of flows.Dialect. With an encoder it
// also looks at the values as they would go out.
func TestDialect(t testing.TB, d flows.Dialect, encode ...EncodeFunc) {
	t.Helper()
	s := &dialectSuite{t: t, d: d, encode: encode}
	for _, check := range []func(){
		s.names, s.everythingOwned, s.sameAgain, s.oneUserAtATime, s.missing, s.hostile, s.errorsGoUp, s.concurrent, s.tokens,
	} {
		s.guarded(check)
	}
}

type dialectSuite struct {
	t      testing.TB
	d      flows.Dialect
	encode []EncodeFunc
}

// guarded: a dialect that panics fails the suite and not the whole test binary.
func (s *dialectSuite) guarded(check func()) {
	s.t.Helper()
	defer func() {
		if v := recover(); v != nil {
			s.t.Errorf("the dialect panicked: %v", v)
		}
	}()
	check()
}

// names: what is owned can be stripped, and what changes is owned.
func (s *dialectSuite) names() {
	s.t.Helper()
	owned := s.d.Owned()
	if len(owned) == 0 {
		s.t.Errorf("Owned is empty: nothing would be stripped")
	}
	seen := map[string]bool{}
	for _, n := range owned {
		prefix := strings.TrimSuffix(n, "*")
		if !token(prefix) || prefix != n && len(prefix) < 2 {
			s.t.Errorf("Owned has %q, which is neither a header name nor a family", n)
		}
		if seen[n] {
			s.t.Errorf("Owned has %q twice", n)
		}
		seen[n] = true
	}
	for _, n := range s.d.PerRequest() {
		if !s.owns(n) {
			s.t.Errorf("PerRequest has %q, which is not owned", n)
		}
	}
	for _, n := range s.holdTokens() {
		if !s.owns(n) || slices.Contains(s.d.PerRequest(), n) {
			s.t.Errorf("Tokens has %q, which is not owned, or made for each request", n)
		}
	}
	if !slices.Equal(owned, s.d.Owned()) || !slices.Equal(s.d.PerRequest(), s.d.PerRequest()) {
		s.t.Errorf("Owned or PerRequest differ from call to call")
	}
}

func (s *dialectSuite) everythingOwned() {
	s.t.Helper()
	f := DialectFacts()
	before := fmt.Sprintf("%+v %+v %+v", *f.User, f.Evidence, *f.Session)
	w := s.run(f)
	if len(w.set) == 0 {
		s.t.Errorf("a user with every attribute gets no header at all")
	}
	if after := fmt.Sprintf("%+v %+v %+v", *f.User, f.Evidence, *f.Session); after != before {
		s.t.Errorf("Headers changed the facts it was shown:\n was %s\n now %s", before, after)
	}
}

// sameAgain: the others are built once per session, so that nothing but the
// user, the evidence and the session may be in them.
func (s *dialectSuite) sameAgain() {
	s.t.Helper()
	first := s.run(DialectFacts()).constant()
	if again := s.run(DialectFacts()).constant(); !reflect.DeepEqual(first, again) {
		s.t.Errorf("the same facts gave different headers:\n first %v\n again %v", first, again)
	}
	f := DialectFacts()
	f.Now = f.Now.Add(7 * time.Minute)
	f.Request = &flows.Request{
		Method: "POST", Scheme: "http", Host: "other.example.com", Path: "/elsewhere", Query: "q=1",
		IP: "198.51.100.77", Peer: "198.51.100.78", Header: map[string][]string{"User-Agent": {"other"}},
	}
	if later := s.run(f).constant(); !reflect.DeepEqual(first, later) {
		s.t.Errorf("headers not in PerRequest changed with the request or the time:\n first %v\n later %v", first, later)
	}
}

// oneUserAtATime: nothing of one person is left when the next one comes.
func (s *dialectSuite) oneUserAtATime() {
	s.t.Helper()
	first := s.run(DialectFacts()).constant()
	other := DialectFacts()
	other.User = &flows.User{Key: "corp:u-2", Realm: "corp", Provider: "corp", Subject: "u-2", Name: "bob"}
	other.Session = &flows.SessionFacts{ID: "public-2"}
	other.Evidence = nil
	for _, e := range s.run(other).set {
		for _, v := range e.Values {
			if strings.Contains(v, "alice") || strings.Contains(v, "public-1") || strings.Contains(v, "payroll") {
				s.t.Errorf("bob gets %s: %q of another person", e.Name, v)
			}
		}
	}
	if again := s.run(DialectFacts()).constant(); !reflect.DeepEqual(first, again) {
		s.t.Errorf("after another person the first one gets other headers:\n was %v\n now %v", first, again)
	}
}

// missing: what is not known is no value, which the options decide about; it
// is never made up.
func (s *dialectSuite) missing() {
	s.t.Helper()
	bare := &flows.Facts{User: &flows.User{Key: "corp:u-1", Realm: "corp", Provider: "corp", Subject: "u-1", Name: "alice"}}
	for _, e := range s.run(bare).set {
		for _, v := range e.Values {
			if strings.Contains(v, "<nil>") || strings.Contains(v, "%!") || strings.ContainsAny(v, "{}") || v == "null" || v == "[]" {
				s.t.Errorf("missing attributes: %s: %q is made up", e.Name, v)
			}
		}
	}
}

// hostile: whatever a provider says is data. Values go to the writer as they
// are and members of lists one by one: only the writer knows how to encode them.
func (s *dialectSuite) hostile() {
	s.t.Helper()
	f := DialectFacts()
	evil := []string{
		"a\r\nX-Evil: 1", "a,b", "a^b", "a;b", "a:b", `a\`, "a\x00b", " admin ", "{env.HOME}", "%0d%0a", "=?utf-8?q?admin?=", "Grüße 李", "\xff\xfe",
	}
	f.User.Name, f.User.DisplayName, f.User.Email = evil[0], evil[0], evil[0]
	f.User.Subject, f.User.Groups = evil[2], evil
	f.User.Attributes = map[string]any{"dn": evil[0], "user_dn": evil[0], "group_dns": slices.Clone(evil)}
	w := s.run(f)
	for _, e := range w.set {
		if strings.ContainsAny(e.Name, "\r\n\x00 :") {
			s.t.Errorf("a value got into the header name %q", e.Name)
		}
		if e.Options.Single {
			continue
		}
		for _, v := range e.Values {
			if len(e.Values) > 1 && !slices.Contains(evil, v) {
				s.t.Errorf("%s: the member %q is none of the user's: joined or encoded before the writer could", e.Name, v)
			}
		}
	}
}

var errWriter = errors.New("flowstest: the writer refuses")

// errorsGoUp: a header that could not be written refuses the request.
func (s *dialectSuite) errorsGoUp() {
	s.t.Helper()
	for n := range s.run(DialectFacts()).set {
		if err := s.d.Headers(DialectFacts(), &dialectWriter{s: s, failAt: n + 1}); !errors.Is(err, errWriter) {
			s.t.Errorf("the writer refused header %d, Headers answered %v", n+1, err)
		}
	}
}

// tokens: they end with their session, and are made anew before they end.
func (s *dialectSuite) tokens() {
	s.t.Helper()
	if len(s.holdTokens()) == 0 {
		return
	}
	for _, left := range []time.Duration{12 * time.Hour, 20 * time.Second} {
		f := DialectFacts()
		f.Session.Expires = f.Now.Add(left)
		w := s.run(f)
		for _, e := range w.set {
			if !slices.Contains(s.holdTokens(), e.Name) {
				continue
			}
			end, err := expiry(e.Values)
			switch {
			case err != nil:
				s.t.Errorf("%s: %v", e.Name, err)
			case end.After(f.Session.Expires) || !end.After(f.Now):
				s.t.Errorf("%s: good until %v, the session until %v", e.Name, end, f.Session.Expires)
			case w.until.IsZero() || !w.until.Before(end) || !w.until.After(f.Now):
				s.t.Errorf("%s: good until %v, but made anew at %v", e.Name, end, w.until)
			}
		}
	}
}

// expiry is the claim exp of a token, whose signature is for the guest's own tests.
func expiry(values []string) (time.Time, error) {
	if len(values) != 1 {
		return time.Time{}, fmt.Errorf("%d values", len(values))
	}
	parts := strings.Split(values[0], ".")
	if len(parts) != 3 {
		return time.Time{}, errors.New("it is no JWT: there are not three parts")
	}
	b, err := base64.RawURLEncoding.DecodeString(strings.TrimRight(parts[1], "="))
	if err != nil {
		return time.Time{}, err
	}
	var c struct {
		Expires int64 `json:"exp"`
	}
	err = json.Unmarshal(b, &c)
	return time.Unix(c.Expires, 0), err
}

func (s *dialectSuite) holdTokens() []string {
	if a, ok := s.d.(flows.Asserter); ok {
		return a.Tokens()
	}
	return nil
}

func (s *dialectSuite) concurrent() {
	s.t.Helper()
	want := s.run(DialectFacts()).constant()
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 20 {
				w := &dialectWriter{s: s}
				if err := s.d.Headers(DialectFacts(), w); err != nil || !reflect.DeepEqual(w.constant(), want) {
					s.t.Errorf("in parallel: %v, headers %v, want %v", err, w.constant(), want)
					return
				}
			}
		})
	}
	wg.Wait()
}

func (s *dialectSuite) run(f *flows.Facts) *dialectWriter {
	s.t.Helper()
	w := &dialectWriter{s: s}
	if err := s.d.Headers(f, w); err != nil {
		s.t.Errorf("Headers for user %q: %v", f.User.Name, err)
	}
	for i, e := range w.set {
		if slices.ContainsFunc(w.set[:i], func(o SetHeader) bool { return alias(o.Name) == alias(e.Name) }) {
			s.t.Errorf("%s is written twice", e.Name)
		}
		if !s.owns(e.Name) {
			s.t.Errorf("%s is written but not owned: a client could forge it", e.Name)
		}
		if err := e.Options.Validate(flows.DialectEncodings...); err != nil {
			s.t.Errorf("%s: %v", e.Name, err)
		}
		for _, enc := range s.encode {
			s.wire(e, enc)
		}
	}
	return w
}

// wire looks at a value as it would go out.
func (s *dialectSuite) wire(e SetHeader, encode EncodeFunc) {
	s.t.Helper()
	v, present, err := encode(e.Name, e.Values, e.Options)
	if err != nil {
		if flows.ReasonOf(err) != flows.ReasonHeaderTooLong {
			s.t.Errorf("%s: %v", e.Name, err)
		}
		return
	}
	if !present {
		return
	}
	if strings.ContainsFunc(v, func(r rune) bool { return r < ' ' || r == 0x7f }) || v != strings.Trim(v, " \t") {
		s.t.Errorf("%s: %q holds a control character or can be trimmed", e.Name, v)
	}
	members := slices.DeleteFunc(slices.Clone(e.Values), func(s string) bool { return s == "" })
	join := e.Options.Join
	if join == "" {
		join = ","
	}
	if e.Options.Single || e.Options.Quote != "" || e.Options.Escape != "" || len(members) == 0 {
		return
	}
	if w := e.Options.Wrap; w != nil && *w {
		v = strings.TrimSuffix(strings.TrimPrefix(v, strings.TrimLeft(join, " ")), strings.TrimRight(join, " "))
	}
	if got := strings.Count(v, join) + 1; got != len(members) {
		s.t.Errorf("%s: %d values read as %d in %q", e.Name, len(members), got, v)
	}
}

func (s *dialectSuite) owns(name string) bool {
	for _, o := range s.d.Owned() {
		if prefix, family := strings.CutSuffix(o, "*"); family && strings.HasPrefix(alias(name), alias(prefix)) || o == name {
			return true
		}
	}
	return false
}

// SetHeader is one call of HeaderWriter.Set.
type SetHeader struct {
	Name    string
	Values  []string
	Options flows.HeaderOptions
}

// dialectWriter keeps what is set. It is no Chooser, so that everything comes.
type dialectWriter struct {
	s      *dialectSuite
	set    []SetHeader
	failAt int
	until  time.Time
}

func (w *dialectWriter) Until(t time.Time) { w.until = t }

func (w *dialectWriter) Set(name string, values []string, o flows.HeaderOptions) error {
	w.set = append(w.set, SetHeader{name, slices.Clone(values), o})
	if len(w.set) == w.failAt {
		return errWriter
	}
	return nil
}

// constant is what is not declared to change per request, or to run out.
func (w *dialectWriter) constant() []string {
	var out []string
	for _, e := range w.set {
		if !slices.Contains(w.s.d.PerRequest(), e.Name) && !slices.Contains(w.s.holdTokens(), e.Name) {
			out = append(out, fmt.Sprintf("%s: %q %+v", e.Name, e.Values, e.Options))
		}
	}
	return out
}

// DialectFacts is a user of whom everything is known, signed in for an hour.
func DialectFacts() *flows.Facts {
	at := time.Date(2026, 3, 1, 9, 0, 0, 0, time.UTC)
	var deep map[string]any
	_ = json.Unmarshal([]byte(`{"address":{"city":"Köln"},"level":7}`), &deep) // a constant
	return &flows.Facts{
		Now: at.Add(time.Hour),
		Request: &flows.Request{
			Method: "GET", Scheme: "https", Host: "app.example.com", Path: "/", IP: "192.0.2.1", Peer: "192.0.2.1",
			Header: map[string][]string{"User-Agent": {"test"}},
		},
		User: &flows.User{
			Key: "corp:u-1", Realm: "corp", Provider: "corp", Subject: "u-1", Name: "alice", DisplayName: "Alice Liddell",
			Email: "alice@example.com", Groups: []string{"staff", "payroll"},
			Attributes: map[string]any{
				"dn":         "uid=alice,ou=people,dc=example,dc=com",
				"group_dns":  []any{"cn=staff,ou=groups,dc=example,dc=com", "cn=payroll,ou=groups,dc=example,dc=com"},
				"department": "sales", "employee_id": float64(1234567),
			},
			Claims: deep,
		},
		Evidence: []flows.Evidence{{User: "corp:u-1", Provider: "corp", Method: "oidc", AMR: []string{"pwd", "otp"}, ACR: "gold", At: at}},
		Session: &flows.SessionFacts{
			ID: "public-1", Started: at, Seen: at, Expires: at.Add(12 * time.Hour), Provider: "corp",
			Flows: map[string]string{"default": "d"},
		},
	}
}

func token(s string) bool {
	for _, c := range []byte(s) {
		ok := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || strings.IndexByte("!#$%&'+-.^_`|~", c) >= 0
		if !ok {
			return false
		}
	}
	return s != ""
}

// alias makes one spelling of all that an application may read as one name.
func alias(name string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r >= 'A' && r <= 'Z':
			return r + 'a' - 'A'
		case r >= 'a' && r <= 'z' || r >= '0' && r <= '9':
			return r
		}
		return '-'
	}, name)
}
