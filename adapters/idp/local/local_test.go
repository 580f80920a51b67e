package local

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"golang.org/x/crypto/bcrypt"

	"github.com/sallyport-gateway/sallyport/flows"
	"github.com/sallyport-gateway/sallyport/flows/flowstest"
)

// What `caddy hash-password` of Caddy 2.11.9 printed for this password.
const (
	password   = "correct horse"
	bcryptText = "$2a$05$uunh1m/7vGx981zPEulpGuPhQf2A/iX4f1LtwZIn4Ge7LsJvnFh/6"
	argonText  = "$argon2id$v=19$m=1024,t=1,p=1$2mvbOyqAoUb+1CFc4LnFhw$e2K4LopS+/5SnHmm3lDC7K5lJTvN8ir52bcTd5+htus"
	argonFull  = "$argon2id$v=19$m=47104,t=1,p=1$OZhj8aF6n/NHNvHu0uGG2g$T47ggclJeCMt246v6Qab9d7KZw43BdmbzPHShYCryrI"
)

func parse(text string) (*Provider, error) {
	p := new(Provider)
	return p, p.UnmarshalCaddyfile(caddyfile.NewTestDispenser(text))
}

func load(p *Provider) error {
	if err := p.Provision(caddy.Context{}); err != nil {
		return err
	}
	return p.Validate()
}

func provider(t *testing.T, text string) *Provider {
	t.Helper()
	p, err := parse(text)
	if err != nil {
		t.Fatal(err)
	}
	if err := load(p); err != nil {
		t.Fatal(err)
	}
	if err := p.Bind(flowstest.NewRegistry()); err != nil {
		t.Fatal(err)
	}
	p.gate = newGate(4, 64)
	return p
}

// counted counts the hashings of one kind.
type counted struct {
	hash
	n *atomic.Int64
}

func (c counted) matches(password string) bool { c.n.Add(1); return c.hash.matches(password) }

func count(p *Provider) (own, dummy *atomic.Int64) {
	own, dummy = new(atomic.Int64), new(atomic.Int64)
	for name, a := range p.accounts {
		p.accounts[name] = account{a.user, counted{a.hash, own}, a.changed}
	}
	p.dummy = counted{p.dummy, dummy}
	return own, dummy
}

func TestPasswordVerifier(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct{ name, hash string }{
		{"bcrypt", bcryptText},
		{"bcrypt 2y", "$2y" + bcryptText[3:]},
		{"bcrypt in base64", base64.StdEncoding.EncodeToString([]byte(bcryptText))},
		{"argon2id", argonText},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			p := provider(t, "local {\nuser anna "+tc.hash+" {\ngroups staff ops\nbadge 7\n}\n}")
			own, dummy := count(p)
			flowstest.TestPasswordVerifier(t, flowstest.Password{
				Guest: p, Name: "anna", Password: password,
				Now:  func() time.Time { return flowstest.Start },
				Work: func() int { return int(own.Load() + dummy.Load()) },
				Break: func() {
					p.gate = newGate(1, 0)
					p.gate.slots <- struct{}{}
				},
			})
		})
	}
}

func TestDefaultsOfCaddy(t *testing.T) {
	t.Parallel()
	p := provider(t, "local {\nuser anna "+argonFull+"\n}")
	if _, err := p.VerifyPassword(t.Context(), "anna", password); err != nil {
		t.Error(err)
	}
}

