package ldaptest

import (
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"

	ber "github.com/go-asn1-ber/asn1-ber"
	"github.com/go-ldap/ldap/v3"
)

const (
	inChain  = "1.2.840.113556.1.4.1941"
	pagingID = ldap.ControlTypePaging
)

func (s *Server) search(c net.Conn, id any, op, message *ber.Packet, who string) {
	base, _ := op.Children[0].Value.(string)
	scope, size := number(op.Children[1]), int(number(op.Children[3]))
	filter := op.Children[6]
	var names []string
	for _, a := range op.Children[7].Children {
		names = append(names, a.Data.String())
	}
	end := func(code uint16, text string, more *ber.Packet) {
		send(c, id, done(ldap.ApplicationSearchResultDone, code, text), more)
	}
	if base == "" && scope == ldap.ScopeBaseObject {
		entry(c, id, &Entry{Attrs: map[string][]string{"supportedCapabilities": s.Capabilities}}, []string{"*"}, 0)
		end(0, "", nil)
		return
	}
	s.Searches.Add(1)
	text, _ := ldap.DecompileFilter(filter)
	s.note("search " + base + " " + text)
	if who == "" && !s.Anonymous {
		end(ldap.LDAPResultOperationsError, "a successful bind must be completed first", nil)
		return
	}
	if strings.EqualFold(base, "dc=gone") {
		end(ldap.LDAPResultNoSuchObject, "", nil)
		return
	}
	base, ok := s.bySID(base)
	if !ok {
		end(ldap.LDAPResultNoSuchObject, "", nil)
		return
	}
	var hits []*Entry
	for _, e := range s.Entries {
		in := strings.EqualFold(e.DN, base)
		if scope != ldap.ScopeBaseObject {
			in = in || strings.HasSuffix(strings.ToLower(e.DN), ","+strings.ToLower(base))
		}
		if in && s.matches(e, filter) {
			hits = append(hits, e)
		}
	}
	from, most, more := paging(message)
	if s.MostEntries > 0 && (most == 0 || most > s.MostEntries) {
		most = s.MostEntries
	}
	hits = hits[min(from, len(hits)):]
	var next *ber.Packet
	switch {
	case size > 0 && len(hits) > size:
		for _, e := range hits[:size] {
			entry(c, id, e, names, s.MostValues)
		}
		end(ldap.LDAPResultSizeLimitExceeded, "", nil)
		return
	case most > 0 && len(hits) > most && !more:
		end(ldap.LDAPResultSizeLimitExceeded, "", nil)
		return
	case most > 0 && len(hits) > most:
		hits, next = hits[:most], page(strconv.Itoa(from+most))
	case more:
		next = page("")
	}
	for _, e := range hits {
		entry(c, id, e, names, s.MostValues)
	}
	end(0, "", next)
}

// bySID is the DN of a base that is one, or a SID ([MS-ADTS] 3.1.1.3.1.2.4).
func (s *Server) bySID(base string) (dn string, ok bool) {
	if !strings.HasPrefix(base, "<SID=") {
		return base, true
	}
	for _, e := range s.Entries {
		if e.SID != "" && base == "<SID="+e.SID+">" {
			return e.DN, true
		}
	}
	return "", false
}

func number(p *ber.Packet) int64 { n, _ := p.Value.(int64); return n }

// paging reads the control of RFC 2696.
func paging(message *ber.Packet) (from, most int, asked bool) {
	if len(message.Children) < 3 {
		return 0, 0, false
	}
	for _, c := range message.Children[2].Children {
		if c.Children[0].Data.String() != pagingID {
			continue
		}
		v, err := ber.DecodePacketErr(c.Children[len(c.Children)-1].Data.Bytes())
		if err != nil {
			return 0, 0, false
		}
		from, _ = strconv.Atoi(v.Children[1].Data.String())
		return from, int(number(v.Children[0])), true
	}
	return 0, 0, false
}

func page(cookie string) *ber.Packet {
	v := ber.Encode(ber.ClassUniversal, ber.TypeConstructed, ber.TagSequence, nil, "")
	v.AppendChild(ber.NewInteger(ber.ClassUniversal, ber.TypePrimitive, ber.TagInteger, int64(0), ""))
	v.AppendChild(ber.NewString(ber.ClassUniversal, ber.TypePrimitive, ber.TagOctetString, cookie, ""))
	return control(pagingID, v)
}

