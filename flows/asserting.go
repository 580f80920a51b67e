package flows

import (
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// Asserting is for dialects that send a token of ours.
type Asserting struct {
	// Audience is whom the token is for (aud, RFC 7519 §4.1.3).
	Audience []string `json:"audience,omitempty"`
	// Issuer is who says so (iss, RFC 7519 §4.1.1).
	Issuer string `json:"issuer,omitempty"`
	// TTL is how long a token is good; it never outlives its session. The request that
	// finds half of it over gets a new one. Default 1m, at most 24h.
	TTL Duration `json:"ttl,omitempty"`
	// Claims are further claims, or others in the place of those of the same name.
	Claims []MappedClaim `json:"claims,omitempty"`
}

// MappedClaim is one claim and where its value comes from.
type MappedClaim struct {
	// Claim is its name in the token.
	Claim string `json:"claim"`
	// Attribute is the name of an attribute, or a dotted path into a nested one; claims.<path> reads the raw claims. Lists, numbers and objects stay what they are; without a value the claim is absent.
	Attribute string `json:"attribute"`
}

const (
	// DefaultTTL is how long a token is good.
	DefaultTTL = time.Minute
	// LongestTTL is the most; the keys that verify are published a day longer than
	// they sign.
	LongestTTL = 24 * time.Hour
	// LongestToken is the most bytes of a token, unless configured: groups are long,
	// and base64 makes them longer.
	LongestToken = 8192
)

// Words are its words.
func (*Asserting) Words() []string { return []string{"audience", "issuer", "ttl", "claim"} }

// Repeats is so for claims.
func (*Asserting) Repeats(word string) bool { return word == "claim" }

// SetOption reads one of them.
func (a *Asserting) SetOption(word string, args []string) error {
	switch word {
	case "audience":
		if len(args) == 0 {
			return errors.New("audience takes at least one name of whom the token is for")
		}
		a.Audience = args
		return nil
	case "claim":
		if len(args) != 2 {
			return fmt.Errorf("claim takes the name of a claim and an attribute, got %d arguments", len(args))
		}
		a.Claims = append(a.Claims, MappedClaim{args[0], attributeName(args[1])})
		return nil
	}
	if len(args) != 1 || args[0] == "" {
		return fmt.Errorf("%s takes exactly one argument, got %d", word, len(args))
	}
	if word == "issuer" {
		a.Issuer = args[0]
		return nil
	}
	ttl, err := time.ParseDuration(args[0])
	if err != nil {
		return fmt.Errorf("ttl '%s' is no duration such as 30s or 5m", args[0])
	}
	if a.TTL = Duration(ttl); ttl == 0 {
		return errTTL
	}
	return nil
}

// attributeName takes {user.department} for department.
func attributeName(s string) string {
	if inner, ok := strings.CutPrefix(s, "{user."); ok {
		return strings.TrimSuffix(inner, "}")
	}
	return s
}

var errTTL = errors.New("ttl must be between 1s and 24h: nobody can take a token back")

// ours are claims that mean something to whoever verifies a token.
var ours = []string{"iss", "aud", "exp", "nbf", "iat", "jti"}

// Validate refuses what no verifier would take.
func (a *Asserting) Validate() error {
	if t := time.Duration(a.TTL); t != 0 && (t < time.Second || t > LongestTTL) {
		return errTTL
	}
	if slices.Contains(a.Audience, "") {
		return errors.New("audience: a name must not be empty")
	}
	for i, c := range a.Claims {
		switch {
		case c.Claim == "":
			return errors.New("claim: its name must not be empty")
		case slices.Contains(ours, c.Claim):
			return fmt.Errorf("claim %s: the gateway says it itself, as it does: %s", c.Claim, strings.Join(ours, ", "))
		case c.Attribute == "" || strings.ContainsAny(c.Attribute, "{} ") || strings.HasSuffix(c.Attribute, "."):
			return fmt.Errorf("claim %s: '%s' is no attribute", c.Claim, c.Attribute)
		case slices.ContainsFunc(a.Claims[:i], func(o MappedClaim) bool { return o.Claim == c.Claim }):
			return fmt.Errorf("claim %s is written twice", c.Claim)
		}
	}
	return nil
}

// ValidAttribute says why a text names no attribute of a person.
func ValidAttribute(word, attribute string) error {
	if strings.ContainsAny(attribute, "{} ") || strings.HasSuffix(attribute, ".") {
		return fmt.Errorf("%s: '%s' is no attribute", word, attribute)
	}
	return nil
}

// Attributes are those that its claims show.
func (a *Asserting) Attributes() (names []string) {
	for _, c := range a.Claims {
		names = append(names, c.Attribute)
	}
	return names
}

// Token begins a token about the person of f, with the claims that all have: who
// says it, of whom, to whom, when and until when. A claim without a value is
// absent, and a dialect may change each.
func (a *Asserting) Token(f *Facts, s Signer, algorithm, subject string) Token {
	issued, expires := a.times(f)
	t := Token{
		Algorithm: algorithm, Issued: issued, Expires: expires, Header: map[string]any{},
		Claims: map[string]any{"iat": issued.Unix(), "exp": expires.Unix()},
	}
	t.Put("iss", a.Issuer)
	if a.Issuer == "" {
		t.Put("iss", s.Issuer(f))
	}
	t.Put("sub", subject)
	switch len(a.Audience) {
	case 0:
		t.Put("aud", f.Origin())
	case 1:
		t.Put("aud", a.Audience[0])
	default:
		t.Put("aud", a.Audience)
	}
	return t
}

// times are in whole seconds (NumericDate, RFC 7519 §2). A token never outlives its
// session, which cannot take it back.
func (a *Asserting) times(f *Facts) (issued, expires time.Time) {
	ttl := time.Duration(a.TTL)
	if ttl == 0 {
		ttl = DefaultTTL
	}
	issued = f.Now.Truncate(time.Second)
	expires = issued.Add(ttl).Truncate(time.Second)
	if f.Session != nil && !f.Session.Expires.IsZero() && f.Session.Expires.Before(expires) {
		expires = f.Session.Expires.Truncate(time.Second)
	}
	return issued, expires
}

// Put sets a claim that has a value.
func (t *Token) Put(claim string, v any) {
	switch v := v.(type) {
	case nil:
		return
	case string:
		if v == "" {
			return
		}
	case []string:
		if v = slices.DeleteFunc(slices.Clone(v), func(s string) bool { return s == "" }); len(v) == 0 {
			return
		}
		t.Claims[claim] = v
		return
	}
	t.Claims[claim] = v
}

// NewID gives the token an id of its own (jti, RFC 7519 §4.1.7).
func (t *Token) NewID() { t.Claims["jti"] = rand.Text() }

// Send puts the configured claims in, signs, and writes the token as one header. It
// is good for half of its life: then there is time left for whoever got it.
func (a *Asserting) Send(f *Facts, s Signer, t Token, w HeaderWriter, header string, longest int) error {
	if !Wants(w, header) {
		return nil
	}
	for _, c := range a.Claims {
		delete(t.Claims, c.Claim)
		v := f.User.Lookup(c.Attribute)
		if c.Claim == "sub" { // a string (RFC 7519 §4.1.2)
			v = First(v)
		}
		t.Put(c.Claim, v)
	}
	if t.Claims["sub"] == nil {
		return Refuse(ReasonNameMissing, fmt.Errorf("header %s: there is no value for the claim sub", header))
	}
	sign := s.Sign
	if outlined(w) {
		sign = func(t Token) (string, error) { return t.Outline() }
	}
	text, err := sign(t)
	if err != nil {
		return fmt.Errorf("header %s: %w", header, err)
	}
	Until(w, f.Now.Add(t.Expires.Sub(f.Now)/2))
	if longest == 0 {
		longest = LongestToken
	}
	return w.Set(header, []string{text}, HeaderOptions{Single: true, Encode: "raw", Max: longest})
}

// Origin is that of the request, as browsers know it; "" without one.
func (f *Facts) Origin() string {
	if f.Request == nil || f.Request.Host == "" {
		return ""
	}
	return f.Request.Scheme + "://" + f.Request.Host
}

// Duration is a time.Duration that JSON may also write as text, such as "1m".
type Duration time.Duration

// UnmarshalJSON reads text, or a number of nanoseconds.
func (d *Duration) UnmarshalJSON(b []byte) error {
	var text string
	if json.Unmarshal(b, &text) == nil {
		v, err := time.ParseDuration(text)
		*d = Duration(v)
		return err
	}
	return json.Unmarshal(b, (*time.Duration)(d))
}
