package ldap

import (
	"context"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"github.com/sallyport-gateway/sallyport/adapters/internal/ldapconn"
)

const least = "url ldaps://dc1.example\nbase_dn dc=example\n"

func TestUnmarshalCaddyfile(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct{ name, in, want string }{
		{"argument", "ldap x", "takes no argument"},
		{"unknown word", "ldap {\nserver x\n}", "ldap has no option 'server'; there are: attribute, base_dn, bind_dn, bind_password, ca, filter, groups, insecure_plaintext, nested, start_tls, subject, url"},
		{"no url", "ldap {\nbase_dn dc=x\n}", "needs a url"},
		{"url without a value", "ldap {\nurl\n}", "url takes 1 to 16 arguments"},
		{"url scheme", "ldap {\nurl https://x\n}", "there are ldap:// and ldaps://"},
		{"url with a base", "ldap {\nurl ldaps://x/dc=example\n}", "host and a port only"},
		{"url with a password", "ldap {\nurl ldaps://me:secret@x\n}", "takes no name or password"},
		{"url twice", "ldap {\nurl ldaps://x ldaps://x\n}", "'ldaps://x' is there twice"},
		{"in the clear", "ldap {\nurl ldap://dc1.example\nbase_dn dc=x\n}", "unencrypted; use ldaps:// or start_tls"},
		{"start_tls without ldap", "ldap {\n" + least + "start_tls\n}", "start_tls is for ldap:// urls"},
		{"start_tls with a value", "ldap {\n" + least + "start_tls maybe\n}", "start_tls takes no argument"},
		{"no base_dn", "ldap {\nurl ldaps://x\n}", "needs a base_dn"},
		{"base_dn", "ldap {\nurl ldaps://x\nbase_dn example.com\n}", "'example.com' is no DN"},
		{"base_dn twice", "ldap {\n" + least + "base_dn dc=y\n}", "base_dn is written twice"},
		{"bind_dn alone", "ldap {\n" + least + "bind_dn cn=x\n}", "bind_dn without bind_password"},
		{"bind_password alone", "ldap {\n" + least + "bind_password secret\n}", "bind_password without bind_dn"},
		{"bind_password and more", "ldap {\n" + least + "bind_password secret secret\n}", "bind_password takes one argument, got 2"},
		{"filter without a name", "ldap {\n" + least + "filter (uid=x)\n}", "does not hold {username}"},
		{"filter with another name", "ldap {\n" + least + "filter (uid={user})\n}", "there is no {user}"},
		{"filter in the place of an attribute", "ldap {\n" + least + "filter ({username}=x)\n}", "stands where no value does"},
		{"filter open", "ldap {\n" + least + "filter \"(uid={username}\"\n}", "filter '(uid={username}'"},
		{"filter with a brace", "ldap {\n" + least + "filter (|(uid={username})(cn={}))\n}", `\7b`},
		{"subject", "ldap {\n" + least + "subject a=b\n}", "'a=b' is no name"},
		{"attribute alone", "ldap {\n" + least + "attribute x\n}", "attribute takes an attribute"},
		{"attribute with a word", "ldap {\n" + least + "attribute x y z\n}", "attribute takes an attribute"},
		{"attribute twice", "ldap {\n" + least + "attribute x y\nattribute x z\n}", "attribute x is written twice"},
		{"attribute reserved", "ldap {\n" + least + "attribute subject uid\n}", "of the reserved ones can: name, display_name, email, groups"},
		{"attribute name", "ldap {\n" + least + "attribute 1x y\n}", "must match"},
		{"attribute source", "ldap {\n" + least + "attribute x y=z\n}", "no name of an attribute of a directory"},
		{"groups alone", "ldap {\n" + least + "groups dc=x\n}", "groups takes a base_dn and a filter"},
		{"groups base", "ldap {\n" + least + "groups x (member={dn})\n}", "groups: base_dn 'x' is no DN"},
		{"groups of everybody", "ldap {\n" + least + "groups dc=x (objectClass=group)\n}", "names nobody"},
		{"groups filter", "ldap {\n" + least + "groups dc=x member={dn}\n}", "stands where no value does"},
		{"nested", "ldap {\n" + least + "nested yes\n}", "nested is on or off"},
		{"block", "ldap {\n" + least + "filter {\nx\n}\n}", "filter takes a filter"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			_, err := parse(tc.in)
			if err == nil || !strings.Contains(err.Error(), tc.want) || !strings.Contains(err.Error(), "Testfile:") {
				t.Fatalf("got %v, want %q and the line", err, tc.want)
			}
			if strings.Contains(err.Error(), "secret") {
				t.Errorf("the message shows a secret: %v", err)
			}
		})
	}
}

