package call

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/sallyport-gateway/sallyport/flows"
	"github.com/sallyport-gateway/sallyport/flows/outbound"
)

// sendable is what can be sent beside attributes of the user.
var sendable = []string{
	"request.host", "request.path", "request.method", "request.ip",
	"auth.provider", "auth.method", "auth.acr", "auth.amr",
}

// question is the body of the request.
type question struct {
	// Type is what it is about: "flow.step", or "flow.event" in a flow that an event started.
	Type string `json:"type"`
	// Time is that of the request.
	Time string    `json:"timestamp"`
	Data questions `json:"data"`
}

type questions struct {
	Flow string `json:"flow"`
	// Run is the same when it is asked again.
	Run     string         `json:"run"`
	Event   *flows.Event   `json:"event,omitempty"`
	User    map[string]any `json:"user,omitempty"`
	Request map[string]any `json:"request,omitempty"`
	Auth    map[string]any `json:"auth,omitempty"`
}

// facts are those that the operator chose; what is not there is left out.
func (c *Call) facts(x *flows.Execution) questions {
	q := questions{Flow: x.Flow, Run: x.ID, Event: x.Event}
	send := c.Send
	if len(send) == 0 {
		send = []string{"user.key"}
	}
	set := func(m *map[string]any, name string, v any) {
		if *m == nil {
			*m = map[string]any{}
		}
		(*m)[name] = v
	}
	f := x.Facts()
	for _, full := range send {
		root, name, _ := strings.Cut(full, ".")
		switch root {
		case "user":
			if v := x.User.Lookup(name); v != nil && v != "" {
				set(&q.User, name, v)
			}
		case "request":
			if v := requested(f.Request, name); v != "" {
				set(&q.Request, name, v)
			}
		default:
			if v := proved(f, name); v != nil {
				set(&q.Auth, name, v)
			}
		}
	}
	return q
}

func requested(r *flows.Request, name string) string {
	return map[string]string{"host": r.Host, "path": r.Path, "method": r.Method, "ip": r.IP}[name]
}

func proved(f *flows.Facts, name string) any {
	n := f.Newest()
	switch {
	case name == "amr" && len(f.AMR()) > 0:
		return f.AMR()
	case name == "acr" && f.ACR() != "":
		return f.ACR()
	case name == "provider" && n != nil && n.Provider != "":
		return n.Provider
	case name == "method" && n != nil:
		return n.Method
	}
	return nil
}

// id names the message, the same when a run asks again: so the service knows it.
func (c *Call) id(x *flows.Execution) string {
	sum := sha256.Sum256([]byte(x.ID + "\x00" + x.Flow + "\x00" + c.Source + "\x00" + strconv.Itoa(x.PC)))
	return "msg_" + base64.RawURLEncoding.EncodeToString(sum[:18])
}

func (c *Call) ask(ctx context.Context, x *flows.Execution) (answer, error) {
	now := c.now()
	q := question{Type: "flow.step", Time: now.UTC().Format(time.RFC3339), Data: c.facts(x)}
	if x.Event != nil {
		q.Type = "flow.event"
	}
	body, err := json.Marshal(q)
	if err != nil {
		return answer{}, err
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, c.address, bytes.NewReader(body))
	if err != nil {
		return answer{}, errors.New("the address cannot be used") // err would quote it
	}
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("Accept", "application/json")
	r.Header.Set("User-Agent", "Sallyport")
	c.keys.Sign(r.Header, c.id(x), now, body)
	res, err := c.client.Do(r)
	if err != nil {
		return answer{}, outbound.Unquoted(err)
	}
	defer res.Body.Close()
	return c.take(res)
}

// take reads an answer: 200 with JSON, or 204 for nothing to say.
func (c *Call) take(res *http.Response) (answer, error) {
	var body []byte
	switch typ, _, _ := mime.ParseMediaType(res.Header.Get("Content-Type")); {
	case res.StatusCode == http.StatusNoContent:
		body = []byte("{}")
	case res.StatusCode != http.StatusOK:
		return answer{}, fmt.Errorf("it answers %d", res.StatusCode)
	case typ != "application/json":
		return answer{}, errors.New("it answers no JSON")
	default:
		var err error
		if body, err = io.ReadAll(io.LimitReader(res.Body, maxAnswer+1)); err != nil {
			return answer{}, errors.New("its answer broke off")
		}
	}
	return c.parse(body)
}

func (c *Call) branch(name string) int {
	return slices.IndexFunc(c.Branches, func(b *Branch) bool { return b.Name == name })
}
