package module

import (
	"net/url"
	"slices"
	"strings"
)

// secrets finds such as stand in the configuration itself.
func (l *lint) secrets() {
	for _, kind := range kindsOf {
		all, _ := l.raw.identity[kind.name].(map[string]any)
		for _, name := range orderOf(nil, all) {
			l.secretsIn(all[name], kind.word, name)
		}
	}
	for _, word := range []string{"store", "audit", "keys"} {
		l.secretsIn(map[string]any{word: l.raw.identity[word]}, word, "")
	}
	for _, p := range l.raw.protects {
		for _, c := range p.OnLogout {
			if inURL(c.URL) {
				l.secret("on_logout", c.Source)
			}
		}
	}
}

func (l *lint) secretsIn(v any, place ...string) {
	eachObject(v, func(o map[string]any) {
		source, _ := o["source"].(string)
		for _, key := range orderOf(nil, o) {
			for _, text := range texts(o[key]) {
				if isSecret(key, text) {
					l.secret(key, source, append(slices.Clone(place), key)...)
				}
			}
		}
	})
}

// texts are the strings of a value.
func texts(v any) (out []string) {
	switch v := v.(type) {
	case string:
		return []string{v}
	case []any:
		for _, e := range v {
			if s, ok := e.(string); ok {
				out = append(out, s)
			}
		}
	}
	return out
}

// isSecret reports a secret in clear: one that is no placeholder.
func isSecret(key, text string) bool {
	if text == "" || strings.Contains(text, "{") {
		return false
	}
	switch key {
	case "client_secret", "password", "bind_password", "secret", "secrets", "token", "keys", "Authorization":
		return true
	}
	return strings.Contains(text, "PRIVATE KEY-----") || inURL(text)
}

// inURL reports an address with a password in it.
func inURL(text string) bool {
	if strings.Contains(text, "{") || !strings.Contains(text, "://") {
		return false
	}
	u, err := url.Parse(text)
	if err != nil || u.User == nil {
		return false
	}
	_, has := u.User.Password()
	return has
}

func (l *lint) secret(key, source string, place ...string) {
	l.add(Finding{
		Code: "secret_in_clear", Severity: LintWarning, Source: source, Place: place, What: "a secret is written in clear: " + key,
		Why: "It can be read in Caddy's /config/, in autosave.json, and by whoever sees the file.", How: "Write {file./run/secrets/…} or {env.…}; {$…} is replaced before and stands in /config/, too.",
	})
}