func TestProof(t *testing.T) {
	t.Parallel()
	p := provider(t, `local {
		user anna `+argonText+` {
			email anna@example.com
			display_name "Anna Muster"
			groups staff payroll
			department Finance
			sites Bern Basel
		}
	}`)
	proof, err := p.VerifyPassword(t.Context(), "anna", password)
	if err != nil {
		t.Fatal(err)
	}
	got, _ := json.Marshal(proof)
	want := `{"User":{"subject":"anna","name":"anna","display_name":"Anna Muster","email":"anna@example.com","groups":["staff","payroll"],` +
		`"attributes":{"department":"Finance","sites":["Bern","Basel"]}},"Evidence":[{"user":"","method":"password","amr":["pwd"],"at":"2026-03-01T12:00:00Z","credential":"hPxSiGC8Fcm4ew8T"}],` +
		`"Issuer":"local","SID":"","Tokens":null,"NotAfter":"0001-01-01T00:00:00Z","Once":null}`
	if string(got) != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

// Known and unknown names cost one hash of the same kind each: counted, since a
// stop-watch on a shared machine proves nothing.
func TestM4KnownAndUnknownCostTheSame(t *testing.T) {
	t.Parallel()
	p := provider(t, "local {\nuser anna "+bcryptText+"\nuser bert "+argonText+"\nuser cleo "+argonText+"\n}")
	if got, want := p.dummy.kind(), "argon2id,1024,1,1"; got != want {
		t.Errorf("unknown names cost %s, want the most used %s", got, want)
	}
	own, dummy := count(p)
	for i := range 100 {
		name := []string{"bert", "cleo"}[i%2]
		if _, err := p.VerifyPassword(t.Context(), name, "wrong"); !errors.Is(err, flows.ErrCredentials) {
			t.Fatal(err)
		}
		if _, err := p.VerifyPassword(t.Context(), name+"x", "wrong"); !errors.Is(err, flows.ErrCredentials) {
			t.Fatal(err)
		}
	}
	if own.Load() != 100 || dummy.Load() != 100 {
		t.Errorf("100 known names cost %d hashes, 100 unknown ones %d", own.Load(), dummy.Load())
	}
}

func TestDummyIsARealHash(t *testing.T) {
	t.Parallel()
	for _, text := range []string{bcryptText, argonText} {
		h, err := parseHash(text)
		if err != nil {
			t.Fatal(err)
		}
		a, b := h.dummy(), h.dummy()
		if a.kind() != h.kind() || a.matches(password) || a.matches("") {
			t.Errorf("dummy of %s: kind %s", h.kind(), a.kind())
		}
		if d, ok := a.(bcryptHash); ok {
			if _, err := parseHash(string(d.text)); err != nil {
				t.Errorf("dummy is no hash: %v", err)
			}
			if string(d.text) == string(b.(bcryptHash).text) {
				t.Error("two dummies are one")
			}
		}
	}
}

// bcrypt reads 72 bytes and repeats what a NUL ends: neither may pass (ASVS 6.2.8).
func TestBcryptIsNotCut(t *testing.T) {
	t.Parallel()
	h := cheap(t, strings.Repeat("a", 72))
	if !h.matches(strings.Repeat("a", 72)) {
		t.Fatal("72 bytes are refused")
	}
	if h.matches(strings.Repeat("a", 73)) {
		t.Error("73 bytes are cut and taken")
	}
	if h := cheap(t, "ab"); h.matches("ab\x00ab") {
		t.Error("a repeated password is taken")
	}
}

func cheap(t *testing.T, password string) hash {
	t.Helper()
	b, err := bcrypt.GenerateFromPassword([]byte(password), bcrypt.MinCost)
	if err != nil {
		t.Fatal(err)
	}
	h, err := parseHash(string(b))
	if err != nil {
		t.Fatal(err)
	}
	return h
}

func TestNamesAreExact(t *testing.T) {
	t.Parallel()
	p := provider(t, "local {\nuser anna "+argonText+"\n}")
	for _, name := range []string{"Anna", "anna ", "ANNA", "ann\u0061\u0301"} {
		if _, err := p.VerifyPassword(t.Context(), name, password); !errors.Is(err, flows.ErrCredentials) {
			t.Errorf("%q: %v", name, err)
		}
	}
}

func TestHashingIsBounded(t *testing.T) {
	t.Parallel()
	g := newGate(1, 2)
	enter, leave := make(chan struct{}), make(chan struct{})
	results := make(chan error, 3)
	go func() { results <- g.do(context.Background(), func() { close(enter); <-leave }) }()
	<-enter
	ctx, cancel := context.WithCancel(context.Background())
	for range 2 { // two may wait
		go func() { results <- g.do(ctx, func() { t.Error("ran after the caller left") }) }()
	}
	for g.waiting.Load() != 2 { // they get there: nothing keeps them
		select {
		case err := <-results:
			t.Fatalf("one that may wait got %v", err)
		default:
			runtime.Gosched()
		}
	}
	if err := g.do(context.Background(), func() { t.Error("ran beyond the bound") }); !errors.Is(err, flows.ErrUnavailable) {
		t.Errorf("a full queue answers %v, want ErrUnavailable", err)
	}
	cancel()
	for range 2 {
		if err := <-results; !errors.Is(err, context.Canceled) || !errors.Is(err, flows.ErrUnavailable) {
			t.Errorf("who left got %v", err)
		}
	}
	close(leave)
	if err := <-results; err != nil {
		t.Error(err)
	}
	if g.waiting.Load() != 0 || len(g.slots) != 0 {
		t.Errorf("%d wait, %d inside", g.waiting.Load(), len(g.slots))
	}
	if err := g.do(ctx, func() { t.Error("ran for a caller who left before") }); !errors.Is(err, context.Canceled) {
		t.Errorf("a dead context got %v", err)
	}
}

func TestHashFromPlaceholder(t *testing.T) {
	file := filepath.Join(t.TempDir(), "hash")
	if err := os.WriteFile(file, []byte(argonText+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("SALLYPORT_TEST_HASH", bcryptText)
	p := provider(t, "local {\nuser anna {file."+file+"}\nuser bert {env.SALLYPORT_TEST_HASH}\n}")
	for _, name := range []string{"anna", "bert"} {
		if _, err := p.VerifyPassword(t.Context(), name, password); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	raw, _ := json.Marshal(p)
	if strings.Contains(string(raw), "$argon2id") || strings.Contains(string(raw), "$2a$") {
		t.Error("the resolved hash is in the config")
	}
	t.Setenv("SALLYPORT_TEST_HASH", "")
	q, _ := parse("local {\nuser bert {env.SALLYPORT_TEST_HASH}\n}")
	if err := load(q); err == nil || !strings.Contains(err.Error(), "bert") {
		t.Errorf("an empty hash: %v", err)
	}
}

func TestUnmarshalCaddyfile(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct{ name, in, want string }{
		{"argument", "local x", "takes no argument"},
		{"unknown word", "local {\npeople x\n}", "local has no option 'people'; there are: registration, user"},
		{"no hash", "local {\nuser anna\n}", "takes a name and a hash"},
		{"too many", "local {\nuser anna h secret\n}", "but got 3 arguments"},
		{"twice", "local {\nuser a h\nuser a h\n}", "user 'a' is there twice"},
		{"email twice", "local {\nuser a h {\nemail x\nemail y\n}\n}", "'email' is there twice"},
		{"two emails", "local {\nuser a h {\nemail x y\n}\n}", "'email' takes one value, but got 2"},
		{"no groups", "local {\nuser a h {\ngroups\n}\n}", "'groups' needs a value"},
		{"reserved", "local {\nuser a h {\nsubject x\n}\n}", "'subject' is reserved"},
		{"bad attribute", "local {\nuser a h {\n1st x\n}\n}", "must match"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			if _, err := parse(tc.in); err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("got %v, want %q", err, tc.want)
			} else if strings.Contains(err.Error(), "secret") {
				t.Errorf("the message shows an argument: %v", err)
			}
		})
	}
}

func TestLoadErrors(t *testing.T) {
	t.Parallel()
	salt, key := "2mvbOyqAoUb+1CFc4LnFhw", "e2K4LopS+/5SnHmm3lDC7K5lJTvN8ir52bcTd5+htus"
	for _, tc := range []struct{ name, hash, want string }{
		{"plain password", "hunter2", "unknown form"},
		{"base64 of a password", base64.StdEncoding.EncodeToString([]byte("hunter2")), "unknown form"},
		{"md5 crypt", "$1$hunter2$abc", "unknown algorithm"},
		{"scrypt", "$scrypt$ln=15$hunter2", "unknown algorithm"},
		{"argon2i", "$argon2i$v=19$m=1024,t=1,p=1$" + salt + "$" + key, "unknown algorithm"},
		{"bcrypt 2x", "$2x" + bcryptText[3:], "malformed"},
		{"bcrypt cut", bcryptText[:59], "malformed"},
		{"bcrypt longer", bcryptText + "a", "malformed"},
		{"bcrypt cost 16", "$2a$16" + bcryptText[6:], "cost 16 is outside 4 to 15"},
		{"bcrypt cost 3", "$2a$03" + bcryptText[6:], "cost 3 is outside"},
		{"argon2id version", "$argon2id$v=16$m=1024,t=1,p=1$" + salt + "$" + key, "malformed"},
		{"argon2id without version", "$argon2id$m=1024,t=1,p=1$" + salt + "$" + key, "malformed"},
		{"argon2id order", "$argon2id$v=19$t=1,m=1024,p=1$" + salt + "$" + key, "malformed"},
		{"argon2id no passes", "$argon2id$v=19$m=1024,t=0,p=1$" + salt + "$" + key, "malformed"},
		{"argon2id no lanes", "$argon2id$v=19$m=1024,t=1,p=0$" + salt + "$" + key, "malformed"},
		{"argon2id lanes", "$argon2id$v=19$m=4096,t=1,p=256$" + salt + "$" + key, "malformed"},
		{"argon2id memory", "$argon2id$v=19$m=1048577,t=1,p=1$" + salt + "$" + key, "too much"},
		{"argon2id passes", "$argon2id$v=19$m=1024,t=65,p=1$" + salt + "$" + key, "too much"},
		{"argon2id work", "$argon2id$v=19$m=1048576,t=9,p=1$" + salt + "$" + key, "too much"},
		{"argon2id huge", "$argon2id$v=19$m=99999999999999999999,t=1,p=1$" + salt + "$" + key, "malformed"},
		{"argon2id short key", "$argon2id$v=19$m=1024,t=1,p=1$" + salt + "$e2K4Lg", "malformed"},
		{"argon2id no salt", "$argon2id$v=19$m=1024,t=1,p=1$$" + key, "malformed"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			p := &Provider{Users: []*User{{Name: "ok", Hash: argonText}, {Name: "anna", Hash: tc.hash}}}
			err := load(p)
			if err == nil || !strings.Contains(err.Error(), tc.want) || !strings.Contains(err.Error(), "user 'anna'") {
				t.Fatalf("got %v, want %q and the user", err, tc.want)
			}
			for _, secret := range []string{"hunter2", tc.hash, key, bcryptText[7:50]} {
				if strings.Contains(err.Error(), secret) {
					t.Errorf("the error shows the hash: %v", err)
				}
			}
		})
	}
}

func TestValidate(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name  string
		users []*User
		want  string
	}{
		{"nobody", nil, "at least one user"},
		{"null", []*User{nil}, "user 0 is null"},
		{"twice", []*User{{Name: "a", Hash: argonText}, {Name: "a", Hash: argonText}}, "user 'a' is there twice"},
		{"no name", []*User{{Hash: argonText}}, "without a name"},
		{"blank", []*User{{Name: " a", Hash: argonText}}, "without blanks"},
		{"NUL", []*User{{Name: "a\x00", Hash: argonText}}, "without control characters"},
		{"long", []*User{{Name: strings.Repeat("a", 257), Hash: argonText}}, "at most 256 bytes"},
		{"no hash", []*User{{Name: "a"}}, "hash is empty"},
		{"unknown placeholder", []*User{{Name: "a", Hash: "{nothing.here}"}}, "user 'a'"},
		{"reserved attribute", []*User{{Name: "a", Hash: argonText, Attributes: map[string]any{"key": "x"}}}, "'key' is reserved"},
		{"null attribute", []*User{{Name: "a", Hash: argonText, Attributes: map[string]any{"x": nil}}}, "'x' is null"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			if err := load(&Provider{Users: tc.users}); err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("got %v, want %q", err, tc.want)
			}
		})
	}
}

