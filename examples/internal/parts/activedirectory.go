package parts

import (
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"math/big"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unicode/utf16"

	"github.com/go-ldap/ldap/v3"

	"github.com/sallyport-gateway/sallyport/flows/flowstest"
)

// ActiveDirectory is a domain controller: Samba's, of the domain ADEX and the realm
// AD.EXAMPLE.TEST, on the ports that it always has and an address of 127.0.0.0/8 that
// nobody else has. There are, each with Secret- and the name as the password:
//
//	anna   group Admins-App, which is in group Staff
//	bert   group Staff
//	dora   whose password must be changed
//	ivan   whose account is disabled
//	olga   whose account has expired
//	reader who looks people up
//
// and the service HTTP/localhost.
type ActiveDirectory struct {
	*Process
	// URL is ldaps://, Plain ldap://, where passwords are not taken in the clear.
	URL, Plain string
	// CA is the file with the certificate that signed the server's.
	CA string
	// Base is the DN above everything, Realm the Kerberos realm.
	Base, Realm string
	// Config and Keytab are those of KDC.
	Config, Keytab string

	t    testing.TB
	dir  string
	root *ldap.Conn
}

const administrator = "Passw0rd!Parts"

// Domain starts one. It needs root: the ports are below 1024.
func Domain(t testing.TB) *ActiveDirectory {
	t.Helper()
	tool, samba := Need(t, "samba-tool"), Need(t, "samba")
	Need(t, "kinit")
	if os.Getuid() != 0 {
		flowstest.Skip(t, "a domain controller is missing: it needs root for its ports")
	}
	host := loopbackHost(t)
	dir, err := os.MkdirTemp("", "sallyport-ad-") // short: there are sockets in it
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	ca, cert, key := Certificate(t, host)
	d := &ActiveDirectory{
		URL: "ldaps://" + host, Plain: "ldap://" + host, CA: ca, Base: "DC=ad,DC=example,DC=test", Realm: "AD.EXAMPLE.TEST",
		Keytab: filepath.Join(dir, "http.keytab"), t: t, dir: dir,
	}
	d.Config = writeFile(t, dir, "krb5.conf", fmt.Sprintf(krb5Conf, d.Realm, host+":88"))
	conf := filepath.Join(dir, "etc", "smb.conf")
	args := []string{
		"domain", "provision", "--configfile=" + writeFile(t, dir, "empty.conf", ""), "--targetdir=" + dir, "--realm=" + d.Realm, "--domain=ADEX",
		"--adminpass=" + administrator, "--server-role=dc", "--dns-backend=NONE", "--host-name=dc1", "--host-ip=" + host,
	}
	for name, value := range map[string]string{
		"interfaces": host + "/8", "bind interfaces only": "yes", "server services": "ldap, kdc, cldap",
		"tls certfile": cert, "tls keyfile": key, "tls cafile": ca, "ldap server require strong auth": "allow_sasl_over_tls",
	} {
		args = append(args, "--option="+name+"="+value)
	}
	d.does(tool, args...)
	if _, err := os.Stat(conf); err != nil {
		t.Fatal(err)
	}
	d.Process = Start(t, "samba", exec.Command(samba, "-i", "-M", "single", "-s", conf, "--debug-stdout"))
	for _, port := range []string{"389", "636", "88"} {
		d.AwaitTCP(net.JoinHostPort(host, port), 60*time.Second)
	}
	d.seed()
	d.does(tool, "domain", "exportkeytab", d.Keytab, "--principal=HTTP/localhost", "-s", conf)
	return d
}

// loopbackHost is an address of this machine on which nobody listens at these ports.
func loopbackHost(t testing.TB) string {
	t.Helper()
	for range 20 {
		n, err := rand.Int(rand.Reader, big.NewInt(200*200))
		if err != nil {
			t.Fatal(err)
		}
		host := fmt.Sprintf("127.77.%d.%d", 10+n.Int64()/200, 10+n.Int64()%200)
		free := true
		for _, port := range []string{"88", "389", "464", "636", "3268", "3269"} {
			l, err := net.Listen("tcp", net.JoinHostPort(host, port))
			if free = free && err == nil; err == nil {
				_ = l.Close()
			}
		}
		if free {
			return host
		}
	}
	flowstest.Skip(t, "a domain controller is missing: its ports are taken on every address of 127.77.0.0/16")
	return ""
}

