//go:build real

package ldap

import (
	_ "embed"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/sallyport-gateway/sallyport/examples/browser"
	"github.com/sallyport-gateway/sallyport/examples/internal/parts"
)

//go:embed Caddyfile
var caddyfile string

// rig is the gateway of the example with two directories that hold the same people.
type rig struct {
	t            *testing.T
	one, replica *parts.Directory
	gate         *parts.GatewayProcess
}

// start runs the example. It believes X-Forwarded-For from here, so that guesses
// can come from many networks.
func start(t *testing.T) *rig {
	t.Helper()
	return run(t, caddyfile, parts.LDAP(t), parts.LDAP(t))
}

func run(t *testing.T, text string, one, replica *parts.Directory) *rig {
	t.Helper()
	text = strings.Replace(text, "{\n\tidentity {", "{\n\tservers {\n\t\ttrusted_proxies static 127.0.0.1\n\t}\n\tidentity {", 1)
	ca := one.CA
	if replica != one {
		text = strings.Replace(text, "ca {$LDAP_CA}", "ca {$LDAP_CA} {$LDAP_CA_REPLICA}", 1)
	}
	g := parts.Gateway(t, text, "APP="+parts.Echo(t), "LDAP_URL="+one.URL, "LDAP_URL_REPLICA="+replica.URL, "LDAP_CA="+ca, "LDAP_CA_REPLICA="+replica.CA,
		"LDAP_PASSWORD="+one.Password)
	return &rig{t, one, replica, g}
}

// login types a name and a password into the form, coming from an address.
func (r *rig) login(from, name, password string) *parts.TestPage {
	r.t.Helper()
	b := parts.Browser(r.t)
	defer b.Close()
	p, err := r.try(b.Browser, from, name, password)
	if err != nil {
		r.t.Fatal(err)
	}
	return b.Page(p)
}

// try is login in any goroutine.
func (r *rig) try(b *browser.Browser, from, name, password string) (*browser.Page, error) {
	b.Header.Set("X-Forwarded-For", from)
	form, err := b.Open(r.gate.URL + "/")
	if err != nil {
		return nil, err
	}
	return form.Fill("username", name, "password", password)
}

// each does n things, some at a time, and reports what goes wrong.
func (r *rig) each(n int, do func(b *browser.Browser, i int) error) {
	r.t.Helper()
	next := make(chan int)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for i := range next {
				b := browser.New()
				if err := do(b, i); err != nil {
					r.t.Error(err)
				}
				b.Close()
			}
		})
	}
	for i := range n {
		next <- i
	}
	close(next)
	wg.Wait()
}

// network is an address in the n-th network.
func network(n int) string { return fmt.Sprintf("198.%d.%d.7", 18+n/250, n%250) }
