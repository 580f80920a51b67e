package saml

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/beevik/etree"

	"github.com/sallyport-gateway/sallyport/flows"
	"github.com/sallyport-gateway/sallyport/flows/outbound"
)

// maxMessage is the longest SAMLResponse that is read, in base64.
const maxMessage = 256 << 10

// Handle finds the RelayState of an answer. It stands there once, or the answer
// is refused. It is a name for a pending login and never an address (S8).
func (s *SAML) Handle(c flows.Callback) (string, error) {
	if err := singular(c.Values); err != nil {
		return "", invalid(err)
	}
	state := first(c.Values, "RelayState")
	if state == "" {
		return "", invalidf("answer without RelayState")
	}
	return state, nil
}

// Receive verifies what can be verified without knowing the browser. The answer
// to an initiated login has no InResponseTo at all; any other needs its pending
// login, whatever the configuration allows.
func (s *SAML) Receive(ctx context.Context, c flows.Callback) (flows.Received, error) {
	f, err := s.facts(ctx, c)
	if err != nil {
		return flows.Received{}, err
	}
	answer, err := json.Marshal(f)
	if err != nil {
		return flows.Received{}, invalid(err)
	}
	user, err := s.user(f)
	if err != nil {
		return flows.Received{}, err
	}
	return flows.Received{
		Handle: first(c.Values, "RelayState"), Initiated: f.InResponseTo == "", Name: user.Name, Once: []flows.Mark{f.once()}, Answer: answer,
	}, nil
}

// invalid refuses what the far side sent.
func invalid(err error) error { return flows.Refuse(flows.ReasonInvalidAnswer, err) }

func invalidf(format string, args ...any) error { return invalid(fmt.Errorf(format, args...)) }

// answerParams are the parameters of an answer. Twice the same one would let two
// readers see two answers (O8).
var answerParams = []string{"SAMLResponse", "RelayState", "SAMLRequest", "SAMLart"}

func singular(values map[string][]string) error {
	for _, name := range answerParams {
		if n := len(values[name]); n > 1 {
			return fmt.Errorf("parameter %s stands %d times in the answer", name, n)
		}
	}
	return nil
}

func first(values map[string][]string, name string) string {
	if v := values[name]; len(v) > 0 {
		return v[0]
	}
	return ""
}

// facts verifies a Response. A library that stumbles over what a stranger sent is
// a refusal like any other.
func (s *SAML) facts(ctx context.Context, c flows.Callback) (f *facts, err error) {
	defer func() {
		if r := recover(); r != nil {
			f, err = nil, invalidf("the message could not be read: %v", r)
		}
	}()
	return s.verified(ctx, c)
}

func (s *SAML) verified(ctx context.Context, c flows.Callback) (*facts, error) {
	raw, err := postedMessage(c, "SAMLResponse")
	if err != nil {
		return nil, err
	}
	p, err := s.peer(ctx)
	if err != nil {
		return nil, err
	}
	var keys []spKey
	if bytes.Contains(raw, []byte("EncryptedAssertion")) {
		if keys, err = s.spKeys(ctx); err != nil {
			return nil, err
		}
	}
	m := reception{s: s, peer: p, keys: keys, acs: c.URL, entity: s.entityID(baseOf(c.URL)), now: s.now(), skew: s.skew()}
	f, err := m.read(ctx, raw)
	if errors.Is(err, errForeign) || errors.Is(err, errSealed) {
		// Keys are rolled over between two looks at the metadata.
		if newer := s.again(ctx, p); newer != nil {
			m.peer = newer
			f, err = m.read(ctx, raw)
		}
	}
	if err != nil {
		return nil, refusal(err)
	}
	if f.InResponseTo == "" && !s.IDPInitiated {
		return nil, invalidf("the provider began this login by itself; `idp_initiated on` would allow that")
	}
	return f, nil
}

// read makes facts of a message.
func (m *reception) read(ctx context.Context, raw []byte) (f *facts, err error) {
	err = atDesk(ctx, func() error {
		doc, err := parse(raw, messageLimits)
		if err != nil {
			return err
		}
		el, err := m.assertion(doc)
		if err != nil {
			return err
		}
		f, err = m.judge(el)
		return err
	})
	return f, err
}

// refusal makes one of an error that is none yet.
func refusal(err error) error {
	var r *flows.Refusal
	if errors.As(err, &r) {
		return err
	}
	return invalid(err)
}

// postedMessage decodes a message of the POST binding (SAML Bindings §3.5.4).
func postedMessage(c flows.Callback, name string) ([]byte, error) {
	if err := singular(c.Values); err != nil {
		return nil, invalid(err)
	}
	v := first(c.Values, name)
	switch {
	case c.Method != "POST":
		return nil, invalidf("a %s that came by %s", name, outbound.Clip(c.Method, 10))
	case v == "":
		return nil, invalidf("no %s", name)
	case len(v) > maxMessage:
		return nil, flows.Refuse(flows.ReasonTooLarge, fmt.Errorf("%s of %d bytes, at most %d are read", name, len(v), maxMessage))
	case first(c.Values, "SAMLart") != "":
		return nil, invalidf("an artifact beside a %s", name)
	}
	raw, err := base64.StdEncoding.DecodeString(strings.Map(func(r rune) rune {
		if r == ' ' || r == '\t' {
			return -1
		}
		return r
	}, v))
	if err != nil {
		return nil, invalidf("%s is no base64", name)
	}
	return raw, nil
}

// assertion finds the one verified assertion of a Response.
func (m *reception) assertion(doc *document) (*etree.Element, error) {
	if !is(doc.root, nsSAMLP, "Response") {
		return nil, fmt.Errorf("a %s where a Response is expected", outbound.Clip(doc.root.Tag, 40))
	}
	inner, err := loneChild(doc)
	if err != nil {
		return nil, err
	}
	signed, err := verifyEnveloped(doc.root, m.peer.Certs)
	if err != nil && !errors.Is(err, errUnsigned) {
		return nil, err
	}
	header := doc.root
	if signed != nil {
		header = signed
	}
	if err := m.header(header, signed != nil); err != nil {
		return nil, err
	}
	switch {
	case inner == nil:
		return nil, errors.New("a success without assertion")
	case inner.Tag == "EncryptedAssertion":
		return m.opened(header, signed != nil)
	}
	el, err := verifyEnveloped(inner, m.peer.Certs)
	if errors.Is(err, errUnsigned) && signed != nil { // the answer vouches for what is in it
		return only(signed, nsSAML, "Assertion")
	}
	return el, err
}

// opened decrypts the assertion of a Response.
func (m *reception) opened(response *etree.Element, vouched bool) (*etree.Element, error) {
	el, err := only(response, nsSAML, "EncryptedAssertion")
	if err != nil {
		return nil, err
	}
	box, err := readSealed(el)
	if err != nil {
		return nil, err
	}
	return openAssertion(box, m.keys, m.peer.Certs, vouched)
}
