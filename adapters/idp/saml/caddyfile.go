package saml

import (
	"maps"
	"slices"
	"strings"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"github.com/sallyport-gateway/sallyport/flows/outbound"
)

// UnmarshalCaddyfile sets up the provider from Caddyfile tokens. The options
// that every provider has are taken out before. Syntax:
//
//	saml {
//	    metadata       <url|file>
//	    entity_id      <id>
//	    key            <pem>
//	    certificate    <pem>
//	    attribute      <attribute> <saml name or friendly name>
//	    subject        <saml name or friendly name>
//	    name_id_format <format>
//	    authn_context  <class>...
//	    force_authn    on|off
//	    sign_requests  on|off
//	    idp_initiated  on|off
//	    clock_skew     <duration>
//	}
//
// A key and its certificate stand on lines of their own; several pairs roll over:
// the first signs, all decrypt and are published.
func (s *SAML) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	d.Next()
	if d.NextArg() {
		return d.ArgErr()
	}
	r := reading{SAML: s}
	seen := map[string]bool{}
	for nesting := d.Nesting(); d.NextBlock(nesting); {
		if d.Nesting() != nesting+1 {
			return d.Errf("unexpected block; saml options take none")
		}
		word := d.Val()
		parse, ok := options[word]
		if !ok {
			return d.Errf("unknown saml option '%s'%s; there are: %s", word, meant(word), strings.Join(slices.Sorted(maps.Keys(options)), ", "))
		}
		if seen[word] && !slices.Contains(repeated, word) {
			return d.Errf("%s is written twice", word)
		}
		seen[word] = true
		if err := parse(&r, d, d.RemainingArgs()); err != nil {
			return err
		}
	}
	return r.complete(d)
}

// reading is a block while it is read: keys and certificates find each other at its end.
type reading struct {
	*SAML
	keys, certificates []string
}

// complete checks what needs no file or secret here, where file and line are known.
func (r *reading) complete(d *caddyfile.Dispenser) error {
	if r.Metadata == "" {
		return d.Err("saml needs metadata: the address or the file of the identity provider's")
	}
	if len(r.keys) != len(r.certificates) {
		return d.Errf("every key needs its certificate; there are %d and %d", len(r.keys), len(r.certificates))
	}
	for i, key := range r.keys {
		r.Keys = append(r.Keys, KeyPair{Key: key, Certificate: r.certificates[i]})
	}
	return nil
}

// repeated are the options that may stand there several times.
var repeated = []string{"key", "certificate", "attribute"}

type option func(r *reading, d *caddyfile.Dispenser, args []string) error

var options = map[string]option{
	"metadata":       metadataOption,
	"entity_id":      oneText(func(r *reading) *string { return &r.EntityID }, checkEntityID),
	"key":            pemOption(func(r *reading) *[]string { return &r.keys }),
	"certificate":    pemOption(func(r *reading) *[]string { return &r.certificates }),
	"attribute":      attributeOption,
	"subject":        subjectOption,
	"name_id_format": oneText(func(r *reading) *string { return &r.NameIDFormat }, oneWord),
	"authn_context":  contextOption,
	"force_authn":    onOff(func(r *reading) *bool { return &r.ForceAuthn }),
	"sign_requests":  onOff(func(r *reading) *bool { return &r.SignRequests }),
	"idp_initiated":  onOff(func(r *reading) *bool { return &r.IDPInitiated }),
	"clock_skew":     skewOption,
}

// oneText takes one argument; what has a placeholder is checked when it is resolved.
func oneText(field func(*reading) *string, check func(string) error) option {
	return func(r *reading, d *caddyfile.Dispenser, args []string) error {
		if len(args) != 1 || args[0] == "" {
			return d.ArgErr()
		}
		if !strings.Contains(args[0], "{") {
			if err := check(args[0]); err != nil {
				return d.WrapErr(err)
			}
		}
		*field(r) = args[0]
		return nil
	}
}

func metadataOption(r *reading, d *caddyfile.Dispenser, args []string) error {
	return oneText(func(r *reading) *string { return &r.Metadata }, checkSource)(r, d, args)
}

func pemOption(list func(*reading) *[]string) option {
	return func(r *reading, d *caddyfile.Dispenser, args []string) error {
		if len(args) != 1 || args[0] == "" {
			return d.ArgErr()
		}
		if slices.Contains(*list(r), args[0]) {
			return d.Errf("'%s' is written twice", outbound.Clip(args[0], 80))
		}
		*list(r) = append(*list(r), args[0])
		return nil
	}
}

// subjectOption is `attribute subject`, as the contract writes it for every provider.
func subjectOption(r *reading, d *caddyfile.Dispenser, args []string) error {
	if len(args) != 1 {
		return d.ArgErr()
	}
	return attributeOption(r, d, []string{"subject", args[0]})
}

func attributeOption(r *reading, d *caddyfile.Dispenser, args []string) error {
	if len(args) != 2 {
		return d.ArgErr()
	}
	if err := checkAttribute(args[0], args[1]); err != nil {
		return d.WrapErr(err)
	}
	if _, ok := r.Attributes[args[0]]; ok {
		return d.Errf("attribute %s is written twice", args[0])
	}
	if r.Attributes == nil {
		r.Attributes = map[string]string{}
	}
	r.Attributes[args[0]] = args[1]
	return nil
}

func contextOption(r *reading, d *caddyfile.Dispenser, args []string) error {
	if len(args) == 0 {
		return d.ArgErr()
	}
	for _, a := range args {
		if err := oneWord(a); err != nil {
			return d.WrapErr(err)
		}
	}
	r.AuthnContext = args
	return nil
}

// onOff reads a switch; the contract writes some of them without a word for on.
func onOff(field func(*reading) *bool) option {
	return func(r *reading, d *caddyfile.Dispenser, args []string) error {
		switch {
		case len(args) == 0:
			*field(r) = true
		case len(args) > 1:
			return d.ArgErr()
		case args[0] != "on" && args[0] != "off":
			return d.Errf("'%s' is unknown here; there are: on, off", args[0])
		default:
			*field(r) = args[0] == "on"
		}
		return nil
	}
}

func skewOption(r *reading, d *caddyfile.Dispenser, args []string) error {
	if len(args) != 1 {
		return d.ArgErr()
	}
	skew, err := caddy.ParseDuration(args[0])
	if err != nil || skew <= 0 || skew > longestSkew {
		return d.Errf("clock_skew '%s' is no duration up to %s, as 180s", args[0], longestSkew)
	}
	r.ClockSkew = caddy.Duration(skew)
	return nil
}

// meant names the option that differs least from a misspelt one.
func meant(word string) string {
	best, least := "", 3
	for _, o := range slices.Sorted(maps.Keys(options)) {
		if n := distance(word, o); n < least {
			best, least = o, n
		}
	}
	if best == "" {
		return ""
	}
	return "; did you mean '" + best + "'?"
}

func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diag := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diag
			if a[i] != b[j] {
				cost++
			}
			diag = row[j+1]
			row[j+1] = min(cost, row[j+1]+1, row[j]+1)
		}
	}
	return row[len(b)]
}