// The hash is what the config says; whatever it says, loading neither panics nor
// shows it, and what is accepted can be checked at a bounded price.
func FuzzParseHash(f *testing.F) {
	for _, s := range []string{
		bcryptText, argonText, "", "$", "$2a$", "$argon2id$", "hunter2",
		base64.StdEncoding.EncodeToString([]byte(bcryptText)),
		"$argon2id$v=19$m=8,t=1,p=1$c2FsdHNhbHQ$MDEyMzQ1Njc4OWFiY2RlZg",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		h, err := parseHash(s)
		if err != nil {
			if len(s) > 12 && !strings.Contains(supported, s) && strings.Contains(err.Error(), s) {
				t.Errorf("%q is shown: %v", s, err)
			}
			return
		}
		switch h := h.(type) {
		case bcryptHash:
			if h.cost > maxBcryptCost {
				t.Errorf("cost %d", h.cost)
			}
		case argonHash:
			if h.memory > maxArgonMemory || uint64(h.memory)*uint64(h.passes) > maxArgonWork || h.threads == 0 {
				t.Errorf("%+v", h.kind())
			}
			if h.memory <= 1024 && h.passes <= 2 {
				h.matches("x")
			}
		}
		if !slices.Contains([]string{"bcrypt", "argon2id"}, strings.Split(h.kind(), ",")[0]) {
			t.Errorf("kind %s", h.kind())
		}
	})
}

func FuzzUnmarshalCaddyfile(f *testing.F) {
	f.Add("local {\nuser anna h {\nemail x\ngroups a b\n}\n}")
	f.Add("local")
	f.Add("")
	f.Add("local {\nuser")
	f.Add("<<<<local {\nuser")
	f.Fuzz(func(t *testing.T, text string) {
		if _, err := caddyfile.Tokenize([]byte(text), "Caddyfile"); err != nil {
			return // the dispenser of tests ends the process then
		}
		p, err := parse(text)
		if err != nil {
			return
		}
		for _, u := range p.Users {
			if u == nil {
				t.Error("a nil user")
			}
		}
	})
}
