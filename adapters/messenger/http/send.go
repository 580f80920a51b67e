package http

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"
	"unicode"

	"github.com/sallyport-gateway/sallyport/flows"
)

// pauses are before each try.
var pauses = []time.Duration{0, time.Second, 3 * time.Second}

// Send sends one message, and again while it may go better.
func (m *Messenger) Send(ctx context.Context, msg flows.Message) error {
	if msg.To == "" || strings.ContainsFunc(msg.To, unicode.IsControl) {
		return errors.New("the recipient is empty or holds a control character")
	}
	msg.Subject = strings.Map(blank, msg.Subject)
	ctx, cancel := context.WithTimeout(ctx, cmp.Or(time.Duration(m.Timeout), usualTimeout))
	defer cancel()
	var err error
	for _, d := range pauses {
		if late := m.pause(ctx, d); late != nil {
			return cmp.Or(err, late)
		}
		if err = m.try(ctx, msg); !errors.Is(err, flows.ErrUnavailable) {
			return err
		}
	}
	return err
}

func wait(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return ctx.Err()
	}
}

func blank(r rune) rune {
	if unicode.IsControl(r) {
		return ' '
	}
	return r
}

// try sends the request. Of the answer only the status is kept: its body may be
// the message (P15).
func (m *Messenger) try(ctx context.Context, msg flows.Message) error {
	r, err := m.request(ctx, msg)
	if err != nil {
		return errors.New("no request can be made of the message") // err would quote it
	}
	res, err := m.client.Do(r)
	if err != nil {
		return fmt.Errorf("%w: %w", flows.ErrUnavailable, stripped(err))
	}
	defer res.Body.Close()
	_, _ = io.Copy(io.Discard, io.LimitReader(res.Body, 64<<10)) // for the connection to be used again
	switch {
	case res.StatusCode/100 == 2:
		return nil
	case res.StatusCode >= 500, res.StatusCode == http.StatusTooManyRequests, res.StatusCode == http.StatusRequestTimeout:
		return fmt.Errorf("%w: %s answers %d", flows.ErrUnavailable, r.URL.Host, res.StatusCode)
	}
	return fmt.Errorf("%s answers %d", r.URL.Host, res.StatusCode)
}

func (m *Messenger) request(ctx context.Context, msg flows.Message) (*http.Request, error) {
	body, typ, err := m.body(msg)
	if err != nil {
		return nil, err
	}
	r, err := http.NewRequestWithContext(ctx, cmp.Or(m.Method, http.MethodPost), m.address.of(msg, escaped), bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	r.Header.Set("User-Agent", "Sallyport")
	if typ != "" {
		r.Header.Set("Content-Type", typ)
	}
	for _, h := range m.headers {
		r.Header.Set(h.name, strings.Map(blank, h.value.of(msg, plain)))
	}
	if m.user != "" {
		r.SetBasicAuth(m.user, m.password)
	}
	return r, nil
}

// escaped is good in a path and in a query.
func escaped(s string) string { return strings.ReplaceAll(url.QueryEscape(s), "+", "%20") }

func (m *Messenger) body(msg flows.Message) (body []byte, typ string, err error) {
	switch {
	case m.Method == http.MethodGet:
		return nil, "", nil
	case m.Body == "form":
		var pairs []string
		for _, f := range m.fields {
			pairs = append(pairs, url.QueryEscape(f.name)+"="+url.QueryEscape(f.value.of(msg, plain)))
		}
		return []byte(strings.Join(pairs, "&")), "application/x-www-form-urlencoded", nil
	}
	all := map[string]any{}
	for _, f := range m.fields {
		at := all
		path := strings.Split(f.name, ".")
		for _, name := range path[:len(path)-1] {
			inner, ok := at[name].(map[string]any)
			if !ok {
				inner = map[string]any{}
				at[name] = inner
			}
			at = inner
		}
		at[path[len(path)-1]] = f.value.of(msg, plain)
	}
	body, err = json.Marshal(all)
	return body, "application/json", err
}

// stripped leaves out the address, which may hold the message.
func stripped(err error) error {
	var e *url.Error
	if errors.As(err, &e) {
		return e.Err
	}
	return err
}
