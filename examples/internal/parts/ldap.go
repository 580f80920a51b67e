package parts

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/go-ldap/ldap/v3"
)

// Directory is OpenLDAP's slapd with groups that know their members and members
// that know their groups (memberOf), TLS, and a policy that locks accounts. Below
// dc=example,dc=test there are, each with the name and `pw` as the password:
//
//	alice   groups admins, staff; department finance; two telephone numbers
//	bob     cn "Bob (O'Brien, Jr.) *", by which his DN begins; group staff
//	f(r*a)n, with the password frankpw
//	lola    whose account is locked by the third wrong password
//	erin    whose password has expired
//	dora    whose password must be changed
//	gina    whose account an administrator locked
//
// and cn=reader, who may read all of it. A password that is empty is welcome: as
// nobody (bind_anon_cred), which is what must not be taken for a yes.
type Directory struct {
	*Process
	// URL speaks StartTLS, Secure is ldaps://.
	URL, Secure string
	// Port is that of URL.
	Port int
	// CA is the file with the certificate that signed the server's.
	CA string
	// Base is the DN above everything; Reader and Password may read.
	Base, Reader, Password string

	t   testing.TB
	cmd func() *exec.Cmd
}

const slapdConf = `include /etc/ldap/schema/core.schema
include /etc/ldap/schema/cosine.schema
include /etc/ldap/schema/inetorgperson.schema
modulepath /usr/lib/ldap
moduleload back_mdb
moduleload memberof
moduleload refint
moduleload ppolicy
pidfile %[1]s/slapd.pid
allow bind_anon_cred bind_anon_dn
sizelimit size.soft=1000 size.hard=1000 size.prtotal=unlimited
TLSCACertificateFile %[2]s
TLSCertificateFile %[3]s
TLSCertificateKeyFile %[4]s
access to attrs=userPassword by anonymous auth by * none
access to * by dn.exact="cn=reader,dc=example,dc=test" read by self read by * none
database mdb
maxsize 268435456
dbnosync
suffix "dc=example,dc=test"
rootdn "cn=admin,dc=example,dc=test"
rootpw adminpw
directory %[1]s/db
index objectClass,uid,mail,member eq
overlay memberof
overlay refint
refint_attributes member memberOf
overlay ppolicy
ppolicy_use_lockout
`

const slapdSeed = `dn: dc=example,dc=test
objectClass: organization
objectClass: dcObject
o: example

dn: ou=people,dc=example,dc=test
objectClass: organizationalUnit

dn: ou=groups,dc=example,dc=test
objectClass: organizationalUnit

dn: cn=reader,dc=example,dc=test
objectClass: organizationalRole
objectClass: simpleSecurityObject
userPassword: readerpw

dn: cn=locking,dc=example,dc=test
objectClass: device
objectClass: pwdPolicy
pwdAttribute: userPassword
pwdLockout: TRUE
pwdMaxFailure: 3
pwdLockoutDuration: 600

dn: cn=ageing,dc=example,dc=test
objectClass: device
objectClass: pwdPolicy
pwdAttribute: userPassword
pwdMaxAge: 3600
pwdMustChange: TRUE

dn: uid=alice,ou=people,dc=example,dc=test
objectClass: inetOrgPerson
entryUUID: 11111111-1111-4111-8111-111111111111
cn: Alice Liddell
sn: Liddell
mail: alice@example.test
telephoneNumber: +15550100
telephoneNumber: +15550101
departmentNumber: finance
userPassword: alicepw
memberOf: cn=admins,ou=groups,dc=example,dc=test
memberOf: cn=staff,ou=groups,dc=example,dc=test

dn: cn=Bob (O'Brien\, Jr.) *,ou=people,dc=example,dc=test
objectClass: inetOrgPerson
entryUUID: 22222222-2222-4222-8222-222222222222
uid: bob
sn: O'Brien
mail: bob@example.test
userPassword: bobpw
memberOf: cn=staff,ou=groups,dc=example,dc=test

dn: uid=f(r*a)n,ou=people,dc=example,dc=test
objectClass: inetOrgPerson
cn: Fr\ank
sn: Frank
userPassword: frankpw

dn: uid=lola,ou=people,dc=example,dc=test
objectClass: inetOrgPerson
cn: Lola
sn: Lola
userPassword: lolapw
pwdPolicySubentry: cn=locking,dc=example,dc=test

dn: uid=erin,ou=people,dc=example,dc=test
objectClass: inetOrgPerson
cn: Erin
sn: Erin
userPassword: erinpw
pwdPolicySubentry: cn=ageing,dc=example,dc=test
pwdChangedTime: 20200101000000Z

dn: uid=dora,ou=people,dc=example,dc=test
objectClass: inetOrgPerson
cn: Dora
sn: Dora
userPassword: dorapw
pwdPolicySubentry: cn=ageing,dc=example,dc=test
pwdReset: TRUE

dn: uid=gina,ou=people,dc=example,dc=test
objectClass: inetOrgPerson
cn: Gina
sn: Gina
userPassword: ginapw
pwdPolicySubentry: cn=locking,dc=example,dc=test
pwdAccountLockedTime: 000001010000Z

dn: cn=admins,ou=groups,dc=example,dc=test
objectClass: groupOfNames
member: uid=alice,ou=people,dc=example,dc=test

dn: cn=staff,ou=groups,dc=example,dc=test
objectClass: groupOfNames
member: uid=alice,ou=people,dc=example,dc=test
member: cn=Bob (O'Brien\, Jr.) *,ou=people,dc=example,dc=test
`