func entry(c net.Conn, id any, e *Entry, names []string, most int) {
	p := ber.Encode(ber.ClassApplication, ber.TypeConstructed, ldap.ApplicationSearchResultEntry, nil, "")
	p.AppendChild(ber.NewString(ber.ClassUniversal, ber.TypePrimitive, ber.TagOctetString, e.DN, ""))
	all := ber.Encode(ber.ClassUniversal, ber.TypeConstructed, ber.TagSequence, nil, "")
	for name, values := range e.Attrs {
		from, asked := 0, slices.Contains(names, "*")
		for _, n := range names {
			plain, option, _ := strings.Cut(n, ";range=")
			if strings.EqualFold(plain, name) {
				asked = true
				first, _, _ := strings.Cut(option, "-")
				from, _ = strconv.Atoi(first)
			}
		}
		if !asked {
			continue
		}
		sent := values[min(from, len(values)):]
		if most > 0 && len(values) > most {
			end := "*"
			if len(sent) > most {
				sent, end = sent[:most], strconv.Itoa(from+most-1)
			}
			name = fmt.Sprintf("%s;range=%d-%s", name, from, end)
		}
		a := ber.Encode(ber.ClassUniversal, ber.TypeConstructed, ber.TagSequence, nil, "")
		a.AppendChild(ber.NewString(ber.ClassUniversal, ber.TypePrimitive, ber.TagOctetString, name, ""))
		set := ber.Encode(ber.ClassUniversal, ber.TypeConstructed, ber.TagSet, nil, "")
		for _, v := range sent {
			set.AppendChild(ber.NewString(ber.ClassUniversal, ber.TypePrimitive, ber.TagOctetString, v, ""))
		}
		a.AppendChild(set)
		all.AppendChild(a)
	}
	p.AppendChild(all)
	send(c, id, p, nil)
}

func (e *Entry) values(name string) []string {
	for n, v := range e.Attrs {
		if strings.EqualFold(n, name) {
			return v
		}
	}
	return nil
}

func (s *Server) matches(e *Entry, f *ber.Packet) bool {
	is := func(name, value string) bool {
		return slices.ContainsFunc(e.values(name), func(v string) bool { return strings.EqualFold(v, value) })
	}
	switch f.Tag {
	case ldap.FilterAnd:
		return !slices.ContainsFunc(f.Children, func(c *ber.Packet) bool { return !s.matches(e, c) })
	case ldap.FilterOr:
		return slices.ContainsFunc(f.Children, func(c *ber.Packet) bool { return s.matches(e, c) })
	case ldap.FilterNot:
		return !s.matches(e, f.Children[0])
	case ldap.FilterEqualityMatch:
		return is(f.Children[0].Data.String(), f.Children[1].Data.String())
	case ldap.FilterPresent:
		return len(e.values(f.Data.String())) > 0
	case ldap.FilterSubstrings:
		return slices.ContainsFunc(e.values(f.Children[0].Data.String()), func(v string) bool { return substrings(v, f.Children[1].Children) })
	case ldap.FilterExtensibleMatch:
		parts := map[ber.Tag]string{}
		for _, c := range f.Children {
			parts[c.Tag] = c.Data.String()
		}
		return parts[1] == inChain && s.chained(e, parts[2], parts[3], map[string]bool{})
	}
	return false
}

func substrings(v string, parts []*ber.Packet) bool {
	v = strings.ToLower(v)
	for _, p := range parts {
		text := strings.ToLower(p.Data.String())
		at := strings.Index(v, text)
		if at < 0 || p.Tag == 0 && at != 0 || p.Tag == 2 && !strings.HasSuffix(v, text) {
			return false
		}
		v = v[at+len(text):]
	}
	return true
}

// chained follows an attribute from one entry through others to a DN.
func (s *Server) chained(e *Entry, attribute, dn string, seen map[string]bool) bool {
	if seen[e.DN] {
		return false
	}
	seen[e.DN] = true
	for _, v := range e.values(attribute) {
		if strings.EqualFold(v, dn) {
			return true
		}
		for _, o := range s.Entries {
			if strings.EqualFold(o.DN, v) && s.chained(o, attribute, dn, seen) {
				return true
			}
		}
	}
	return false
}
