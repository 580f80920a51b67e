package module

import (
	"encoding/base64"
	"encoding/json"
	"net/url"
	"time"

	"github.com/sallyport-gateway/sallyport/flows"
)

func stepUpURL(name, value string) string {
	return "/.identity/step-up?" + url.Values{name: {value}}.Encode()
}

// stepUpToken is a step_up without an approval on its way through a script: what
// flow it is, is the gateway's own word (I01).
type stepUpToken struct {
	Base    string `json:"b"`
	Flow    string `json:"f"`
	Expires int64  `json:"e"`
}

func (v *visit) sealStepUp(su flows.StepUp) (string, error) {
	k, err := v.app.keys.ring(v.r.Context())
	if err != nil {
		return "", err
	}
	b, err := json.Marshal(stepUpToken{v.p.Flow, su.Flow, Now().Add(approvalFor).Unix()})
	if err != nil {
		return "", err
	}
	sealed, err := k.Seal("step-up", v.place.origin+" "+v.session.ID(), b)
	return base64.RawURLEncoding.EncodeToString(sealed), err
}

func (v *visit) openStepUp(text string) (stepUpToken, error) {
	var t stepUpToken
	k, err := v.app.keys.ring(v.r.Context())
	if err != nil {
		return t, err
	}
	sealed, err := base64.RawURLEncoding.Strict().DecodeString(text)
	if err != nil || len(text) > 1024 {
		return t, errNoApproval
	}
	b, err := k.Open("step-up", v.place.origin+" "+v.session.ID(), sealed)
	if err != nil {
		return t, errNoApproval
	}
	if err := json.Unmarshal(b, &t); err != nil || Now().After(time.Unix(t.Expires, 0)) {
		return t, errNoApproval
	}
	return t, nil
}
