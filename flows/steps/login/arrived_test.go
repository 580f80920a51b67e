package login

import (
	"context"
	"errors"
	"testing"

	"github.com/sallyport-gateway/sallyport/flows"
	"github.com/sallyport-gateway/sallyport/flows/flowstest"
)

// begins is a provider that may begin a login by itself.
type begins struct{ away }

func (b *begins) Receive(context.Context, flows.Callback) (flows.Received, error) {
	return flows.Received{}, errors.New("the hall's business")
}

func (b *begins) Finish(_ context.Context, c flows.Callback, private []byte) (flows.Proof, error) {
	if private != nil || string(c.Received) != "answer" {
		return flows.Proof{}, flows.Refuse(flows.ReasonInvalidAnswer, errors.New("private state for an answer nobody asked for"))
	}
	return flows.Proof{User: b.user, Issuer: b.issuer, Evidence: []flows.Evidence{{Method: "saml", At: flowstest.Start}}}, nil
}

func unasked(subject string) *begins { return &begins{*idp(subject)} }

// TestS08ArrivedAnswerIsMarked: what a provider began is evidence of its own kind
// (I03), taken once and only by a login that asks this provider (I02).
func TestS08ArrivedAnswerIsMarked(t *testing.T) {
	t.Parallel()
	both := flowstest.NewRegistry().Add("corp", "saml", unasked("alice")).Add("other", "oidc", idp("alice"))
	for name, tc := range map[string]struct {
		login *Login
		from  string
		known string
		done  bool
		taken bool
		want  flows.Reason
	}{
		"its own":           {&Login{Providers: []string{"corp"}}, "corp", "", true, true, ""},
		"among several":     {&Login{Providers: []string{"other", "corp"}}, "corp", "", true, true, ""},
		"the same person":   {&Login{Providers: []string{"corp"}}, "corp", "corp:alice", true, true, ""},
		"another person":    {&Login{Providers: []string{"corp"}}, "corp", "corp:bob", false, true, flows.ReasonUserMismatch},
		"another provider":  {&Login{Providers: []string{"other"}}, "corp", "", false, false, ""},
		"begins no logins":  {&Login{Providers: []string{"other"}}, "other", "", false, true, flows.ReasonProviderMismatch},
		"satisfied already": {&Login{Providers: []string{"other"}}, "corp", "other:alice", true, false, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRun(t, both, tc.login)
			r.x.Env.Arrived = &flows.Callback{Provider: tc.from, Received: []byte("answer")}
			before := 0
			if tc.known != "" {
				key := flows.UserKey(tc.known)
				provider := tc.login.Providers[0]
				r.x.User, r.x.Inherited = &flows.User{Key: key, Name: "x"}, true
				r.x.Evidence = []flows.Evidence{{User: key, Provider: provider, Method: "saml", At: flowstest.Start}}
				before = 1
			}
			seen, fin := r.advance(nil)
			if (fin != nil) != tc.done || (r.x.Env.Arrived == nil) != tc.taken || seen.Denial.Reason != tc.want {
				t.Fatalf("finished %v, taken %v, %+v", fin != nil, r.x.Env.Arrived == nil, seen)
			}
			if !tc.taken || tc.want != "" {
				return
			}
			if len(r.x.Evidence) != before+1 || r.x.Evidence[before].Kind != flows.IDPInitiated || r.x.Inherited {
				t.Errorf("evidence %+v", r.x.Evidence)
			}
		})
	}
}
