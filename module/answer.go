package module

import (
	"errors"
	"net/http"
	"strconv"
	"strings"

	"go.uber.org/zap"

	"github.com/sallyport-gateway/sallyport/flows"
	"github.com/sallyport-gateway/sallyport/module/pages"
)

// answer renders outcomes for the browser.
type answer struct {
	v      *visit
	id     string
	x      *flows.Execution
	posted bool
}

func (a *answer) Continue() error { return errors.New("continue is the engine's") }
func (a *answer) Take(int) error  { return errors.New("take is the engine's") }

func (a *answer) Ask(p flows.Page) error {
	v := a.v
	if err := v.savePending(a.id, a.x); err != nil {
		return v.failed(a.x, err)
	}
	switch p.Problem {
	case "":
		// At an application's address the answer is always a redirect: our pages live under /.identity/.
		if isNavigation(v.r) || a.posted && acceptsHTML(v.r.Header) || !strings.HasPrefix(v.r.URL.Path, "/.identity/") {
			return v.redirect("/.identity/flow?p=" + a.id)
		}
		return v.ask(http.StatusOK, a.id, a.x, p)
	case flows.ReasonBadCredentials:
		v.slow()
		v.countDenied(a.x, p.Problem)
		return v.ask(http.StatusUnauthorized, a.id, a.x, p)
	case flows.ReasonTooManyTries:
		v.countDenied(a.x, p.Problem)
		v.w.Header().Set("Retry-After", strconv.Itoa(max(p.Wait, 1)))
		return v.ask(http.StatusTooManyRequests, a.id, a.x, p)
	}
	return v.ask(http.StatusOK, a.id, a.x, p)
}

func (a *answer) Redirect(to string) error {
	if err := a.v.savePending(a.id, a.x); err != nil {
		return a.v.failed(a.x, err)
	}
	a.v.logWithout("login begun", http.StatusSeeOther, zap.String("provider", a.x.Provider))
	return a.v.redirect(to)
}

func (a *answer) Post(to string, fields []flows.FormField) error {
	if err := a.v.savePending(a.id, a.x); err != nil {
		return a.v.failed(a.x, err)
	}
	a.v.show(http.StatusOK, pages.View{Kind: pages.KindPost, Action: to, Fields: fields})
	return nil
}

func (a *answer) Deny(d flows.Denial) error { return a.v.denied(a.x, d) }

func (a *answer) Park(flows.Parked) error { return errors.New("nothing parks in this release") }

func (v *visit) ask(status int, id string, x *flows.Execution, p flows.Page) error {
	view := pages.View{
		Kind: pages.KindAsk, Page: &p, Action: "/.identity/flow?p=" + id, Token: x.Token,
		Step: x.Wait.Step, Serial: x.Wait.Serial, FormAction: v.formTargets(),
	}
	v.show(status, view)
	return nil
}

// formTargets are where a form of ours may lead: Chromium applies form-action
// to the redirects behind a POST, and a chooser leads to a provider.
func (v *visit) formTargets() []string {
	if v.place.secure {
		return []string{"https:"}
	}
	return []string{"https:", "http://127.0.0.1:*", "http://localhost:*"}
}
