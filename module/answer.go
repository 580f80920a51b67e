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
	// detour is the run as it was before its first step, where our own page comes
	// first: a browser that is sent away at once cannot keep a fragment (B10).
	detour *flows.Execution
}

// noStay answers a request that was to be signed in without a page, and cannot be.
func (a *answer) noStay() (bool, error) {
	if !a.v.stays() {
		return false, nil
	}
	a.v.vouch.stay = nil
	return a.v.withoutPage(a.x.Fresh)
}

func (a *answer) Continue() error { return errors.New("continue is the engine's") }
func (a *answer) Take(int) error  { return errors.New("take is the engine's") }

func (a *answer) Ask(p flows.Page) error {
	if done, err := a.noStay(); done {
		return err
	}
	v := a.v
	if err := v.savePending(a.id, a.x); err != nil {
		return v.failed(a.x, err)
	}
	problem := p.Problem
	if !a.posted && (problem == flows.ReasonTooManyTries || problem == flows.ReasonMessageNotSent) {
		problem = "" // of something that was to be sent: its page says so again
	}
	switch problem {
	case "":
		if a.ours() && v.r.Method == http.MethodGet {
			return v.ask(http.StatusOK, a.id, a.x, p)
		}
		// At an application's address the answer is always a redirect: our pages live under /.identity/.
		if isNavigation(v.r) || a.posted && acceptsHTML(v.r.Header) || !strings.HasPrefix(v.r.URL.Path, "/.identity/") {
			return v.redirect(a.address())
		}
		return v.ask(http.StatusOK, a.id, a.x, p)
	case flows.ReasonBadCredentials, flows.ReasonWrongCode, flows.ReasonKeyRefused:
		v.slow()
		v.countDenied(a.x, p.Problem)
		return v.ask(http.StatusUnauthorized, a.id, a.x, p)
	case flows.ReasonTicketRefused: // a 401 would ask for another
		v.countDenied(a.x, p.Problem)
		return v.ask(http.StatusForbidden, a.id, a.x, p)
	case flows.ReasonInvalidField:
		return v.ask(http.StatusUnprocessableEntity, a.id, a.x, p)
	case flows.ReasonTooManyTries:
		v.countDenied(a.x, p.Problem)
		v.w.Header().Set("Retry-After", strconv.Itoa(max(p.Wait, 1)))
		return v.ask(http.StatusTooManyRequests, a.id, a.x, p)
	}
	return v.ask(http.StatusOK, a.id, a.x, p)
}

// ours reports that the run's own address was asked for, and not an application's.
func (a *answer) ours() bool {
	return a.v.r.URL.Path == "/.identity/flow" && a.v.r.URL.Query().Get("p") == a.id
}

// address is that of the run's page. It says how many logins in a row this is,
// since the cookie that says it, too, may be lost on the way (B08).
func (a *answer) address() string {
	to := formAddress(a.id, a.x)
	if a.x.Attempt > 0 {
		to += "&a=" + strconv.Itoa(a.x.Attempt)
	}
	return to
}

// formAddress is where the forms of a run are sent. It names what was kept of the way
// there: another tab may sign in first, and this run's cookie is gone then (B06).
func formAddress(id string, x *flows.Execution) string {
	to := "/.identity/flow?p=" + id
	if saved := savedOf(x); validKey(saved) {
		to += "&saved=" + saved
	}
	return to
}

// aside sends the browser to the run's own address, to begin there.
func (a *answer) aside() error {
	if err := a.v.savePending(a.id, a.detour); err != nil {
		return a.v.failed(a.x, err)
	}
	return a.v.redirect(a.address())
}

// mayKeep reports that there may be a fragment, and a browser to keep it. For an
// application that is done on its own host, before the portal is asked.
func (v *visit) mayKeep(x *flows.Execution) bool {
	return x.Saved == "" && x.Hop == nil && x.Action == nil && isWindow(v.r)
}

// keeping asks the page for the fragment.
func (a *answer) keeping(view pages.View) pages.View {
	if a.v.mayKeep(a.x) {
		view.Key, view.Back, view.Kept = a.x.ID, a.x.ReturnTo, a.address()+"&kept="+a.x.ID
	}
	return view
}

func (a *answer) Redirect(to string) error {
	if done, err := a.noStay(); done {
		return err
	}
	if a.detour != nil && a.v.mayKeep(a.x) {
		return a.aside()
	}
	if err := a.v.savePending(a.id, a.x); err != nil {
		return a.v.failed(a.x, err)
	}
	if a.ours() && a.v.mayKeep(a.x) {
		a.v.logWithout("login begun", http.StatusOK, zap.String("provider", a.x.Env.Asked))
		a.v.show(http.StatusOK, a.keeping(pages.View{Kind: pages.KindKeep, Link: to}))
		return nil
	}
	a.v.logWithout("login begun", http.StatusSeeOther, zap.String("provider", a.x.Env.Asked))
	return a.v.redirect(to)
}

func (a *answer) Post(to string, fields []flows.FormField) error {
	if done, err := a.noStay(); done {
		return err
	}
	if a.detour != nil {
		return a.aside()
	}
	if err := a.v.savePending(a.id, a.x); err != nil {
		return a.v.failed(a.x, err)
	}
	a.v.show(http.StatusOK, a.keeping(pages.View{Kind: pages.KindPost, Action: to, Fields: fields}))
	return nil
}

func (a *answer) Deny(d flows.Denial) error { return a.v.denied(a.x, d) }

func (v *visit) ask(status int, id string, x *flows.Execution, p flows.Page) error {
	view := pages.View{
		Kind: pages.KindAsk, Page: &p, Action: formAddress(id, x), Token: x.Token,
		Step: x.Wait.Step, Serial: x.Wait.Serial, FormAction: v.formTargets(),
	}
	if x.Action != nil {
		view.Link, view.LinkLabel = accountPath, "back_to_account"
	}
	if v.mayKeep(x) {
		view.Key, view.Back = x.ID, x.ReturnTo
	}
	if p.Negotiate && v.mayNegotiate() {
		v.w.Header().Set("WWW-Authenticate", negotiate)
		status = http.StatusUnauthorized
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
