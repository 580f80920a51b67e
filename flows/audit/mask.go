package audit

import (
	"context"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"

	"github.com/sallyport-gateway/sallyport/flows"
)

// Class is a class of personal data. Each field of an event belongs to one, or to none.
type Class string

// The classes. Reasons, rules, kinds, names of flows and of providers, and the random
// ids of entries and sessions belong to none.
const (
	// OfUser is the key of a person.
	OfUser Class = "user"
	// OfName is the name they sign in with.
	OfName Class = "name"
	// OfAddress is the network address they came from.
	OfAddress Class = "address"
	// OfEmail is their e-mail address among the facts of a decision.
	OfEmail Class = "email"
	// OfAttributes are their other attributes among those facts.
	OfAttributes Class = "attributes"
	// OfPath is the path that was asked for.
	OfPath Class = "path"
	// OfContent is what was shown to them before they approved it.
	OfContent Class = "content"
	// OfDetail is the operator's error text, which may quote any of these.
	OfDetail Class = "detail"
)

// Way is what becomes of the data of a class on its way to a sink.
type Way string

// The ways.
const (
	// Keep leaves it whole; it is the default.
	Keep Way = "keep"
	// Truncate leaves the network of an address (/24, /48), the domain of an e-mail
	// address and the first segment of a path.
	Truncate Way = "truncate"
	// Hash puts a token in its place: the same data, the same token, as long as the
	// cluster's first key is the same.
	Hash Way = "hash"
	// Drop leaves nothing.
	Drop Way = "drop"
)

// ways are what each class can be.
var ways = map[Class][]Way{
	OfUser:       {Keep, Hash, Drop},
	OfName:       {Keep, Hash, Drop},
	OfAddress:    {Keep, Truncate, Hash, Drop},
	OfEmail:      {Keep, Truncate, Hash, Drop},
	OfAttributes: {Keep, Drop},
	OfPath:       {Keep, Truncate, Drop},
	OfContent:    {Keep, Drop},
	OfDetail:     {Keep, Drop},
}

// Masks say for each class what becomes of it; what is not named is kept.
type Masks map[Class]Way

// Check refuses what there is not.
func (m Masks) Check() error {
	for _, c := range slices.Sorted(maps.Keys(m)) {
		can, ok := ways[c]
		if !ok {
			return fmt.Errorf("no class of personal data is called '%s'; there are: %s", c, listed(slices.Sorted(maps.Keys(ways))))
		}
		if !slices.Contains(can, m[c]) {
			return fmt.Errorf("%s can be: %s; not '%s'", c, listed(can), m[c])
		}
	}
	return nil
}

func listed[S ~string](all []S) string {
	words := make([]string, len(all))
	for i, s := range all {
		words[i] = string(s)
	}
	return strings.Join(words, ", ")
}

// Tokens makes the token of a value of a class with the cluster's key.
type Tokens func(ctx context.Context, c Class, value string) (string, error)

// Apply is the event as a sink with these masks gets it. Masked names the classes that
// it lost something of. What cannot be masked is an error: it is not shown instead.
func (m Masks) Apply(ctx context.Context, e Event, tokens Tokens) (Event, error) {
	if len(m) == 0 {
		return e, nil
	}
	a := &masking{ctx: ctx, masks: m, tokens: tokens}
	realm, subject, ok := strings.Cut(string(e.User), ":")
	if s := a.text(OfUser, subject); ok && s != subject {
		e.User = flows.UserKey(strings.Trim(realm+":"+s, ":"))
	}
	e.Name = a.text(OfName, e.Name)
	e.IP = a.text(OfAddress, e.IP)
	e.Path = a.text(OfPath, e.Path)
	e.Detail = a.text(OfDetail, e.Detail)
	e.Risk = a.risk(e.Risk)
	if len(e.Show) > 0 && a.way(OfContent) == Drop {
		e.Show = nil
		a.note(OfContent)
	}
	e.Facts = a.facts(e.Facts)
	slices.Sort(a.met)
	e.Masked = slices.Compact(a.met)
	return e, a.err
}

// masking is one event while it is masked.
type masking struct {
	ctx    context.Context
	masks  Masks
	tokens Tokens
	met    []Class
	err    error
}

func (a *masking) way(c Class) Way {
	if w, ok := a.masks[c]; ok {
		return w
	}
	return Keep
}

func (a *masking) note(c Class) { a.met = append(a.met, c) }

func (a *masking) text(c Class, v string) string {
	w := a.way(c)
	if v == "" || w == Keep {
		return v
	}
	a.note(c)
	switch w {
	case Truncate:
		return truncated(c, v)
	case Hash:
		t, err := a.tokens(a.ctx, c, v)
		if err != nil {
			a.err = fmt.Errorf("masking %s: %w", c, err)
			return ""
		}
		return "~" + t
	case Keep, Drop:
	}
	return ""
}

// risk leaves scores and reasons; what a signal found in words may name a place.
func (a *masking) risk(r *Risk) *Risk {
	if r == nil || a.way(OfDetail) != Drop {
		return r
	}
	said := *r
	said.Readings = maps.Clone(r.Readings)
	for name, one := range said.Readings {
		if one.Text != "" || one.Ref != "" {
			one.Text, one.Ref = "", ""
			said.Readings[name] = one
			a.note(OfDetail)
		}
	}
	return &said
}

// truncated leaves what tells a place, not a person. What cannot be read leaves nothing.
func truncated(c Class, v string) string {
	switch c {
	case OfAddress:
		addr, err := netip.ParseAddr(v)
		if port, perr := netip.ParseAddrPort(v); err != nil && perr == nil {
			addr, err = port.Addr(), nil
		}
		addr = addr.Unmap().WithZone("")
		bits := 24
		if addr.Is6() {
			bits = 48
		}
		if p, perr := addr.Prefix(bits); err == nil && perr == nil {
			return p.String()
		}
	case OfEmail:
		if i := strings.LastIndexByte(v, '@'); i >= 0 {
			return v[i:]
		}
	case OfPath:
		if i := strings.IndexByte(strings.TrimPrefix(v, "/"), '/'); i >= 0 {
			return v[:i+2] + "…"
		}
		return v
	case OfUser, OfName, OfAttributes, OfContent, OfDetail:
	}
	return ""
}
