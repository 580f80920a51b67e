package flowstest

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"

	"github.com/sallyport-gateway/sallyport/flows"
)

// DirectoryCase is a bound Directory and one person it knows.
type DirectoryCase struct {
	Guest flows.Directory
	// By and Value find the person; Attribute and Want are something known of them.
	By, Value, Attribute string
	Want                 any
	// Twice is a value of By that two have. Empty: not judged.
	Twice string
	// Break makes the directory unreachable, for the rest of the test. Nil: it cannot be.
	Break func()
}

// TestDirectory reports every broken promise of flows.Directory.
func TestDirectory(t *testing.T, c DirectoryCase) {
	t.Helper()
	for _, err := range c.Problems(t.Context()) {
		t.Error(err)
	}
}

// Problems are the broken promises, none for a sound guest.
func (c DirectoryCase) Problems(ctx context.Context) []error {
	var l list
	c.found(ctx, &l)
	for _, value := range []string{
		"", "nobody", "*", c.Value + "*", c.Value[:len(c.Value)-1] + "*", c.Value + "\x00", ")(" + c.By + "=*", `\2a`, "' OR '1'='1", "'; --", "$1", "%", "_", "\xff", "{}", `"`,
	} {
		if a, err := c.Guest.Find(ctx, c.By, value); !errors.Is(err, flows.ErrNotFound) || a != nil {
			l.addf("%q: got %v, %v, want ErrNotFound", value, a, err)
		}
	}
	for _, by := range []string{"", "*", c.By + "=*)(" + c.By, c.By + "\x00", "1 OR 1"} {
		if a, err := c.Guest.Find(ctx, by, c.Value); err == nil {
			l.addf("by %q: got %v", by, a)
		}
	}
	if c.Twice != "" {
		if a, err := c.Guest.Find(ctx, c.By, c.Twice); !errors.Is(err, flows.ErrAmbiguous) || a != nil {
			l.addf("two who could be meant: got %v, %v, want ErrAmbiguous", a, err)
		}
	}
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() { c.found(ctx, &l) })
	}
	wg.Wait()
	if c.Break != nil {
		c.Break()
		for _, value := range []string{c.Value, "nobody"} {
			if _, err := c.Guest.Find(ctx, c.By, value); !errors.Is(err, flows.ErrUnavailable) || errors.Is(err, flows.ErrNotFound) {
				l.addf("unreachable: got %v, want ErrUnavailable: could not ask is not no", err)
			}
		}
	}
	return l.errs
}

// found: what is known comes as the caller's own.
func (c DirectoryCase) found(ctx context.Context, l *list) {
	for range 2 {
		a, err := c.Guest.Find(ctx, c.By, c.Value)
		if err != nil {
			l.addf("%s=%s: %v", c.By, c.Value, err)
			return
		}
		if fmt.Sprint(a[c.Attribute]) != fmt.Sprint(c.Want) {
			l.addf("%s is %v, want %v", c.Attribute, a[c.Attribute], c.Want)
		}
		a[c.Attribute] = "changed"
	}
}
