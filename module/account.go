package module

import (
	"context"
	"errors"
	"fmt"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"time"

	"github.com/sallyport-gateway/sallyport/flows"
	"github.com/sallyport-gateway/sallyport/module/pages"
)

// accountPath is the address of the account page. It is the one of ours that a login
// may lead to.
const accountPath = "/.identity/account"

// account serves /.identity/account: GET shows it, POST begins a change.
func (v *visit) account() error {
	if _, ok := v.app.builtIn[accountView]; !ok {
		return v.noPage()
	}
	switch {
	case v.away(): // the portal's page is the one of all hosts
		return v.redirect(v.app.portal.origin + accountPath)
	case v.session == nil && v.problem != nil && !gone(v.problem):
		return v.unavailable(v.problem)
	case v.exposed():
		return v.insecure()
	}
	if v.session != nil && v.due() {
		v.renew()
	}
	if v.session != nil && flows.FellBack(v.session.Evidence) { // changes nothing of an account (I23)
		return v.refuse(http.StatusForbidden, flows.ReasonFallbackLogin, "", "", errors.New("the session is of a fallback login"))
	}
	if v.r.Method == http.MethodPost {
		return v.beginChange()
	}
	page := isNavigation(v.r) && !pages.WantsJSON(v.r)
	if !v.mayLook() {
		if !page {
			v.w.Header().Set("WWW-Authenticate", "Sallyport")
			return v.json(http.StatusUnauthorized, map[string]any{"error": flows.ReasonLoginRequired, "login_url": accountPath})
		}
		l := login{flow: v.app.builtIn[accountView], returnTo: accountPath}
		if v.session != nil {
			l.since = time.Unix(0, 0)
		}
		return v.startLogin(l)
	}
	me, err := v.app.export(v.r.Context(), v.session.User)
	if err != nil {
		return v.unavailable(err)
	}
	me.here(v)
	if !page {
		return v.json(http.StatusOK, me)
	}
	return v.showAccount(me)
}

// mayLook reports whether the session completed the page's own flow: who has a factor
// proved one, which trust in a browser is not (I03).
func (v *visit) mayLook() bool {
	if v.session == nil {
		return false
	}
	d, ok := v.session.Card.Flows[accountView]
	return ok && d.Digest == v.app.builtIn[accountView].Digest
}

// isDocument reports a navigation of a browser that says so itself. No script of the
// application can make a request that does (I12); what does not say is none.
func (v *visit) isDocument() bool {
	return v.r.Header.Get("Sec-Fetch-Dest") == "document" && v.r.Header.Get("Sec-Fetch-Mode") == "navigate"
}

// accountToken is in the forms of the page: good for one session on one origin.
func (v *visit) accountToken(ctx context.Context) (string, error) {
	k, err := v.app.keys.ring(ctx)
	if err != nil {
		return "", err
	}
	h, err := k.Hashes("account form", v.place.origin+"\x00"+v.session.ID())
	if err != nil {
		return "", err
	}
	return h[0], nil
}

// beginChange begins the run that a button of the page asks for.
func (v *visit) beginChange() error {
	ctx := v.r.Context()
	switch {
	case !v.sameOrigin() || !v.isDocument():
		return v.refuse(http.StatusForbidden, flows.ReasonCrossSite, "", "", errors.New("a change of an account that no page of ours asked for"))
	case !v.mayLook():
		return v.redirect(v.place.origin + accountPath)
	}
	if typ, _, _ := mime.ParseMediaType(v.r.Header.Get("Content-Type")); typ != "application/x-www-form-urlencoded" {
		return v.refuse(http.StatusUnsupportedMediaType, flows.ReasonInvalidAnswer, "", "", fmt.Errorf("a form is expected, not %q", typ))
	}
	values, status, err := v.readForm()
	if err != nil {
		return v.refuse(status, flows.ReasonInvalidAnswer, "", "", err)
	}
	token, err := v.accountToken(ctx)
	if err != nil {
		return v.unavailable(err)
	}
	if !equalToken(one(values, "token"), token) {
		return v.refuse(http.StatusForbidden, flows.ReasonCrossSite, "", "", errors.New("form without the page's token"))
	}
	do, target := one(values, "do"), one(values, "target")
	d, ok := deeds[do]
	if !ok {
		return v.refuse(http.StatusBadRequest, flows.ReasonInvalidAnswer, "", "", fmt.Errorf("the page has no button '%.40s'", do))
	}
	title, err := d.find(v, ctx, target)
	switch {
	case errors.Is(err, flows.ErrNotFound): // gone meanwhile, or never this person's
		return v.redirect(v.place.origin + accountPath)
	case err != nil:
		return v.unavailable(err)
	}
	return v.startChange(&flows.Action{Do: do, Target: target, Title: title})
}

