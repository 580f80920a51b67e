package http

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/sallyport-gateway/sallyport/flows"
)

// message is the body of a request.
type message struct {
	// Type is "risk.read" or "risk.outcome".
	Type string          `json:"type"`
	Time string          `json:"timestamp"`
	Data json.RawMessage `json:"data"`
}

// outcome is what came of a login or step-up that the service was asked about.
type outcome struct {
	// ID is what the service called its answer, or else the id of our question.
	ID string `json:"id"`
	// Result is granted or denied, Reason is why not, Kind what it was: login, step_up …
	Result string       `json:"result"`
	Reason flows.Reason `json:"reason,omitempty"`
	Kind   string       `json:"kind"`
	Time   string       `json:"time"`
}

// facts are those that the operator chose, as JSON; what is not there is left out.
// False: that is nothing.
func (s *Signal) facts(f *flows.Facts) ([]byte, bool) {
	send := s.Send
	if len(send) == 0 {
		send = []string{"user.key", "request.ip"}
	}
	all := map[string]map[string]any{}
	for _, full := range send {
		root, name, _ := strings.Cut(full, ".")
		v := fact(f, root, name)
		if v == nil || v == "" {
			continue
		}
		if all[root] == nil {
			all[root] = map[string]any{}
		}
		all[root][name] = v
	}
	b, err := json.Marshal(all)
	return b, err == nil && len(all) > 0
}

func fact(f *flows.Facts, root, name string) any {
	switch {
	case root == "user" && f.User != nil:
		return f.User.Lookup(name)
	case root == "request" && f.Request != nil:
		return requested(f.Request, name)
	case root == "device" && f.User != nil && !f.Device.Unknown:
		return f.Device.Known
	case root == "geo":
		return f.Place().Country
	case root == "auth":
		return proved(f, name)
	}
	return nil
}

func requested(r *flows.Request, name string) string {
	agent := ""
	if v := r.Header["User-Agent"]; name == "user_agent" && len(v) == 1 && len(v[0]) <= 512 {
		agent = strings.ToValidUTF8(v[0], "?")
	}
	return map[string]string{"host": r.Host, "path": r.Path, "method": r.Method, "ip": r.IP, "user_agent": agent}[name]
}

func proved(f *flows.Facts, name string) any {
	n := f.Newest()
	switch {
	case name == "amr" && len(f.AMR()) > 0:
		return f.AMR()
	case name == "provider" && n != nil:
		return n.Provider
	case name == "method" && n != nil:
		return n.Method
	}
	return nil
}

// post sends a message, signed.
func (s *Signal) post(ctx context.Context, to, id string, m message, now time.Time) (*http.Response, error) {
	m.Time = now.UTC().Format(time.RFC3339)
	body, err := json.Marshal(m)
	if err != nil {
		return nil, err
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, to, bytes.NewReader(body))
	if err != nil {
		return nil, errors.New("the address cannot be used") // err would quote it
	}
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("Accept", "application/json")
	r.Header.Set("User-Agent", "Sallyport")
	s.keys.Sign(r.Header, id, now, body)
	res, err := s.client.Do(r)
	if u := new(url.Error); errors.As(err, &u) {
		err = u.Err // without the address
	}
	return res, err
}

// ask takes 200 with JSON, and nothing else.
func (s *Signal) ask(ctx context.Context, facts []byte, now time.Time) (flows.Reading, error) {
	id := "msg_" + rand.Text()
	res, err := s.post(ctx, s.address, id, message{Type: "risk.read", Data: facts}, now)
	if err != nil {
		return flows.Reading{}, err
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return flows.Reading{}, fmt.Errorf("it answers %d", res.StatusCode)
	}
	if typ, _, _ := mime.ParseMediaType(res.Header.Get("Content-Type")); typ != "application/json" {
		return flows.Reading{}, errors.New("it answers no JSON")
	}
	body, err := io.ReadAll(io.LimitReader(res.Body, maxAnswer+1))
	if err != nil {
		return flows.Reading{}, errors.New("its answer broke off")
	}
	if s.SignedAnswers {
		if err := s.keys.Verify(res.Header, id, s.now(), body); err != nil {
			return flows.Reading{}, err
		}
	}
	r, err := parse(body)
	if r.Ref == "" {
		r.Ref = id
	}
	return r, err
}

// Report tells the service what came of it, by the name of its answer: nothing of the
// person is told again. An id that stays the same lets it know a second telling.
func (s *Signal) Report(ctx context.Context, r *flows.Report) error {
	if s.outcome == "" || r.Ref == "" {
		return nil
	}
	o := outcome{ID: r.Ref, Result: "denied", Reason: r.Reason, Kind: r.Kind, Time: r.Time.UTC().Format(time.RFC3339)}
	if r.Granted {
		o.Result = "granted"
	}
	data, err := json.Marshal(o)
	if err != nil {
		return err
	}
	res, err := s.post(ctx, s.outcome, "out_"+r.ID, message{Type: "risk.outcome", Data: data}, s.now())
	if err != nil {
		return fmt.Errorf("%w: %w", flows.ErrUnavailable, err)
	}
	defer res.Body.Close()
	_, _ = io.Copy(io.Discard, io.LimitReader(res.Body, 4<<10)) // for the connection to be used again
	switch c := res.StatusCode; {
	case c/100 == 2:
		return nil
	case c >= 500, c == http.StatusTooManyRequests, c == http.StatusRequestTimeout, c == http.StatusTooEarly:
		return fmt.Errorf("%w: it answers %d", flows.ErrUnavailable, c)
	default:
		return fmt.Errorf("it answers %d", c)
	}
}
