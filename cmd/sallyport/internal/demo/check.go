package demo

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/sallyport-gateway/sallyport/examples/browser"
)

// ErrCheck is the error of a walk in which a step failed.
var ErrCheck = errors.New("the demo does not do what it should")

// walk is one walk through the demo: two browsers, one for each person.
type walk struct {
	*site
	alice, bob *browser.Browser
	old        *browser.Jar // alice's cookies from before her logout
}

type step struct {
	name string
	do   func(*walk) error
}

var steps = []step{
	{"a stranger is sent to the identity provider", (*walk).stranger},
	{"a program without a session gets 401 as JSON and no cookie", (*walk).program},
	{"a wrong password is refused there", (*walk).wrongPassword},
	{"alice signs in and lands where she wanted to go", (*walk).signIn},
	{"the old application greets alice by SM_USER", (*walk).greeted},
	{"alice, an admin, gets into /admin/", (*walk).admin},
	{"a forged SM_USER or SM-USER is ignored, with and without a session", (*walk).forged},
	{"the gateway's cookies are below 300 bytes and stay with the gateway", (*walk).cookies},
	{"bob at /admin/ gets 403 with a reason and an id, and the log knows the id", (*walk).denied},
	{"alice logs out and sees the signed-out page", (*walk).logout},
	{"her old cookie is dead", (*walk).dead},
	{"the provider asks for her password again", (*walk).again},
}

// check walks all steps, prints each, and stops at the first that fails:
// later ones stand on it.
func check(ctx context.Context, s *site, out io.Writer) error {
	w := &walk{site: s, alice: browser.New(), bob: browser.New()}
	defer w.alice.Close()
	defer w.bob.Close()
	for _, st := range steps {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := st.do(w); err != nil {
			fmt.Fprintf(out, "FAIL  %s\n      %v\n", st.name, err)
			fmt.Fprintf(out, "      the gateway's log ends with:\n%s\n", w.logTail())
			return ErrCheck
		}
		fmt.Fprintf(out, "ok    %s\n", st.name)
	}
	return nil
}

func unexpected(p *browser.Page, want string) error {
	return fmt.Errorf("expected %s, got %d at %s: %.400s (%s)", want, p.Status, p.URL, p.Text(), strings.Join(p.Browser.Hops, " | "))
}

func (w *walk) logTail() string {
	b, err := os.ReadFile(w.logFile())
	if err != nil {
		return "      " + err.Error()
	}
	lines := strings.Split(strings.TrimSpace(string(b)), "\n")
	return "      " + strings.Join(lines[max(0, len(lines)-15):], "\n      ")
}
