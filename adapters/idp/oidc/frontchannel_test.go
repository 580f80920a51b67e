package oidc

import (
	"strings"
	"testing"

	"github.com/sallyport-gateway/sallyport/adapters/idp/oidc/oidctest"
	"github.com/sallyport-gateway/sallyport/flows"
)

// TestO7FrontChannelLogoutIsUnsigned: what a frame's address must carry to be believed.
func TestO7FrontChannelLogoutIsUnsigned(t *testing.T) {
	t.Parallel()
	const sid = "0123456789abcdef"
	r := newRig(t, nil)
	framer, err := r.p.VerifyFrame(t.Context(), r.op.Issuer, sid)
	if err != nil || framer != r.op.Issuer {
		t.Errorf("framed by %q, %v", framer, err)
	}
	for name, tc := range map[string]struct{ iss, sid string }{
		"nothing": {}, "no iss": {"", sid}, "no sid": {r.op.Issuer, ""}, "short sid": {r.op.Issuer, sid[1:]},
		"long sid": {r.op.Issuer, strings.Repeat("x", 256)}, "other iss": {"https://op.example", sid}, "iss and a slash": {r.op.Issuer + "/", sid},
	} {
		if framer, err = r.p.VerifyFrame(t.Context(), tc.iss, tc.sid); flows.ReasonOf(err) != flows.ReasonInvalidAnswer || framer != "" {
			t.Errorf("%s: framed by %q, %v", name, framer, err)
		}
	}
	for _, says := range []any{false, nil} {
		r := newRig(t, nil)
		r.op.SetBehaviour(oidctest.Mode{Discovery: func(_ *oidctest.OP, d map[string]any) {
			if delete(d, "frontchannel_logout_supported"); says != nil {
				d["frontchannel_logout_supported"] = says
			}
		}})
		_, err := r.p.VerifyFrame(t.Context(), r.op.Issuer, sid)
		wantRefusal(t, err, flows.ReasonInvalidAnswer)
	}
}
