// Package ldapconn speaks LDAP for the guests that ask a directory: one pool of
// connections, TLS, fail-over, filters and what the servers' refusals mean. It is
// below the rooms, since rooms never import each other.
package ldapconn

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"slices"
	"strings"

	"github.com/sallyport-gateway/sallyport/flows/outbound"
)

// Connection says how the servers of one directory are reached. A guest embeds it.
type Connection struct {
	// The servers, ldap:// or ldaps://, the preferred one first: replicas of one
	// directory. The next is asked when one is gone, or lets us wait for 300 ms.
	URLs []string `json:"urls"`
	// Speak TLS on ldap:// connections before anything is sent (RFC 4511 §4.14);
	// default: off. A server that will not is not asked.
	StartTLS bool `json:"start_tls,omitempty"`
	// Files with the certificates (PEM) that may have signed the servers'; default:
	// those the system trusts. The name in the url must be in the certificate.
	CA []string `json:"ca,omitempty"`
	// Who looks people up: a DN, or what the server takes in its place, such as
	// svc@corp.example. Default: nobody, the servers are searched anonymously.
	BindDN string `json:"bind_dn,omitempty"`
	// The password of bind_dn; better a placeholder, {file./abs/path} or {env.X},
	// because the admin API shows the configuration.
	BindPassword string `json:"bind_password,omitempty"`
	// Send passwords over an unencrypted connection to another machine; default: no,
	// that is a load error. A warning says it at every load.
	InsecurePlaintext bool `json:"insecure_plaintext,omitempty"`
}

// words are the lines of a Connection and how many arguments each takes: fewest and most.
var words = map[string]struct {
	few, many int
	set       func(c *Connection, args []string)
}{
	"url":                {1, 16, func(c *Connection, args []string) { c.URLs = append(c.URLs, args...) }},
	"start_tls":          {0, 0, func(c *Connection, _ []string) { c.StartTLS = true }},
	"ca":                 {1, 16, func(c *Connection, args []string) { c.CA = append(c.CA, args...) }},
	"bind_dn":            {1, 1, func(c *Connection, args []string) { c.BindDN = args[0] }},
	"bind_password":      {1, 1, func(c *Connection, args []string) { c.BindPassword = args[0] }},
	"insecure_plaintext": {0, 0, func(c *Connection, _ []string) { c.InsecurePlaintext = true }},
}

// Words are its lines in a Caddyfile.
func (*Connection) Words() []string {
	return []string{"url", "start_tls", "ca", "bind_dn", "bind_password", "insecure_plaintext"}
}

// Repeats says which of them may be written more than once.
func (*Connection) Repeats(word string) bool { return word == "url" || word == "ca" }

// SetOption reads one line. Its errors show no argument: it may be the password.
func (c *Connection) SetOption(word string, args []string) error {
	w, ok := words[word]
	switch {
	case !ok:
		return fmt.Errorf("'%s' is no line of a connection", word)
	case w.many == 0 && len(args) > 0:
		return fmt.Errorf("%s takes no argument, got %d", word, len(args))
	case w.many == 1 && len(args) != 1:
		return fmt.Errorf("%s takes one argument, got %d", word, len(args))
	case len(args) < w.few || len(args) > w.many || slices.Contains(args, ""):
		return fmt.Errorf("%s takes %d to %d arguments that are not empty, got %d", word, w.few, max(w.few, w.many), len(args))
	}
	w.set(c, args)
	return nil
}

// CheckBase refuses what is no place of a directory.
func CheckBase(dn string) error {
	if dn == "" {
		return errors.New("ldap needs a base_dn, such as dc=corp,dc=example")
	}
	if _, err := CanonicalDN(dn); err != nil {
		return fmt.Errorf("base_dn '%s' is no DN: %w", dn, err)
	}
	return nil
}

// Check refuses what can never work, or would show passwords to the network. It
// needs no secret and touches nothing.
func (c *Connection) Check() error {
	if len(c.URLs) == 0 {
		return errors.New("a directory needs a url, such as ldaps://dc1.corp.example")
	}
	clear := false
	for i, raw := range c.URLs {
		t, err := parseURL(raw)
		if err != nil {
			return err
		}
		if slices.Contains(c.URLs[:i], raw) {
			return fmt.Errorf("url '%s' is there twice", raw)
		}
		clear = clear || !t.tls
		if !t.tls && !c.StartTLS && !c.InsecurePlaintext && !outbound.Loopback(t.host) {
			return fmt.Errorf("url '%s': passwords would cross the network unencrypted; use ldaps:// or start_tls (or insecure_plaintext, if everybody on the way may read them)", raw)
		}
	}
	switch {
	case c.StartTLS && !clear:
		return errors.New("start_tls is for ldap:// urls, and there is none")
	case c.BindDN == "" && c.BindPassword != "":
		return errors.New("bind_password without bind_dn")
	case c.BindDN != "" && c.BindPassword == "":
		// RFC 4513 §5.1.2: a server would take it for nobody in particular, and say yes.
		return errors.New("bind_dn without bind_password")
	}
	return nil
}

// target is one server as written.
type target struct {
	raw, host, port string
	tls             bool
}

// parseURL reads ldap[s]://host[:port]. What else an LDAP URL may hold (a base, a
// filter: RFC 4516) has lines of its own here.
func parseURL(raw string) (target, error) {
	u, err := url.Parse(raw)
	if err != nil {
		return target{}, fmt.Errorf("url '%s' is none, such as ldaps://dc1.corp.example", raw)
	}
	t := target{raw: raw, host: u.Hostname(), port: u.Port(), tls: u.Scheme == "ldaps"}
	switch {
	case u.Scheme != "ldap" && u.Scheme != "ldaps":
		return target{}, fmt.Errorf("url '%s': there are ldap:// and ldaps://", raw)
	case u.User != nil:
		return target{}, errors.New("a url takes no name or password; write bind_dn and bind_password")
	case t.host == "" || u.RawQuery != "" || u.Fragment != "" || strings.Trim(u.Path, "/") != "" || u.Opaque != "":
		return target{}, fmt.Errorf("url '%s' may have a host and a port only; the rest is base_dn and filter", raw)
	}
	if t.port == "" {
		t.port = "389"
		if t.tls {
			t.port = "636"
		}
	}
	return t, nil
}

func (t target) address() string { return net.JoinHostPort(t.host, t.port) }

// tlsConfig reads the certificates; it is shared by all servers but for the name.
func (c *Connection) tlsConfig() (*tls.Config, error) {
	conf := &tls.Config{MinVersion: tls.VersionTLS12}
	if len(c.CA) == 0 {
		return conf, nil
	}
	conf.RootCAs = x509.NewCertPool()
	for _, name := range c.CA {
		pem, err := os.ReadFile(name) // #nosec G304 -- the operator names it
		if err != nil {
			return nil, fmt.Errorf("ca: %w", err)
		}
		if !conf.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("ca: %s holds no certificate (PEM)", name)
		}
	}
	return conf, nil
}
