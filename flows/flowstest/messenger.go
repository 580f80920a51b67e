package flowstest

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/sallyport-gateway/sallyport/flows"
)

// MessengerCase is a bound Messenger and what its far side got.
type MessengerCase struct {
	Guest flows.Messenger
	// To is somebody who can be reached, Malformed are others who must not be.
	To        string
	Malformed []string
	// Got is everything that has arrived, each message as the far side has it.
	Got func() []string
	// Refuse makes the far side refuse for good, and say back what it was given. Nil: it
	// never does.
	Refuse func()
	// Break makes the far side unreachable, for the rest of the test. Nil: it cannot be.
	Break func()
}

// The code and the words of the suite's message.
const (
	messageCode = "830417"
	messageText = "830417 is your code for app.example.\n\nDo not pass it on."
)

// message is what the hall would hand over.
func (c MessengerCase) message() flows.Message {
	return flows.Message{
		ID: "m1", Kind: "code", To: c.To, Language: "en", Subject: "Your code for app.example", Text: messageText,
		Values: map[string]string{"host": "app.example"}, Secret: map[string]string{"code": messageCode},
		Rows: []flows.Row{{Name: "amount", Value: "950.00"}},
	}
}

// TestMessenger reports every broken promise of flows.Messenger.
func TestMessenger(t *testing.T, c MessengerCase) {
	t.Helper()
	for _, err := range c.Problems(t.Context()) {
		t.Error(err)
	}
}

// Problems are the broken promises, none for a sound guest.
func (c MessengerCase) Problems(ctx context.Context) []error {
	var l list
	before := len(c.Got())
	if err := c.Guest.Send(ctx, c.message()); err != nil {
		l.addf("a sound message: %v", err)
	}
	if got := c.Got(); len(got) != before+1 {
		l.addf("one message was sent, %d arrived", len(got)-before)
	} else if last := got[len(got)-1]; !strings.Contains(last, messageCode) || !strings.Contains(last, c.To) {
		l.addf("what arrived has neither address nor code: %q", last)
	}
	c.refuses(ctx, &l)
	var wg sync.WaitGroup
	before = len(c.Got())
	for range 8 {
		wg.Go(func() {
			if err := c.Guest.Send(ctx, c.message()); err != nil {
				l.addf("eight at once: %v", err)
			}
		})
	}
	wg.Wait()
	if n := len(c.Got()) - before; n != 8 {
		l.addf("eight were sent at once, %d arrived", n)
	}
	c.fails(ctx, &l)
	return l.errs
}

// refuses: what nobody should get, or nobody waits for any more, is not sent.
func (c MessengerCase) refuses(ctx context.Context, l *list) {
	before := len(c.Got())
	for _, to := range append([]string{"", c.To + "\r\nBcc: mallory@example.net", c.To + "\n", "\x00"}, c.Malformed...) {
		m := c.message()
		m.To = to
		if err := c.Guest.Send(ctx, m); err == nil {
			l.addf("a message to %q was taken", to)
		} else if errors.Is(err, flows.ErrUnavailable) {
			l.addf("to %q: got %v: that will not work later, either", to, err)
		}
	}
	m := c.message()
	m.Subject = "x\r\nBcc: mallory@example.net"
	if c.Guest.Send(ctx, m) == nil {
		before++ // without the line break
	}
	if slices.ContainsFunc(c.Got(), func(s string) bool { return strings.Contains(s, "\nBcc: mallory") }) {
		l.addf("an address or a subject adds a header")
	}
	ended, cancel := context.WithCancel(ctx)
	cancel()
	if err := c.Guest.Send(ended, c.message()); err == nil {
		l.addf("a message was sent after its time was over")
	}
	if n := len(c.Got()) - before; n != 0 {
		l.addf("%d messages arrived that must not", n)
	}
}

// fails: no error holds what must not be read, and only what may go better later
// is ErrUnavailable.
func (c MessengerCase) fails(ctx context.Context, l *list) {
	for _, f := range []struct {
		what  string
		make  func()
		later bool
	}{{"refused", c.Refuse, false}, {"unreachable", c.Break, true}} {
		if f.make == nil {
			continue
		}
		f.make()
		err := c.Guest.Send(ctx, c.message())
		switch {
		case err == nil:
			l.addf("%s: no error", f.what)
		case errors.Is(err, flows.ErrUnavailable) != f.later:
			l.addf("%s: got %v; ErrUnavailable is what may go better later", f.what, err)
		case strings.Contains(err.Error(), messageCode), strings.Contains(err.Error(), "pass it on"):
			l.addf("%s: the error holds the message: %v", f.what, err)
		}
	}
}
