package module

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/caddyserver/caddy/v2"
)

// Severity says how sure a finding is to be a mistake.
type Severity string

// An error is never what somebody meant; a warning is something to look at.
const (
	LintError   Severity = "error"
	LintWarning Severity = "warning"
)

// Finding is something in a configuration that loads, and is likely not what its
// operator meant.
type Finding struct {
	// Code is always the same for one kind of finding.
	Code     string   `json:"code"`
	Severity Severity `json:"severity"`
	// Source is the file and line; empty where the configuration does not say.
	Source string `json:"source,omitempty"`
	// What was found, Why it matters, and How it is mended.
	What string `json:"what"`
	Why  string `json:"why"`
	How  string `json:"how"`
	// Place are the words that lead to it where Source is empty: "provider", "corp",
	// "client_secret"; or "reverse_proxy", a site and an upstream.
	Place []string `json:"-"`
}

// lint looks at a configuration that was made ready and never ran.
type lint struct {
	a     *App
	raw   rawConfig
	found []Finding
}

// rawConfig is a configuration as it was written: loading modules empties it.
type rawConfig struct {
	identity map[string]any
	protects []*ProtectConfig
	text     string
}

// Lint makes a configuration ready, as `validate` does, and says what is likely not meant
// in it. A configuration that does not load is an error.
func Lint(config []byte) ([]Finding, error) {
	cfg := new(caddy.Config)
	if err := caddy.StrictUnmarshalJSON(config, cfg); err != nil {
		return nil, err
	}
	if _, ok := cfg.AppsRaw["identity"]; !ok {
		return nil, errors.New("there is no identity app in it: no global option `identity { … }`")
	}
	raw, err := rawOf(config)
	if err != nil {
		return nil, err
	}
	ctx, err := caddy.ProvisionContext(cfg)
	if err != nil {
		return nil, err
	}
	v, err := ctx.AppIfConfigured("identity")
	if err != nil {
		return nil, err
	}
	a, ok := v.(*App)
	if !ok {
		return nil, fmt.Errorf("the identity app is a %T", v)
	}
	defer func() { _ = a.Cleanup() }()
	if err := a.checkArrives(); err != nil {
		return nil, err
	}
	l := &lint{a: a, raw: raw}
	for _, look := range []func(){l.flows, l.rules, l.shadowed, l.unreached, l.proxies, l.secrets, l.unused, l.sessions} {
		look()
	}
	slices.SortStableFunc(l.found, func(x, y Finding) int { return strings.Compare(string(x.Severity), string(y.Severity)) })
	return l.found, nil
}

// add notes a finding.
func (l *lint) add(f Finding) { l.found = append(l.found, f) }

func rawOf(config []byte) (rawConfig, error) {
	var doc struct {
		Apps map[string]any `json:"apps"`
	}
	if err := json.Unmarshal(config, &doc); err != nil {
		return rawConfig{}, err
	}
	raw := rawConfig{text: string(config)}
	raw.identity, _ = doc.Apps["identity"].(map[string]any)
	var err error
	eachObject(doc.Apps["http"], func(o map[string]any) {
		if o["handler"] != "protect" || err != nil {
			return
		}
		p := new(ProtectConfig)
		var b []byte
		if b, err = json.Marshal(o); err == nil {
			err = json.Unmarshal(b, p)
		}
		raw.protects = append(raw.protects, p)
	})
	return raw, err
}

// eachObject calls fn for every object of a document, outer ones first.
func eachObject(v any, fn func(map[string]any)) {
	switch v := v.(type) {
	case map[string]any:
		fn(v)
		for _, name := range orderOf(nil, v) {
			eachObject(v[name], fn)
		}
	case []any:
		for _, e := range v {
			eachObject(e, fn)
		}
	}
}
