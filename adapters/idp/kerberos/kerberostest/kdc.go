// Package kerberostest gives tickets out of its own hand, good ones and bad ones, for
// tests that need no key distribution centre.
package kerberostest

import (
	"crypto/rand"
	"encoding/asn1"
	"os"
	"testing"
	"time"

	kasn1 "github.com/jcmturner/gofork/encoding/asn1"
	"github.com/jcmturner/gokrb5/v8/asn1tools"
	"github.com/jcmturner/gokrb5/v8/crypto"
	"github.com/jcmturner/gokrb5/v8/iana/asnAppTag"
	"github.com/jcmturner/gokrb5/v8/iana/etypeID"
	"github.com/jcmturner/gokrb5/v8/iana/keyusage"
	"github.com/jcmturner/gokrb5/v8/iana/nametype"
	"github.com/jcmturner/gokrb5/v8/keytab"
	"github.com/jcmturner/gokrb5/v8/messages"
	"github.com/jcmturner/gokrb5/v8/types"
	"golang.org/x/crypto/cryptobyte"
	cbasn1 "golang.org/x/crypto/cryptobyte/asn1"
)

// The mechanisms of tokens.
var (
	SPNEGO = asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 2}
	KRB5   = asn1.ObjectIdentifier{1, 2, 840, 113554, 1, 2, 2}
	MSKRB5 = asn1.ObjectIdentifier{1, 2, 840, 48018, 1, 2, 2}
	NTLM   = asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 311, 2, 2, 10}
)

// Etype is how keys are made here: AES-256 with HMAC-SHA1.
const Etype = etypeID.AES256_CTS_HMAC_SHA1_96

// Service is a host that tickets are given for.
type Service struct {
	// Name and Realm are its principal: HTTP/app.example.com, EXAMPLE.COM.
	Name, Realm string
	// Kvno is the version of its key.
	Kvno byte
	keys *keytab.Keytab
}

// NewService makes one, and its key.
func NewService(t testing.TB, name, realm string) *Service {
	t.Helper()
	s := &Service{Name: name, Realm: realm, keys: keytab.New()}
	s.Rotate(t)
	return s
}

// Rotate gives it a new key, beside the old ones.
func (s *Service) Rotate(t testing.TB) {
	t.Helper()
	s.Kvno++
	if err := s.keys.AddEntry(s.Name, s.Realm, rand.Text(), time.Unix(1700000000, 0), s.Kvno, Etype); err != nil {
		t.Fatal(err)
	}
}

// Keytab is its keytab, with those of others behind it.
func (s *Service) Keytab(t testing.TB, others ...*Service) []byte {
	t.Helper()
	all := keytab.New()
	for _, o := range append([]*Service{s}, others...) {
		all.Entries = append(all.Entries, o.keys.Entries...)
	}
	b, err := all.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// Write puts its keytab into a file.
func (s *Service) Write(t testing.TB, path string, others ...*Service) string {
	t.Helper()
	if err := os.WriteFile(path, s.Keytab(t, others...), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// Ticket is one that was given to somebody, and the authenticator that shows it.
type Ticket struct {
	Part          messages.EncTicketPart
	Authenticator types.Authenticator
	For           *Service
}

// Ticket gives one to a person: names with a slash in them have several parts.
func (s *Service) Ticket(t testing.TB, name string, now time.Time) *Ticket {
	t.Helper()
	etype, err := crypto.GetEtype(Etype)
	if err != nil {
		t.Fatal(err)
	}
	key, err := types.GenerateEncryptionKey(etype)
	if err != nil {
		t.Fatal(err)
	}
	who := types.NewPrincipalName(nametype.KRB_NT_PRINCIPAL, name)
	now = now.UTC().Truncate(time.Second)
	return &Ticket{
		For: s,
		Part: messages.EncTicketPart{
			Flags: types.NewKrbFlags(), Key: key, CRealm: s.Realm, CName: who,
			AuthTime: now.Add(-time.Hour), StartTime: now.Add(-time.Minute), EndTime: now.Add(9 * time.Hour), RenewTill: now.Add(9 * time.Hour),
		},
		Authenticator: types.Authenticator{AVNO: 5, CRealm: s.Realm, CName: who, CTime: now, Cusec: 4711, SeqNumber: 1},
	}
}

// APReq shows the ticket. It is another one each time.
func (k *Ticket) APReq(t testing.TB) []byte {
	t.Helper()
	must := func(b []byte, err error) []byte {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	name := types.NewPrincipalName(nametype.KRB_NT_SRV_HST, k.For.Name)
	key, _, err := k.For.keys.GetEncryptionKey(name, k.For.Realm, int(k.For.Kvno), Etype)
	if err != nil {
		t.Fatal(err)
	}
	part := asn1tools.AddASNAppTag(must(kasn1.Marshal(k.Part)), asnAppTag.EncTicketPart)
	sealed, err := crypto.GetEncryptedData(part, key, keyusage.KDC_REP_TICKET, int(k.For.Kvno))
	if err != nil {
		t.Fatal(err)
	}
	req, err := messages.NewAPReq(messages.Ticket{TktVNO: 5, Realm: k.For.Realm, SName: name, EncPart: sealed}, k.Part.Key, k.Authenticator)
	if err != nil {
		t.Fatal(err)
	}
	return must(req.Marshal())
}

// Token is what a browser sends: SPNEGO with these mechanisms, Kerberos by default.
func (k *Ticket) Token(t testing.TB, mechs ...asn1.ObjectIdentifier) []byte {
	t.Helper()
	if len(mechs) == 0 {
		mechs = []asn1.ObjectIdentifier{KRB5}
	}
	return Init(mechs, GSS(KRB5, append([]byte{1, 0}, k.APReq(t)...)))
}

// GSS puts a mechanism in front of what it says (RFC 2743 §3.1).
func GSS(mech asn1.ObjectIdentifier, says []byte) []byte {
	var b cryptobyte.Builder
	b.AddASN1(cbasn1.Tag(0x60), func(b *cryptobyte.Builder) {
		b.AddASN1ObjectIdentifier(mech)
		b.AddBytes(says)
	})
	return b.BytesOrPanic()
}

// Init is a NegTokenInit (RFC 4178 §4.2.1).
func Init(mechs []asn1.ObjectIdentifier, token []byte) []byte {
	field := func(n uint8) cbasn1.Tag { return cbasn1.Tag(n).Constructed().ContextSpecific() }
	var b cryptobyte.Builder
	b.AddASN1(field(0), func(b *cryptobyte.Builder) {
		b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
			b.AddASN1(field(0), func(b *cryptobyte.Builder) {
				b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
					for _, m := range mechs {
						b.AddASN1ObjectIdentifier(m)
					}
				})
			})
			if token != nil {
				b.AddASN1(field(2), func(b *cryptobyte.Builder) { b.AddASN1OctetString(token) })
			}
		})
	})
	return GSS(SPNEGO, b.BytesOrPanic())
}