// startChange begins a run without any evidence: what is proved in it is proved for
// this action. It is kept in the store, since it knows the user (I08).
func (v *visit) startChange(action *flows.Action) error {
	now, p := Now(), v.app.builtIn[flowOf(action.Do)]
	x := v.newRun(p, accountPath, now)
	x.Provider, x.User, x.Session, x.Fresh, x.Action = v.session.User.Provider, v.session.User, v.session.ID(), true, action
	v.wants(x, accountPath)
	if action.Title != "" {
		x.Show = []flows.Row{{Name: action.Do, Value: action.Title}}
	}
	return v.advance(newPendingID(now), p, x, nil)
}

// mayChange refuses to go on with a change for anybody but the session that began it,
// and for any request but a navigation: a run shows secrets (I12). It asks the store,
// so that a session that was ended elsewhere changes nothing any more (I15).
func (v *visit) mayChange(x *flows.Execution) (refused bool, err error) {
	switch {
	case x.Action == nil:
		return false, nil
	case !v.isDocument():
		return true, v.refuse(http.StatusForbidden, flows.ReasonCrossSite, "", "", errors.New("a change of an account by a script"))
	case v.session == nil && v.problem != nil && !gone(v.problem):
		return true, v.unavailable(v.problem)
	case v.session == nil || v.session.ID() != x.Session || v.session.User.Key != x.User.Key || flows.FellBack(v.session.Evidence):
		return true, v.redirect(v.place.origin + accountPath)
	}
	err = v.app.sessions.Check(v.r.Context(), v.session)
	switch {
	case err == nil:
		return false, nil
	case gone(err):
		v.app.shared.cache.End(v.session.ID())
		return true, v.redirect(v.place.origin + accountPath)
	}
	return true, v.unavailable(err)
}

// change makes the change that a run was for: once, and with a proof that the run
// itself brought.
func (v *visit) change(id string, x *flows.Execution) error {
	ctx := v.r.Context()
	if !slices.ContainsFunc(x.Evidence, func(e flows.Evidence) bool { return e.Kind == flows.Direct }) {
		return v.failed(x, flows.Refuse(flows.ReasonStaleLogin, errors.New("nothing was proved in the run of a change")))
	}
	if err := v.consume(ctx, id, x); err != nil {
		if flows.ReasonOf(err) == flows.ReasonReplayed {
			return v.redirect(v.place.origin + accountPath)
		}
		return v.failed(x, err)
	}
	if do := deeds[x.Action.Do].do; do != nil {
		if err := do(v, ctx, x); errors.Is(err, flows.ErrNotFound) { // somebody was first
			return v.redirect(v.place.origin + accountPath)
		} else if err != nil {
			return v.failed(x, err)
		}
	}
	v.dropPending(id)
	v.dropStored(id)
	if x.Action.Do == "erase" {
		return v.erased()
	}
	return v.redirect(v.place.origin + accountPath + "?" + url.Values{"done": {x.Action.Do}}.Encode())
}

// dropPending ends one pending run of this browser.
func (v *visit) dropPending(id string) {
	if st, err := v.pendingStore(); err == nil {
		st.Clear(v.w, v.pendingName(id))
	}
}
