package module

import (
	"context"
	"errors"
	"time"

	"go.uber.org/zap"

	"github.com/sallyport-gateway/sallyport/flows"
)

// notices are what people are told of their account, on its way to them.
type notices struct {
	// by is the messenger they go by; nil: nobody is told.
	by *worded

	backlog[*mail]
}

// mail is one notice.
type mail struct {
	flows.Message
	by    *worded
	ctx   context.Context
	user  flows.UserKey
	until time.Time
}

// bindNotices finds how notices go: as the codes of the factor email do, else by
// the only messenger to e-mail addresses.
func (a *App) bindNotices() {
	name := ""
	if f, ok := a.factors["email"].(interface{ Through() string }); ok {
		name = f.Through()
	} else {
		for n, m := range a.messengers {
			if f, ok := m.(flows.Mailer); !ok || !f.Mails() {
				continue
			}
			if name != "" { // two: nobody said which
				return
			}
			name = n
		}
	}
	if m, ok := a.messengers[name]; ok {
		a.notices.by = &worded{a: a, name: name, to: m}
	}
}

// warnUntold says that nobody hears of what is done to their account.
func (a *App) warnUntold() {
	if len(a.factors) > 0 && a.notices.by == nil {
		a.log.Warn("people are not told when a factor is added to their account: there is no messenger to e-mail addresses, or there are several and no factor email")
	}
}

// tell tells a person what was done to their account: kind finds the words,
// values fill them in (host, factor, …). It goes to the address that somebody
// vouched for. It waits for nothing and fails nothing: what could not be sent is
// counted and logged.
func (a *App) tell(ctx context.Context, u *flows.User, language, kind string, values map[string]string) {
	by := a.notices.by
	if by == nil {
		return
	}
	n := &mail{by: by, ctx: context.WithoutCancel(ctx), user: u.Key, until: time.Now().Add(tryFor)}
	n.ID, n.Kind, n.To, n.Language = newID(), kind, u.Email, language
	n.Values = map[string]string{"time": Now().UTC().Format("2006-01-02 15:04 UTC")}
	for name, v := range values {
		n.Values[name] = v
	}
	if u.Email == "" {
		a.untold(n, "no_address", errors.New("no vouched address is known"))
		return
	}
	a.queue(n)
}

func (a *App) queue(n *mail) {
	if !a.notices.add(n, func() { a.aside("telling people", a.tellWaiting) }) {
		a.untold(n, "unsent", errors.New("too many are on their way"))
	}
}

// Post has a message sent beside the run, as notices are.
func (w *worded) Post(ctx context.Context, m flows.Message) {
	if m.ID == "" {
		m.ID = newID()
	}
	w.a.queue(&mail{Message: m, by: w, ctx: context.WithoutCancel(ctx), until: time.Now().Add(tryFor)})
}

var _ flows.Poster = (*worded)(nil)

func (a *App) tellWaiting() {
	for n, ok := a.notices.next(); ok; n, ok = a.notices.next() {
		if err := a.send(n); err != nil {
			a.untold(n, "unsent", err)
		}
	}
}

func (a *App) send(n *mail) error {
	ctx, cancel := context.WithDeadline(n.ctx, n.until)
	defer cancel()
	return persist(ctx, func(ctx context.Context) error { return n.by.Send(ctx, n.Message) })
}

func (a *App) untold(n *mail, outcome string, err error) {
	kind := "other"
	if a.pages.Words(&n.Message) {
		kind = n.Kind
	}
	a.shared.metrics.messages.WithLabelValues(n.by.name, kind, outcome).Inc()
	a.log.Warn("a person was not told", zap.String("kind", n.Kind), zap.String("user", string(n.user)), zap.Error(err))
}
