package oidc

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"os"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"

	"github.com/sallyport-gateway/sallyport/adapters/idp/oidc/oidctest"
	"github.com/sallyport-gateway/sallyport/flows"
	"github.com/sallyport-gateway/sallyport/flows/flowstest"
	"github.com/sallyport-gateway/sallyport/flows/outbound"
)

const callback = "https://app.example/.identity/callback/corp"

func TestMain(m *testing.M) {
	_ = os.Setenv("OIDC_TEST_SECRET", oidctest.Secret)
	_ = os.Setenv("OIDC_TEST_HTTP", "http://op.example")
	os.Exit(m.Run())
}

// rig is a provider guest, the OP it speaks to, and one clock for both.
type rig struct {
	t   *testing.T
	op  *oidctest.OP
	p   *Provider
	reg *flowstest.Registry
}

func newRig(t *testing.T, edit func(*Provider)) *rig {
	t.Helper()
	op := oidctest.New(t)
	r := &rig{t: t, op: op, reg: flowstest.NewRegistry()}
	op.SetClock(r.reg.Now)
	r.reg.Client = outbound.New(outbound.Options{Trusted: []string{"127.0.0.1"}})
	r.p = r.guest(edit)
	return r
}

// guest makes one more provider guest on the same OP, as a reload would.
func (r *rig) guest(edit func(*Provider)) *Provider {
	r.t.Helper()
	p := &Provider{Issuer: r.op.Issuer, ClientID: r.op.ClientID, ClientSecret: "{env.OIDC_TEST_SECRET}"}
	if edit != nil {
		edit(p)
	}
	ctx, cancel := caddy.NewContext(caddy.Context{Context: context.Background()})
	r.t.Cleanup(func() {
		cancel()
		if err := p.Cleanup(); err != nil {
			r.t.Error(err)
		}
		r.reg.Client.CloseIdleConnections()
	})
	if err := p.Provision(ctx); err != nil {
		r.t.Fatal(err)
	}
	if err := p.Validate(); err != nil {
		r.t.Fatal(err)
	}
	if err := p.Bind(r.reg); err != nil {
		r.t.Fatal(err)
	}
	p.pause = func(context.Context, time.Duration) bool { return false } // what waits is in wait_test.go
	return p
}

func start() flows.Start {
	return flows.Start{CallbackURL: callback, Handle: "sealed-state", MaxAge: -1}
}

// begin answers the address of the provider and the private state.
func (r *rig) begin(s flows.Start) (string, []byte) {
	r.t.Helper()
	out, private, err := r.p.Begin(r.t.Context(), s)
	if err != nil {
		r.t.Fatalf("begin: %v", err)
	}
	return flowstest.Look(out).URL, private
}

// visit is the browser at the provider: it answers what it is sent back with.
func (r *rig) visit(to string) flows.Callback {
	r.t.Helper()
	req, err := http.NewRequestWithContext(r.t.Context(), http.MethodGet, to, nil)
	if err != nil {
		r.t.Fatal(err)
	}
	resp, err := http.DefaultTransport.RoundTrip(req)
	if err != nil {
		r.t.Fatal(err)
	}
	_ = resp.Body.Close()
	u, err := resp.Location()
	if err != nil {
		r.t.Fatalf("the provider answered %s: %v", resp.Status, err)
	}
	q := u.Query()
	u.RawQuery = ""
	return flows.Callback{Provider: "corp", URL: u.String(), Method: "GET", Values: q}
}

// login goes all the way.
func (r *rig) login(s flows.Start) (flows.Proof, error) {
	r.t.Helper()
	to, private := r.begin(s)
	back := r.visit(to)
	if h, err := r.p.Handle(back); err != nil || h != s.Handle {
		r.t.Fatalf("handle = %q, %v", h, err)
	}
	return r.p.Finish(r.t.Context(), back, private)
}

func (r *rig) mustLogin() flows.Proof {
	r.t.Helper()
	proof, err := r.login(start())
	if err != nil {
		r.t.Fatalf("login: %v", err)
	}
	return proof
}

// wantRefusal fails unless err is a Refusal with this reason.
func wantRefusal(t *testing.T, err error, want flows.Reason) {
	t.Helper()
	var ref *flows.Refusal
	if !errors.As(err, &ref) {
		t.Fatalf("error = %v, want a refusal %s", err, want)
	}
	if ref.Reason != want {
		t.Errorf("reason = %s (%v), want %s", ref.Reason, err, want)
	}
}

func query(t *testing.T, s string) url.Values {
	t.Helper()
	u, err := url.Parse(s)
	if err != nil {
		t.Fatal(err)
	}
	return u.Query()
}
