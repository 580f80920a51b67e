package module

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"math/big"
	"net/http"
	"time"

	"go.uber.org/zap"

	"github.com/sallyport-gateway/sallyport/flows"
	"github.com/sallyport-gateway/sallyport/flows/audit"
	flowsession "github.com/sallyport-gateway/sallyport/flows/session"
	"github.com/sallyport-gateway/sallyport/module/pages"
)

// failed answers an error of a run: what the far side did wrong is refused,
// what we could not do is 503. Nothing is granted in either case.
func (v *visit) failed(x *flows.Execution, err error) error {
	reason := flows.ReasonOf(err)
	switch {
	case errors.Is(err, context.Canceled):
		return nil
	case reason == flows.ReasonStaleLogin, errors.Is(err, flowsession.ErrEnded):
		return v.stale(x.ReturnTo, savedOf(x), x.Attempt)
	case reason == flows.ReasonProviderDown, reason == flows.ReasonAuditDown, errors.Is(err, flows.ErrUnavailable):
		if reason == flows.ReasonInternal {
			reason = flows.ReasonStoreDown
		}
		v.w.Header().Set("Retry-After", "5")
		return v.refuseLogin(x, http.StatusServiceUnavailable, reason, "", "", err)
	case reason == flows.ReasonInternal:
		return v.refuseLogin(x, http.StatusInternalServerError, reason, "", "", err)
	case reason == flows.ReasonInvalidAnswer, reason == flows.ReasonProviderMismatch:
		return v.refuseLogin(x, http.StatusBadRequest, reason, "", "", err)
	}
	return v.refuseLogin(x, http.StatusForbidden, reason, "", "", err)
}

// denied answers the end of a flow by its own words.
func (v *visit) denied(x *flows.Execution, d flows.Denial) error {
	if d.Reason == flows.ReasonNotAllowed || d.Reason == flows.ReasonConditionError || d.Err == nil {
		return v.refuseLogin(x, http.StatusForbidden, d.Reason, d.Text, d.Source, d.Err)
	}
	return v.failed(x, flows.Refuse(d.Reason, d.Err))
}

func (v *visit) refuseLogin(x *flows.Execution, status int, reason flows.Reason, text, source string, err error) error {
	e := v.event(audit.LoginDenied)
	e.Flow, e.Step, e.Provider, e.Reason, e.Text, e.Rule = x.Flow, v.app.stepLabel(x), x.Env.Asked, reason, text, source
	e.Risk = riskOf(x)
	if x.User != nil {
		e.User, e.Name, e.Provider, e.Person = x.User.Key, x.User.Name, cmp.Or(e.Provider, x.User.Provider), x.User
	}
	if reason == flows.ReasonNotAllowed || reason == flows.ReasonConditionError {
		e.Facts, e.Path = v.runFacts(x), x.Request.Path
	}
	if err != nil {
		e.Detail = err.Error()
		v.app.log.Warn("login refused", zap.String("id", e.ID), zap.String("reason", string(reason)), zap.Error(err))
	}
	v.app.trail.Note(e)
	refs := map[string]string{}
	if v.session != nil {
		refs = refsOf(v.session.Readings)
	}
	v.tellSignals(x, e, false, refs)
	view := pages.View{Kind: pages.KindError, Reason: reason, Text: text, ID: e.ID, Link: loginURL(x.ReturnTo)}
	if reason == flows.ReasonNotAllowed {
		view.Kind = pages.KindDenied
		view.Link = ""
	}
	if status == http.StatusServiceUnavailable {
		view.RetryAfter = 5
	}
	v.show(status, view)
	return nil
}

// countDenied counts a wrong answer: refusals of strangers are counted, not
// written one by one (I25). What a directory said of them goes no further.
func (v *visit) countDenied(x *flows.Execution, reason flows.Reason) {
	v.tellTry(x, reason)
	more := zap.Skip()
	if c := x.Env.Cause; c != nil {
		reason, more = cmp.Or(c.Reason, reason), zap.String("detail", c.Detail)
	}
	v.app.shared.metrics.tries.WithLabelValues(v.app.shared.metrics.reason(reason)).Inc()
	v.app.log.Debug("answer refused", zap.String("run", x.ID), zap.String("reason", string(reason)), zap.String("ip", v.ip()), more)
}

// slow makes a wrong first factor take 250 ms and some jitter (B27).
func (v *visit) slow() {
	n, err := rand.Int(rand.Reader, big.NewInt(int64(100*time.Millisecond)))
	if err != nil {
		n = new(big.Int)
	}
	t := time.NewTimer(250*time.Millisecond + time.Duration(n.Int64()))
	defer t.Stop()
	select {
	case <-t.C:
	case <-v.r.Context().Done():
	}
}
