package kerberos

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/jcmturner/gokrb5/v8/iana/addrtype"
	"github.com/jcmturner/gokrb5/v8/iana/flags"
	"github.com/jcmturner/gokrb5/v8/iana/nametype"
	"github.com/jcmturner/gokrb5/v8/keytab"
	"github.com/jcmturner/gokrb5/v8/messages"
	"github.com/jcmturner/gokrb5/v8/types"
)

// skew is how far clocks may be apart (RFC 4120 §3.2.3).
const skew = 5 * time.Minute

// maxName is the longest name of a person.
const maxName = 256

// shown is what a ticket says that was verified.
type shown struct {
	// name is the person's in their realm, issuer the realm that gave the ticket.
	name, realm, issuer string
	// at is when they signed in to their computer.
	at time.Time
	// id is the same for the same answer of a browser; it is refused by its time after until.
	id    string
	until time.Time
}

// verify says whose ticket a token shows. Every error refuses it.
func (p *Provider) verify(kt *keytab.Keytab, token []byte, ip string) (s shown, err error) {
	// The library takes apart what anybody sends, and its own checks of lengths are few.
	defer func() {
		if r := recover(); r != nil {
			s, err = shown{}, fmt.Errorf("%w: %v", errMalformed, r)
		}
	}()
	raw, err := unwrap(token)
	if err != nil {
		return s, err
	}
	var req messages.APReq
	if err := req.Unmarshal(raw); err != nil {
		return s, errMalformed
	}
	if err := p.forUs(&req); err != nil {
		return s, err
	}
	if err := req.Ticket.DecryptEncPart(kt, nil); err != nil {
		return s, fmt.Errorf("ticket for %s@%s, key %d, encryption %d: %w", req.Ticket.SName.PrincipalNameString(), req.Ticket.Realm, req.Ticket.EncPart.KVNO, req.Ticket.EncPart.EType, errNoKey)
	}
	t := &req.Ticket.DecryptedEncPart
	if err := req.DecryptAuthenticator(t.Key); err != nil {
		return s, errors.New("the authenticator was not made with the key of the ticket")
	}
	now := p.clock()
	if err := inTime(&req, now); err != nil {
		return s, err
	}
	if err := sentFrom(t.CAddr, ip); err != nil {
		return s, err
	}
	if s.name, err = p.personal(t, &req.Authenticator); err != nil {
		return s, err
	}
	sum := sha256.Sum256(req.EncryptedAuthenticator.Cipher)
	s.realm, s.issuer, s.id = t.CRealm, req.Ticket.Realm, hex.EncodeToString(sum[:])
	s.until = clientTime(&req.Authenticator).Add(skew)
	if s.at = t.AuthTime; s.at.After(now) {
		s.at = now
	}
	return s, nil
}

var errNoKey = errors.New("the keytab has no key that opens it")

// forUs refuses tickets for others: a keytab may hold the keys of a whole machine.
func (p *Provider) forUs(req *messages.APReq) error {
	n := req.Ticket.SName.NameString
	name := req.Ticket.SName.PrincipalNameString()
	switch {
	case req.PVNO != 5 || req.Ticket.TktVNO != 5:
		return errMalformed
	case len(n) != 2 || n[0] != service:
		return fmt.Errorf("the ticket is for %q, and not for %s", name, service)
	case p.Principal != "" && p.Principal != name && p.Principal != name+"@"+req.Ticket.Realm:
		return fmt.Errorf("the ticket is for %q, and not for %s", name, p.Principal)
	}
	return nil
}

func clientTime(a *types.Authenticator) time.Time {
	return a.CTime.Add(time.Duration(a.Cusec) * time.Microsecond)
}

// inTime checks the times of RFC 4120 §3.2.3 by our clock.
func inTime(req *messages.APReq, now time.Time) error {
	t := &req.Ticket.DecryptedEncPart
	start := t.StartTime
	if start.IsZero() {
		start = t.AuthTime
	}
	switch apart := now.Sub(clientTime(&req.Authenticator)); {
	case apart > skew || apart < -skew:
		return fmt.Errorf("the clock of the browser's computer is %s apart, at most %s are allowed", apart.Abs().Round(time.Second), skew)
	case start.After(now.Add(skew)) || types.IsFlagSet(&t.Flags, flags.Invalid):
		return errors.New("the ticket is not valid yet")
	case t.EndTime.Before(now.Add(-skew)):
		return errors.New("the ticket has expired")
	}
	return nil
}

// sentFrom refuses a ticket that was given to other addresses. Almost all have none.
func sentFrom(to []types.HostAddress, ip string) error {
	if len(to) == 0 {
		return nil
	}
	from, err := netip.ParseAddr(ip)
	if err == nil && slices.ContainsFunc(to, func(h types.HostAddress) bool {
		a, ok := netip.AddrFromSlice(h.Address)
		return ok && (h.AddrType == addrtype.IPv4 || h.AddrType == addrtype.IPv6) && a.Unmap() == from.Unmap()
	}) {
		return nil
	}
	return errors.New("the ticket was given to other addresses")
}

// personal is the name of the person that a ticket was given to, in a realm that is
// believed. The authenticator must say the same: it is the client's own, and realm and
// name are taken from the ticket alone.
func (p *Provider) personal(t *messages.EncTicketPart, a *types.Authenticator) (string, error) {
	if !a.CName.Equal(t.CName) || a.CRealm != t.CRealm {
		return "", errors.New("the authenticator names another person than the ticket")
	}
	if !slices.Contains(p.Realms, t.CRealm) {
		return "", fmt.Errorf("realm %q is not accepted; there are: %s", t.CRealm, strings.Join(p.Realms, ", "))
	}
	// A person may have been let in under a name of their own choosing, an alias, which
	// may be somebody else's account name (CVE-2020-25719); and services are nobody.
	if t.CName.NameType != nametype.KRB_NT_PRINCIPAL {
		return "", fmt.Errorf("the name in the ticket is of kind %d and not an account's", t.CName.NameType)
	}
	if len(t.CName.NameString) == 0 || t.CName.NameString[0] == "WELLKNOWN" { // RFC 6111
		return "", errors.New("the ticket names nobody")
	}
	for _, part := range t.CName.NameString {
		if part == "" || len(part) > maxName || !utf8.ValidString(part) || strings.ContainsAny(part, `/@\`) || strings.ContainsFunc(part, unnamed) {
			return "", fmt.Errorf("%q is no name of a person", part)
		}
	}
	name := t.CName.PrincipalNameString()
	switch {
	case len(name) > maxName:
		return "", errors.New("the name is too long")
	case strings.HasSuffix(name, "$"):
		return "", fmt.Errorf("%q is a computer", name)
	}
	return name, nil
}

func unnamed(r rune) bool { return unicode.IsControl(r) || unicode.IsSpace(r) }
