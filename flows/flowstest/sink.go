package flowstest

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/sallyport-gateway/sallyport/flows"
	"github.com/sallyport-gateway/sallyport/flows/audit"
)

// Sink is a sink and a way to see what it wrote.
type Sink struct {
	audit.Sink
	// Written answers everything written so far, as raw text, one entry a line.
	Written func() (string, error)
}

// TestSink holds an audit sink to the contract of audit.Sink. open makes an
// empty one and closes it when the test ends.
func TestSink(t *testing.T, open func(t *testing.T) Sink) {
	for _, c := range sinkChecks {
		t.Run(c.name, func(t *testing.T) { c.check(sinkSuite{t, open(t)}) })
	}
}

// sinkSuite is one check's sink and verdict.
type sinkSuite struct {
	TB
	s Sink
}

type sinkCheck struct {
	name  string
	check func(sinkSuite)
}

var sinkChecks = []sinkCheck{
	{"EveryFieldIsWritten", sinkSuite.everyField},
	{"WrittenWhenWriteReturns", sinkSuite.atOnce},
	{"LinesAreNotTorn", sinkSuite.notTorn},
	{"P15NothingForgesALine", sinkSuite.forging},
	{"LongEntriesAreWhole", sinkSuite.long},
	{"CancelledContext", sinkSuite.cancelled},
}

// AuditEvent is an event with every field filled.
func AuditEvent(id string) audit.Event {
	return audit.Event{
		ID: id, Time: Start, Kind: audit.LoginDenied, User: "corp:s-4711", Name: "ada.l", Provider: "entra-eu",
		Flow: "staff", Session: "pub-0815", Reason: flows.ReasonNotAllowed, Rule: "Caddyfile:12", Text: "Payroll role needed.",
		Method: "PATCH", Host: "payroll.example.com", Path: "/deep/link", IP: "192.0.2.7",
		AMR: []string{"pwd", "otp"}, ACR: "urn:gold", Detail: "claim roles is empty",
	}
}

func (s sinkSuite) write(e audit.Event) {
	s.Helper()
	if err := s.s.Write(bg, e); err != nil {
		s.Fatalf("Write: %v", err)
	}
}

func (s sinkSuite) lines() []string {
	s.Helper()
	text, err := s.s.Written()
	if err != nil {
		s.Fatalf("reading what was written: %v", err)
	}
	if text == "" {
		return nil
	}
	if !strings.HasSuffix(text, "\n") {
		s.Errorf("the last entry has no line end: %.80q", text)
	}
	return strings.Split(strings.TrimSuffix(text, "\n"), "\n")
}

func (s sinkSuite) everyField() {
	s.write(AuditEvent("e-1"))
	lines := s.lines()
	if len(lines) != 1 {
		s.Fatalf("%d lines for one entry", len(lines))
	}
	for _, want := range []string{
		"e-1", "2026-03-01T12:00:00Z", "login_denied", "corp:s-4711", "ada.l", "entra-eu", "staff", "pub-0815", "not_allowed",
		"Caddyfile:12", "Payroll role needed.", "PATCH", "payroll.example.com", "/deep/link", "192.0.2.7", "pwd", "otp",
		"urn:gold", "claim roles is empty",
	} {
		if !strings.Contains(lines[0], want) {
			s.Errorf("the entry does not say %q: %s", want, lines[0])
		}
	}
}

func (s sinkSuite) atOnce() {
	for i := range 20 {
		s.write(audit.Event{ID: fmt.Sprintf("e-%d.", i), Kind: audit.Login})
		lines := s.lines()
		if len(lines) != i+1 || !strings.Contains(lines[i], fmt.Sprintf("e-%d.", i)) {
			s.Fatalf("entry %d is not the last of the %d lines there are when Write returned", i, len(lines))
		}
	}
}

func (s sinkSuite) notTorn() {
	const n, each = 32, 8
	parallel(n, func(i int) {
		for j := range each {
			e := audit.Event{ID: fmt.Sprintf("e-%d-%d.", i, j), Kind: audit.Login, Detail: strings.Repeat("d", 3000)}
			if err := s.s.Write(bg, e); err != nil {
				s.Errorf("Write: %v", err)
			}
		}
	})
	lines := s.lines()
	if len(lines) != n*each {
		s.Errorf("%d lines for %d entries", len(lines), n*each)
	}
	seen := map[string]bool{}
	for _, l := range lines {
		at := strings.Index(l, "e-")
		if at < 0 || strings.Count(l, "login") != 1 || strings.Count(l, "d") < 3000 {
			s.Errorf("torn line: %.120q", l)
			continue
		}
		id, _, _ := strings.Cut(l[at:], ".")
		if seen[id] {
			s.Errorf("%s is there twice", id)
		}
		seen[id] = true
	}
}

// forging: somebody else's claim must not look like an entry, a line end or a
// colour on the operator's terminal.
func (s sinkSuite) forging() {
	evil := []string{
		"a\nb", "a\r\nb", "\x1b[2J\x1b[31mred", "\x00", "\x7f", "\u0085next", "\u009b31m", "\u2028line", "\u2029para",
		"\u202egnp.exe", "\u2066x", "\u200bhidden", "\U000e0041tag", "bad \xff\xfe utf8", "\"}\n{\"id\":\"forged\"}", `back\slash"quote`,
	}
	for i, v := range evil {
		s.write(audit.Event{
			ID: fmt.Sprintf("e-%d.", i) + v, Time: Start, Kind: audit.Kind("login" + v), User: flows.UserKey(v), Name: v, Provider: v, Flow: v, Session: v,
			Reason: flows.Reason(v), Rule: v, Text: v, Method: v, Host: v, Path: v, IP: v, AMR: []string{v, v}, ACR: v, Detail: v,
		})
	}
	lines := s.lines()
	if len(lines) != len(evil) {
		s.Errorf("%d lines for %d entries", len(lines), len(evil))
	}
	for i, l := range lines {
		if i < len(evil) && !strings.Contains(l, fmt.Sprintf("e-%d.", i)) {
			s.Errorf("line %d is not entry %d: %.80q", i, i, l)
		}
		l = strings.ReplaceAll(l, "\t", " ") // what a console encoder puts between its columns
		if at := strings.IndexFunc(l, audit.Forges); at >= 0 || !utf8.ValidString(l) {
			s.Errorf("line %d holds what forges (%q): %.160q", i, evil[min(i, len(evil)-1)], l)
		}
	}
}

func (s sinkSuite) long() {
	s.write(audit.Event{ID: "e-1", Kind: audit.Denied, Detail: strings.Repeat("x", 1<<18) + "end-of-detail"})
	s.write(audit.Event{ID: "e-2", Kind: audit.Denied})
	lines := s.lines()
	if len(lines) != 2 || !strings.Contains(lines[0], "xend-of-detail") {
		s.Errorf("a long entry was cut: %d lines", len(lines))
	}
}

func (s sinkSuite) cancelled() {
	ctx, cancel := context.WithCancel(bg)
	cancel()
	if err := s.s.Write(ctx, audit.Event{ID: "e-1", Kind: audit.Login}); !errors.Is(err, context.Canceled) {
		s.Errorf("Write with a cancelled context: %v, want context.Canceled", err)
	}
	if lines := s.lines(); len(lines) != 0 {
		s.Errorf("%d lines after a write that was refused", len(lines))
	}
}
