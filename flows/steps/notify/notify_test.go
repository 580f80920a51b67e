package notify

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"github.com/sallyport-gateway/sallyport/flows"
	"github.com/sallyport-gateway/sallyport/flows/flowstest"
)

// desk is a messenger that keeps what it is given.
type desk struct {
	sent []flows.Message
	err  error
}

func (d *desk) Send(_ context.Context, m flows.Message) error {
	d.sent = append(d.sent, m)
	return d.err
}

// post is one that sends beside the run, as the hall's do.
type post struct {
	desk
	posted []flows.Message
}

func (p *post) Post(_ context.Context, m flows.Message) { p.posted = append(p.posted, m) }

func start(t *testing.T, by flows.Messenger, lines string) *Notify {
	t.Helper()
	n := new(Notify)
	if err := n.UnmarshalCaddyfile(caddyfile.NewTestDispenser("notify mail {\n" + lines + "\n}")); err != nil {
		t.Fatal(err)
	}
	reg := flowstest.NewRegistry()
	reg.Messengers = map[string]flows.Messenger{"mail": by}
	if err := n.Bind(reg); err != nil {
		t.Fatal(err)
	}
	return n
}

func run() *flows.Execution {
	return &flows.Execution{
		ID: "run1", Flow: "staff", Language: "de", User: &flows.User{Key: "corp:1", Name: "anna", Email: "anna@example.com"},
		Request: flows.Request{Host: "app.example.com", IP: "192.0.2.7"},
	}
}

const hello = "subject \"{user.name} at {request.host}\"\ntext \"From {request.ip} at {time}.{user.nothing}\""

// quiet forgets: the suite enters many runs at once.
type quiet struct{}

func (quiet) Send(context.Context, flows.Message) error { return nil }

func TestNotifyIsAStep(t *testing.T) {
	t.Parallel()
	flowstest.TestStep(t, start(t, quiet{}, hello), run)
	flowstest.TestStep(t, start(t, quiet{}, hello+"\nrequired"), run)
}

func TestNotifySays(t *testing.T) {
	t.Parallel()
	d := new(desk)
	n := start(t, d, hello)
	for range 2 {
		if o, err := n.Enter(t.Context(), run()); err != nil || flowstest.Look(o).Kind != "continue" {
			t.Fatal(o, err)
		}
	}
	m := d.sent[0]
	if m.To != "anna@example.com" || m.Subject != "anna at app.example.com" || m.Text != "From 192.0.2.7 at 2026-03-01 12:00 UTC." || m.Language != "de" || m.Kind != "notice" {
		t.Errorf("%+v", m)
	}
	if m.ID == "" || d.sent[1].ID != m.ID {
		t.Error("a second try is a second message")
	}
}

func TestNotifyHoldsNobodyUp(t *testing.T) {
	t.Parallel()
	p := &post{desk: desk{err: errors.New("the line is dead")}}
	n := start(t, p, hello)
	if o, err := n.Enter(t.Context(), run()); err != nil || flowstest.Look(o).Kind != "continue" || len(p.posted) != 1 || len(p.sent) != 0 {
		t.Errorf("%v, %v: %+v", o, err, p)
	}
	x := run()
	x.User.Email = ""
	if o, err := n.Enter(t.Context(), x); err != nil || flowstest.Look(o).Kind != "continue" || len(p.posted) != 1 {
		t.Errorf("nobody to tell: %v, %v: %+v", o, err, p)
	}
}

func TestNotifyRequired(t *testing.T) {
	t.Parallel()
	p := &post{desk: desk{err: errors.New("the line is dead")}}
	n := start(t, p, hello+"\nrequired")
	nobody := run()
	nobody.User.Email = ""
	for _, x := range []*flows.Execution{run(), nobody} {
		if o, err := n.Enter(t.Context(), x); o != nil || flows.ReasonOf(err) != flows.ReasonUnsent || !errors.Is(err, flows.ErrUnavailable) || len(p.posted) != 0 {
			t.Errorf("%v, %v", o, err)
		}
	}
	p.err = nil
	if o, err := n.Enter(t.Context(), run()); err != nil || flowstest.Look(o).Kind != "continue" {
		t.Errorf("%v, %v", o, err)
	}
}

func TestNotifyOfAnEvent(t *testing.T) {
	t.Parallel()
	d := new(desk)
	n := start(t, d, "to ops@example.com\ntext \"{event.kind}: {event.reason}\"")
	x := run()
	x.Event = &flows.Event{Kind: "session_ended", Reason: "revoked"}
	if _, err := n.Enter(t.Context(), x); err != nil || d.sent[0].Text != "session_ended: revoked" || d.sent[0].To != "ops@example.com" {
		t.Errorf("%+v, %v", d.sent, err)
	}
	if n.Conditions() != nil {
		t.Error("a text that names nobody needs nobody")
	}
}

func TestNotifyIsRefusedAtLoad(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"notify":      "name of a messenger",
		"notify mail": "says nothing",
		"notify mail {\ntext \"{env.SECRET}\"\n}":  "no others",
		"notify mail {\nbody x\n}":                 "no option 'body'",
		"notify mail {\ntext a\ntext b\n}":         "written twice",
		"notify mail {\ntext a\nrequired twice\n}": "required is written twice, or does not take 1",
	} {
		if err := new(Notify).UnmarshalCaddyfile(caddyfile.NewTestDispenser(in)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", in, err, want)
		}
	}
}
