package flowstest

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"

	"github.com/sallyport-gateway/sallyport/flows/audit"
)

// paper is a correct sink, as small as it can be; a bug spoils it.
type paper struct {
	bug string
	mu  sync.Mutex
	b   bytes.Buffer
	due []byte
}

func (p *paper) Write(ctx context.Context, e audit.Event) error {
	if err := ctx.Err(); err != nil && p.bug != "ignores the context" {
		return err
	}
	if p.bug == "forgets a field" {
		e.IP = ""
	}
	line, err := e.Line()
	if err != nil {
		return err
	}
	switch p.bug {
	case "escapes nothing":
		line = fmt.Appendf(nil, "%s %s login %s %s\n", e.ID, e.Kind, e.Name, e.Detail)
	case "leaves terminal codes":
		line = bytes.ReplaceAll(line, []byte(`\u009b`), []byte("\u009b"))
	case "cuts long entries":
		line = append(line[:min(len(line)-1, 4096)], '\n')
	}
	if p.bug == "tears lines" {
		half := len(line) / 2
		p.print(line[:half])
		yield()
		p.print(line[half:])
		return nil
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.bug == "writes behind" {
		line, p.due = p.due, line
	}
	p.b.Write(line)
	return nil
}

func (p *paper) print(b []byte) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.b.Write(b)
}

func (p *paper) text() (string, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.b.String(), nil
}

func TestSinkSuiteAcceptsAGoodOne(t *testing.T) {
	t.Parallel()
	TestSink(t, func(*testing.T) Sink {
		p := new(paper)
		return Sink{p, p.text}
	})
}

// TestSinkSuiteFailsBrokenOnes shows that the suite can fail.
func TestSinkSuiteFailsBrokenOnes(t *testing.T) {
	t.Parallel()
	caught := map[string]bool{}
	for bug, by := range map[string]string{
		"forgets a field":       "EveryFieldIsWritten",
		"writes behind":         "WrittenWhenWriteReturns",
		"tears lines":           "LinesAreNotTorn",
		"escapes nothing":       "P15NothingForgesALine",
		"leaves terminal codes": "P15NothingForgesALine",
		"cuts long entries":     "LongEntriesAreWhole",
		"ignores the context":   "CancelledContext",
	} {
		var names []string
		for _, c := range sinkChecks {
			p := &paper{bug: bug}
			if f := judged(func(tb TB) { c.check(sinkSuite{tb, Sink{p, p.text}}) }); len(f) > 0 {
				names, caught[c.name] = append(names, c.name), true
			}
		}
		if !slices.Contains(names, by) {
			t.Errorf("a sink that %q is not caught by %s, only by %q", bug, by, names)
		}
	}
	for _, c := range sinkChecks {
		if !caught[c.name] {
			t.Errorf("no broken sink fails %s: it may be unable to fail", c.name)
		}
	}
}
