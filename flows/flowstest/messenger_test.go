package flowstest

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/sallyport-gateway/sallyport/flows"
)

// post is a messenger in memory; how it is broken is its name.
type post struct {
	broken string

	mu            sync.Mutex
	box           []string
	refuses, down bool
}

func (p *post) Send(ctx context.Context, m flows.Message) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case p.down && p.broken == "says it is for good":
		return errors.New("no connection")
	case p.down && p.broken == "says yes":
		return nil
	case p.down:
		return fmt.Errorf("%w: no connection", flows.ErrUnavailable)
	case p.refuses && p.broken == "tells":
		return fmt.Errorf("they do not want %q", m.Text)
	case p.refuses && p.broken == "tries for ever":
		return flows.ErrUnavailable
	case p.refuses:
		return errors.New("they do not want it")
	case ctx.Err() != nil && p.broken != "is late":
		return ctx.Err()
	case p.broken == "swallows":
		return nil
	}
	if strings.ContainsAny(m.To, "\r\n\x00") || m.To == "" {
		if p.broken != "breaks lines" {
			return errors.New("that is no address")
		}
	}
	if p.broken != "adds headers" {
		m.Subject = strings.NewReplacer("\r", " ", "\n", " ").Replace(m.Subject)
	}
	p.box = append(p.box, fmt.Sprintf("To: %s\nSubject: %s\n\n%s", m.To, m.Subject, m.Text))
	if p.broken == "sends twice" {
		p.box = append(p.box, p.box[len(p.box)-1])
	}
	return nil
}

func (p *post) got() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.box
}

func TestTheMessengerSuiteFindsBrokenMessengers(t *testing.T) {
	check := func(broken string) string {
		p := &post{broken: broken}
		return fmt.Sprint(MessengerCase{
			Guest: p, To: "maria@example.com", Got: p.got,
			Refuse: func() { p.refuses = true }, Break: func() { p.down = true },
		}.Problems(t.Context()))
	}
	if p := check(""); p != "[]" {
		t.Errorf("a sound messenger: %s", p)
	}
	for broken, want := range map[string]string{
		"swallows": "one message was sent, 0 arrived", "breaks lines": `"maria@example.com\n" was taken`, "adds headers": "adds a header",
		"is late": "after its time was over", "tells": "the error holds the message", "says yes": "unreachable: no error",
		"says it is for good": "unreachable: got", "tries for ever": "refused: got", "sends twice": "one message was sent, 2 arrived",
	} {
		if p := check(broken); !strings.Contains(p, want) {
			t.Errorf("%s: want a problem about %q, got %s", broken, want, p)
		}
	}
}
