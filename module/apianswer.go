package module

import (
	"errors"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"go.uber.org/zap"

	"github.com/sallyport-gateway/sallyport/flows"
	"github.com/sallyport-gateway/sallyport/module/session"
)

// refuseClient answers a program whose credential is no good, or could not be judged.
// It is counted; the trail holds none of these (I25).
func (v *visit) refuseClient(t *taker, err error) error {
	if couldNotTell(err) {
		return v.notJudged(t, err)
	}
	var wait *flows.WaitError
	switch reason := flows.ReasonOf(err); {
	case errors.As(err, &wait):
		v.w.Header().Set("Retry-After", strconv.Itoa(max(flows.WaitSeconds(wait.Wait), 1)))
		return v.tellClient(t, http.StatusTooManyRequests, reason, err)
	case reason == flows.ReasonInvalidRequest: // RFC 6750 §3.1
		return v.tellClient(t, http.StatusBadRequest, reason, err)
	}
	reason := flows.ReasonInvalidToken
	if t.Scheme() == basicScheme {
		reason = flows.ReasonBadCredentials
		v.slow()
	}
	return v.tellClient(t, http.StatusUnauthorized, reason, err)
}

// notJudged answers when the credential could not be judged: nobody is refused by that,
// and nothing is let through (I16).
func (v *visit) notJudged(t *taker, err error) error {
	if v.r.Context().Err() != nil {
		return nil
	}
	id, reason := newID(), flows.ReasonOf(err)
	if reason == flows.ReasonInternal {
		reason = flows.ReasonStoreDown
	}
	v.app.shared.metrics.denials.WithLabelValues(v.app.shared.metrics.reason(reason)).Inc()
	v.logProgram("program not judged", id, t, reason, zap.Error(err))
	v.w.Header().Set("Retry-After", "5")
	v.showError(http.StatusServiceUnavailable, reason, "", id)
	return nil
}

// logProgram writes a line, so many a minute: whoever is outside brings it about.
func (v *visit) logProgram(msg, id string, t *taker, reason flows.Reason, detail zap.Field) {
	fields := []zap.Field{
		zap.String("id", id), zap.String("provider", t.provider.Name), zap.String("reason", string(reason)),
		zap.String("client_ip", v.ip()), zap.String("host", v.place.host), zap.String("path", v.r.URL.Path), detail,
	}
	if line := v.app.strangers.Check(zap.WarnLevel, msg); line != nil {
		line.Write(fields...)
	} else {
		v.app.log.Debug(msg, fields...)
	}
}

// refuseKnown answers a program that the flow of this route refused.
func (v *visit) refuseKnown(t *taker, c *session.Client) error {
	reason := flows.ReasonOf(c.Refusal)
	switch {
	case c.ID == "":
		return v.refuseClient(t, c.Refusal)
	case reason == flows.ReasonRevoked:
		return v.refuseClient(t, flows.ErrCredentials)
	}
	v.app.shared.metrics.denials.WithLabelValues(v.app.shared.metrics.reason(reason)).Inc()
	v.showError(http.StatusForbidden, reason, c.Text, c.ID)
	return nil
}

func (v *visit) tellClient(t *taker, status int, reason flows.Reason, err error) error {
	a, id := v.app, newID()
	a.shared.metrics.tries.WithLabelValues(a.shared.metrics.reason(reason)).Inc()
	detail := zap.Error(err)
	var cause *flows.CredentialsError
	if errors.As(err, &cause) {
		detail = zap.String("detail", string(cause.Reason)+" "+cause.Detail)
	}
	v.logProgram("program refused", id, t, reason, detail)
	if c := v.challengeOf(t, reason); c != "" && status != http.StatusTooManyRequests {
		v.w.Header().Add("WWW-Authenticate", c)
	}
	return v.json(status, map[string]any{"error": reason, "id": id})
}

// challengeOf is how a provider's scheme is asked for (RFC 7617 §2, RFC 6750 §3); ""
// where no header is.
func (v *visit) challengeOf(t *taker, reason flows.Reason) string {
	scheme := t.Scheme()
	if scheme == "" {
		return ""
	}
	c := scheme + ` realm="` + strings.Map(plainRealm, v.place.host) + `"`
	switch {
	case scheme == basicScheme:
		return c + `, charset="UTF-8"`
	case reason != "":
		return c + `, error="` + string(reason) + `"`
	}
	return c
}

func plainRealm(r rune) rune {
	if r < ' ' || r > '~' || r == '"' || r == '\\' {
		return -1
	}
	return r
}

// offerSchemes says in an answer to nobody which credentials this route takes. Basic is
// not offered to a page's script: its browser would ask the person for a password.
func (v *visit) offerSchemes() {
	if v.p.gate == nil || v.p.api == nil {
		return
	}
	var said []string
	for i := range v.p.api.takers {
		t := &v.p.api.takers[i]
		c := v.challengeOf(t, "")
		if c == "" || slices.Contains(said, c) || t.Scheme() == basicScheme && v.r.Header.Get("Sec-Fetch-Mode") != "" {
			continue
		}
		said = append(said, c)
		v.w.Header().Add("WWW-Authenticate", c)
	}
}
