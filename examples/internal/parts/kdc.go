package parts

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// KDC is MIT's key distribution centre of the realm EXAMPLE.TEST. There are anna and
// bert, each with the name and `pw` as the password, and the service HTTP/localhost.
type KDC struct {
	*Process
	Realm string
	// Keytab holds the keys of HTTP/localhost, Config is the krb5.conf of clients.
	Keytab, Config string

	t   testing.TB
	dir string
	env []string
}

const krb5Conf = `[libdefaults]
 default_realm = %[1]s
 dns_lookup_kdc = false
 dns_lookup_realm = false
 dns_canonicalize_hostname = false
 rdns = false
 udp_preference_limit = 1
[realms]
 %[1]s = {
  kdc = %[2]s
 }
[domain_realm]
 localhost = %[1]s
`

const kdcConf = `[kdcdefaults]
 kdc_listen = %[2]s
 kdc_tcp_listen = %[2]s
[realms]
 %[1]s = {
  database_name = %[3]s/principal
  key_stash_file = %[3]s/stash
  acl_file = %[3]s/kadm5.acl
  max_life = 1h
  supported_enctypes = aes256-cts-hmac-sha1-96:normal aes128-cts-hmac-sha1-96:normal
 }
[logging]
 default = STDERR
`

// Kerberos starts one.
func Kerberos(t testing.TB) *KDC {
	t.Helper()
	Need(t, "kinit")
	dir, address := t.TempDir(), Addr(Port(t))
	k := &KDC{Realm: "EXAMPLE.TEST", Keytab: filepath.Join(dir, "http.keytab"), t: t, dir: dir}
	k.Config = writeFile(t, dir, "krb5.conf", fmt.Sprintf(krb5Conf, k.Realm, address))
	k.env = append(os.Environ(), "KRB5_CONFIG="+k.Config, "KRB5_KDC_PROFILE="+writeFile(t, dir, "kdc.conf", fmt.Sprintf(kdcConf, k.Realm, address, dir)))
	k.tool("", Need(t, "kdb5_util"), "create", "-s", "-r", k.Realm, "-P", "master")
	k.Admin("addprinc -pw annapw anna", "addprinc -pw bertpw bert", "addprinc -randkey HTTP/localhost", "ktadd -k "+k.Keytab+" HTTP/localhost")
	cmd := exec.Command(Need(t, "krb5kdc"), "-n", "-P", filepath.Join(dir, "kdc.pid"))
	cmd.Env = k.env
	k.Process = Start(t, "krb5kdc", cmd)
	k.AwaitTCP(address, 30*time.Second)
	return k
}

// Admin does what kadmin.local is told.
func (k *KDC) Admin(queries ...string) {
	k.t.Helper()
	for _, q := range queries {
		k.tool("", Need(k.t, "kadmin.local"), "-q", q)
	}
}

// Ticket signs somebody in to this computer, and answers where their tickets are: what
// KRB5CCNAME says; more are arguments of kinit.
func (k *KDC) Ticket(name, password string, more ...string) string {
	k.t.Helper()
	cache := "FILE:" + filepath.Join(k.dir, strings.ReplaceAll(name, "/", "_")+".cc")
	k.tool(password+"\n", Need(k.t, "kinit"), append(more, "-c", cache, name)...)
	return cache
}

func (k *KDC) tool(in, path string, args ...string) {
	k.t.Helper()
	cmd := exec.Command(path, args...)
	cmd.Env, cmd.Stdin = k.env, strings.NewReader(in)
	if out, err := cmd.CombinedOutput(); err != nil {
		k.t.Fatalf("%s %s: %v\n%s", filepath.Base(path), strings.Join(args, " "), err, out)
	}
}
