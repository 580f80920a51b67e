package module

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/sallyport-gateway/sallyport/flows"
)

// ExplainCase is a request that is only thought through, and by whom. Everything but the
// URL may be left out.
type ExplainCase struct {
	// The address as the browser has it: https://payroll.example.com/admin?x=1.
	URL string `json:"url"`
	// The method; default GET.
	Method string `json:"method,omitempty"`
	// The client's address; default 127.0.0.1.
	Address string `json:"address,omitempty"`
	// The address that the connection comes from, where that is a proxy; default: the client's.
	Peer string `json:"peer,omitempty"`
	// Headers of the request. Default: a browser's that asks for a page.
	Headers map[string]Words `json:"headers,omitempty"`
	// A form in the body, by name.
	Form map[string]Words `json:"form,omitempty"`
	// JSON in the body, sent as it stands here.
	JSON json.RawMessage `json:"json,omitempty"`
	// When it is; default: now.
	Time time.Time `json:"time,omitzero"`

	// Who asks: the key of somebody as text, or their attributes. Nobody: not signed in.
	User *ExplainUser `json:"user,omitempty"`
	// The public id of a session whose person asks; then user, evidence and flows are its own.
	Session string `json:"session,omitempty"`
	// What they proved. Default: that they just signed in with their provider.
	Evidence []ExplainEvidence `json:"evidence,omitempty"`
	// The flows their session finished. Default: the one of the route is run first, with
	// what they proved.
	Flows []string `json:"flows,omitzero"`
	// How long ago a flow was proved all through, by name, for step_up with a flow.
	Proved map[string]flows.Duration `json:"proved,omitempty"`
	// How old the session is; default: as new as the time says.
	SessionAge flows.Duration `json:"session_age,omitempty"`
	// The factors they have enrolled, by kind. Default: those that the store knows of the
	// person, and none of somebody whose attributes were written by hand.
	Factors []string `json:"factors,omitzero"`
	// The browser.
	Device ExplainDevice `json:"device,omitzero"`
	// What the signals say, by name. The risk steps of the flow weigh it; of a session whose
	// flow is not run, it is what was read then, with its weight; default: that of the
	// risk steps of the route's flow, by whose bands it counts, and 100 where they name
	// no such signal.
	Readings map[string]flows.Reading `json:"readings,omitempty"`
	// What directories answer, by name; null: they know nobody. Others are asked.
	Lookups map[string]flows.Attributes `json:"lookups,omitempty"`
	// Providers that are down, beside those that the health checks say.
	Down []string `json:"down,omitempty"`
	// The request was approved, for step_up with once.
	Approved bool `json:"approved,omitempty"`

	// Offline asks neither the store nor a directory: for configs that do not run.
	Offline bool `json:"-"`
}

// ExplainUser is somebody by their key, or written by hand.
type ExplainUser struct {
	// Key finds somebody who is known: realm, colon, subject.
	Key flows.UserKey
	// Attributes are written by hand: key, provider, subject, name, display_name, email,
	// groups, claims, and any other. A key among them is no search.
	Attributes map[string]any
}

// ExplainEvidence is one thing that the person proved.
type ExplainEvidence struct {
	// The provider that says so; default: that of the user, and none for a factor of ours.
	Provider string `json:"provider,omitempty"`
	// How: oidc, password, or the kind of a factor; default: what the provider does.
	Method string `json:"method,omitempty"`
	// The method references; default: those of the factor, else none.
	AMR []string `json:"amr,omitempty"`
	// The authentication context class.
	ACR string `json:"acr,omitempty"`
	// How long ago.
	Age flows.Duration `json:"age,omitempty"`
	// fallback, enrolled_now, device_trust or idp_initiated; default: a plain proof.
	Kind flows.EvidenceKind `json:"kind,omitempty"`
}

// ExplainDevice is what is known of the browser.
type ExplainDevice struct {
	// The person signed in with it before.
	Known bool `json:"known,omitempty"`
	// They had it trusted, by a proof of Factor (default: the first they have enrolled) so long ago.
	Trusted bool           `json:"trusted,omitempty"`
	Factor  string         `json:"factor,omitempty"`
	Age     flows.Duration `json:"age,omitempty"`
}

// facts are what conditions and signals see of it.
func (d *ExplainDevice) facts() flows.DeviceFacts {
	f := flows.DeviceFacts{Known: d.Known || d.Trusted, Trusted: d.Trusted}
	if f.Known {
		f.ID = explainedID
	}
	return f
}

// Words is one text or a list of them.
type Words []string

// UnmarshalJSON reads either.
func (w *Words) UnmarshalJSON(b []byte) error {
	var one string
	if json.Unmarshal(b, &one) == nil {
		*w = Words{one}
		return nil
	}
	return json.Unmarshal(b, (*[]string)(w))
}

// UnmarshalJSON reads a key as text, or attributes.
func (u *ExplainUser) UnmarshalJSON(b []byte) error {
	if json.Unmarshal(b, &u.Key) == nil {
		return nil
	}
	if err := json.Unmarshal(b, &u.Attributes); err != nil {
		return errors.New("user is the key of somebody as text, or an object of attributes")
	}
	return nil
}

// MarshalJSON writes what UnmarshalJSON reads.
func (u ExplainUser) MarshalJSON() ([]byte, error) {
	if u.Key != "" {
		return json.Marshal(u.Key)
	}
	return json.Marshal(u.Attributes)
}

// byHand is the person whose attributes were written; realm is that of their provider.
func (u *ExplainUser) byHand(provider, realm string) (*flows.User, error) {
	out := &flows.User{Provider: provider, Realm: realm, Attributes: map[string]any{}}
	texts := map[string]*string{
		"key": (*string)(&out.Key), "realm": &out.Realm, "provider": &out.Provider, "subject": &out.Subject,
		"name": &out.Name, "display_name": &out.DisplayName, "email": &out.Email,
	}
	for name, v := range u.Attributes {
		var err error
		switch at := texts[name]; {
		case at != nil:
			s, ok := v.(string)
			if *at = s; !ok {
				err = errors.New("is a text")
			}
		case name == "groups":
			out.Groups, err = textsOf(v)
		case name == "claims":
			m, ok := v.(map[string]any)
			if out.Claims = m; !ok {
				err = errors.New("is an object")
			}
		default:
			out.Attributes[name] = v
		}
		if err != nil {
			return nil, fmt.Errorf("user.%s %w, not %v", name, err, v)
		}
	}
	if out.Subject == "" {
		out.Subject = out.Name
	}
	if out.Name == "" {
		out.Name = out.Subject
	}
	if out.Key != "" || out.Subject == "" {
		return out, nil
	}
	var err error
	out.Key, err = flows.MakeUserKey(out.Realm, out.Subject)
	return out, err
}

func textsOf(v any) ([]string, error) {
	switch v := v.(type) {
	case string:
		return []string{v}, nil
	case []string:
		return slices.Clone(v), nil
	case []any:
		out := make([]string, 0, len(v))
		for _, e := range v {
			s, ok := e.(string)
			if !ok {
				return nil, errors.New("is a list of texts")
			}
			out = append(out, s)
		}
		return out, nil
	}
	return nil, errors.New("is a list of texts")
}
