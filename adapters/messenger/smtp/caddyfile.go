package smtp

import (
	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
)

// UnmarshalCaddyfile sets up the messenger from Caddyfile tokens. Syntax:
//
//	smtp {
//	    server    <host>[:<port>]
//	    from      <address>
//	    auth      <user> <password>
//	    implicit_tls
//	    insecure_plaintext
//	    ca        <file>...
//	    timeout   <duration>
//	    templates <folder>
//	}
func (m *Messenger) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	d.Next() // the type
	if d.NextArg() {
		return d.Errf("smtp takes no argument, but got '%s'", d.Val())
	}
	seen := map[string]bool{}
	for nesting := d.Nesting(); d.NextBlock(nesting); {
		word := d.Val()
		if seen[word] && word != "ca" {
			return d.Errf("%s is written twice", word)
		}
		seen[word] = true
		if err := m.unmarshalWord(d, word, d.RemainingArgs()); err != nil {
			return err
		}
	}
	if err := m.check(); err != nil {
		return d.WrapErr(err)
	}
	return nil
}

func (m *Messenger) unmarshalWord(d *caddyfile.Dispenser, word string, args []string) error {
	want := map[string]int{"server": 1, "from": 1, "auth": 2, "implicit_tls": 0, "insecure_plaintext": 0, "ca": 1, "timeout": 1, "templates": 1}
	n, ok := want[word]
	switch {
	case !ok:
		return d.Errf("smtp has no option '%s'; there are: auth, ca, from, implicit_tls, insecure_plaintext, server, templates, timeout", word)
	case len(args) < n || len(args) > n && word != "ca":
		return d.Errf("%s takes %d arguments, but got %d", word, n, len(args)) // they may be secrets
	}
	switch word {
	case "server":
		m.Server = args[0]
	case "from":
		m.From = args[0]
	case "auth":
		m.User, m.Password = args[0], args[1]
	case "implicit_tls":
		m.ImplicitTLS = true
	case "insecure_plaintext":
		m.InsecurePlaintext = true
	case "ca":
		m.CA = append(m.CA, args...)
	case "templates":
		m.Templates = args[0]
	case "timeout":
		v, err := caddy.ParseDuration(args[0])
		if err != nil || v <= 0 {
			return d.Errf("timeout '%s' is no duration such as 15s", args[0])
		}
		m.Timeout = caddy.Duration(v)
	}
	return nil
}