// LDAP starts a directory; more is LDIF of further entries. Two of them hold the
// same people, as replicas do.
func LDAP(t testing.TB, more ...string) *Directory {
	t.Helper()
	slapd, slapadd := Need(t, "slapd"), Need(t, "slapadd")
	dir, port, secure := t.TempDir(), Port(t), Port(t)
	ca, cert, key := Certificate(t, "127.0.0.1")
	conf := writeFile(t, dir, "slapd.conf", fmt.Sprintf(slapdConf, dir, ca, cert, key))
	if err := os.Mkdir(filepath.Join(dir, "db"), 0o700); err != nil {
		t.Fatal(err)
	}
	seed := writeFile(t, dir, "seed.ldif", slapdSeed+"\n"+strings.Join(more, "\n"))
	if out, err := exec.Command(slapadd, "-q", "-f", conf, "-l", seed).CombinedOutput(); err != nil {
		t.Fatalf("slapadd: %v\n%s", err, out)
	}
	d := &Directory{
		URL: "ldap://" + Addr(port), Secure: "ldaps://" + Addr(secure), Port: port, CA: ca,
		Base: "dc=example,dc=test", Reader: "cn=reader,dc=example,dc=test", Password: "readerpw", t: t,
	}
	d.cmd = func() *exec.Cmd {
		return exec.Command(slapd, "-f", conf, "-h", d.URL+"/ "+d.Secure+"/", "-d", "stats")
	}
	d.Process = Start(t, "slapd", d.cmd())
	t.Cleanup(d.Thaw) // before Stop, which asks a process that must be awake
	d.AwaitTCP(Addr(port), 30*time.Second)
	return d
}

// Again starts it after Kill.
func (d *Directory) Again() {
	d.t.Helper()
	d.run(d.cmd())
	d.AwaitTCP(Addr(d.Port), 30*time.Second)
}

// Freeze stops the process where it is (SIGSTOP): the kernel takes connections,
// nobody answers. Thaw lets it go on.
func (d *Directory) Freeze() {
	d.signal(syscall.SIGSTOP)
	d.stopped(d.Pid())
}

// Thaw is SIGCONT.
func (d *Directory) Thaw() { d.signal(syscall.SIGCONT) }

// Modify changes an entry as the administrator: values is attribute → values, none
// of which removes it.
func (d *Directory) Modify(dn string, values map[string][]string) {
	d.t.Helper()
	c, err := ldap.DialURL(d.URL)
	if err != nil {
		d.t.Fatal(err)
	}
	defer c.Close()
	if err := c.Bind("cn=admin,"+d.Base, "adminpw"); err != nil {
		d.t.Fatal(err)
	}
	q := ldap.NewModifyRequest(dn, nil)
	for name, v := range values {
		q.Replace(name, v)
	}
	if err := c.Modify(q); err != nil {
		d.t.Fatal(err)
	}
}

// Asked is what slapd noted of binds and searches until now, one a line.
func (d *Directory) Asked() (lines []string) {
	for line := range strings.Lines(d.Output()) {
		for _, word := range []string{" BIND dn=", " SRCH base="} {
			if at := strings.Index(line, word); at >= 0 && !strings.Contains(line, "mech=SIMPLE") {
				lines = append(lines, strings.TrimSpace(line[at:]))
			}
		}
	}
	return lines
}