func (d *ActiveDirectory) does(path string, args ...string) {
	d.t.Helper()
	if out, err := exec.Command(path, args...).CombinedOutput(); err != nil {
		d.t.Fatalf("%s %s: %v\n%s", filepath.Base(path), args[0], err, tail(string(out), 30))
	}
}

// seed adds the people as the administrator.
func (d *ActiveDirectory) seed() {
	d.t.Helper()
	pem, err := os.ReadFile(d.CA)
	if err != nil {
		d.t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(pem)
	if d.root, err = ldap.DialURL(d.URL, ldap.DialWithTLSConfig(&tls.Config{RootCAs: roots})); err != nil {
		d.t.Fatal(err)
	}
	d.t.Cleanup(func() { _ = d.root.Close() })
	if err := d.root.Bind("Administrator@"+d.Realm, administrator); err != nil {
		d.t.Fatal(err)
	}
	for _, name := range []string{"anna", "bert", "dora", "ivan", "olga", "reader", "svc-http"} {
		d.User(name, nil)
	}
	d.Modify("dora", map[string][]string{"pwdLastSet": {"0"}})
	d.Modify("ivan", map[string][]string{"userAccountControl": {"514"}})
	d.Modify("olga", map[string][]string{"accountExpires": {"132223104000000000"}}) // 2020-01-01
	d.Modify("svc-http", map[string][]string{"servicePrincipalName": {"HTTP/localhost"}, "msDS-SupportedEncryptionTypes": {"24"}})
	d.add("CN=Admins-App,"+d.people(), map[string][]string{"objectClass": {"group"}, "sAMAccountName": {"Admins-App"}, "member": {d.DN("anna")}})
	d.add("CN=Staff,"+d.people(), map[string][]string{"objectClass": {"group"}, "sAMAccountName": {"Staff"}, "member": {d.DN("bert"), "CN=Admins-App," + d.people()}})
}

func (d *ActiveDirectory) people() string { return "CN=Users," + d.Base }

// DN is somebody's.
func (d *ActiveDirectory) DN(name string) string { return "CN=" + name + "," + d.people() }

// User adds somebody; more are further attributes.
func (d *ActiveDirectory) User(name string, more map[string][]string) {
	d.t.Helper()
	var password []byte
	for _, unit := range utf16.Encode([]rune(`"Secret-` + name + `"`)) { // [MS-ADTS] 3.1.1.3.1.5.1
		password = append(password, byte(unit), byte(unit>>8))
	}
	all := map[string][]string{
		"objectClass": {"user"}, "sAMAccountName": {name}, "userPrincipalName": {name + "@ad.example.test"}, "mail": {name + "@example.test"},
		"displayName": {strings.ToUpper(name[:1]) + name[1:] + " Test"}, "userAccountControl": {"512"}, "unicodePwd": {string(password)},
	}
	for attribute, values := range more {
		all[attribute] = values
	}
	d.add(d.DN(name), all)
}

func (d *ActiveDirectory) add(dn string, attributes map[string][]string) {
	d.t.Helper()
	q := ldap.NewAddRequest(dn, nil)
	for name, values := range attributes {
		q.Attribute(name, values)
	}
	if err := d.root.Add(q); err != nil {
		d.t.Fatalf("adding %s: %v", dn, err)
	}
}

// Modify changes somebody as the administrator.
func (d *ActiveDirectory) Modify(name string, values map[string][]string) {
	d.t.Helper()
	q := ldap.NewModifyRequest(d.DN(name), nil)
	for attribute, v := range values {
		q.Replace(attribute, v)
	}
	if err := d.root.Modify(q); err != nil {
		d.t.Fatalf("changing %s: %v", name, err)
	}
}

// GUID is somebody's objectGUID as it is in the directory.
func (d *ActiveDirectory) GUID(name string) []byte {
	d.t.Helper()
	found, err := d.root.Search(ldap.NewSearchRequest(d.DN(name), ldap.ScopeBaseObject, ldap.NeverDerefAliases, 0, 0, false, "(objectClass=*)", []string{"objectGUID"}, nil))
	if err != nil || len(found.Entries) != 1 {
		d.t.Fatalf("the GUID of %s: %v", name, err)
	}
	return found.Entries[0].GetRawAttributeValue("objectGUID")
}

// Ticket is that of KDC, by more arguments of kinit.
func (d *ActiveDirectory) Ticket(name, password string, more ...string) string {
	d.t.Helper()
	k := &KDC{t: d.t, dir: d.dir, env: append(os.Environ(), "KRB5_CONFIG="+d.Config)}
	return k.Ticket(name, password, more...)
}