func TestLoopbackMayBeInTheClear(t *testing.T) {
	t.Parallel()
	for _, host := range []string{"127.0.0.1", "127.1.2.3:1389", "[::1]", "localhost:389"} {
		if _, err := parse("ldap {\nurl ldap://" + host + "\nbase_dn dc=x\n}"); err != nil {
			t.Errorf("%s: %v", host, err)
		}
	}
	for _, host := range []string{"127.0.0.1.example", "localhost.example", "10.0.0.1", "[::2]"} {
		if _, err := parse("ldap {\nurl ldap://" + host + "\nbase_dn dc=x\n}"); err == nil {
			t.Errorf("%s is taken for this machine", host)
		}
	}
	if _, err := parse("ldap {\nurl ldap://10.0.0.1\nbase_dn dc=x\ninsecure_plaintext\n}"); err != nil {
		t.Error(err)
	}
}

func TestLoadErrors(t *testing.T) {
	t.Setenv("SALLYPORT_TEST_EMPTY", "")
	base := ldapconn.Connection{URLs: []string{"ldaps://x"}}
	with := func(change func(*Provider)) *Provider {
		p := &Provider{Connection: base, BaseDN: "dc=example"}
		change(p)
		return p
	}
	for _, tc := range []struct {
		name string
		p    *Provider
		want string
	}{
		{"nothing", &Provider{}, "needs a url"},
		{"no base", &Provider{Connection: base}, "needs a base_dn"},
		{"empty password", with(func(p *Provider) { p.BindDN, p.BindPassword = "cn=x", "{env.SALLYPORT_TEST_EMPTY}" }), "bind_password"},
		{"unknown placeholder", with(func(p *Provider) { p.BindDN, p.BindPassword = "cn=x", "{nothing.here}" }), "bind_password"},
		{"ca is not there", with(func(p *Provider) { p.CA = []string{"/no/such/file"} }), "ca: open /no/such/file"},
		{"ca is none", with(func(p *Provider) { p.CA = []string{"caddyfile_test.go"} }), "holds no certificate"},
		{"filter", with(func(p *Provider) { p.Filter = "(uid=*)" }), "does not hold {username}"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			ctx, cancel := caddy.NewContext(caddy.Context{Context: context.Background()})
			defer cancel()
			if err := tc.p.Provision(ctx); err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("got %v, want %q", err, tc.want)
			}
		})
	}
}

// The contract's default filter finds the same as what is sent in its place.
func TestDefaultFilterIsTheContracts(t *testing.T) {
	t.Parallel()
	if got := strings.Replace(defaultFilter, "(!(objectClass="+notClass+"))", "", 1); got != sentFilter {
		t.Errorf("sent is %s\nwant    %s", sentFilter, got)
	}
	for _, text := range []string{"", "filter " + defaultFilter} {
		p := provider(t, "ldap {\n"+least+text+"\n}")
		if p.notClass != "computer" {
			t.Error("a computer is a person")
		}
	}
}

// A realm keeps its issuer however its base_dn is spelled (I05).
func TestI05IssuerIsOneSpelling(t *testing.T) {
	t.Parallel()
	p := provider(t, "ldap {\nurl ldaps://x\nbase_dn \"DC=Example, DC=Test\"\n}")
	if p.issuer != "dc=example,dc=test" {
		t.Errorf("issuer is %s", p.issuer)
	}
	q, err := parse("ldap {\n" + least + "}")
	if err != nil {
		t.Fatal(err)
	}
	q.Was = []string{"DC=Old, DC=Test"}
	if ready(t, q); len(q.Was) != 2 || q.Was[1] != "dc=old,dc=test" {
		t.Errorf("was %q", q.Was)
	}
}

func FuzzUnmarshalCaddyfile(f *testing.F) {
	f.Add("ldap {\n" + least + "attribute x y list\ngroups dc=x (member={dn})\nnested on\nstart_tls\n}")
	f.Add("ldap")
	f.Add("ldap {\nfilter")
	f.Fuzz(func(t *testing.T, text string) {
		if _, err := caddyfile.Tokenize([]byte(text), "Caddyfile"); err != nil {
			return // the dispenser of tests ends the process then
		}
		p, err := parse(text)
		if err == nil && (p.BaseDN == "" || len(p.URLs) == 0) {
			t.Error("half a provider is taken")
		}
	})
}
