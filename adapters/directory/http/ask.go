package http

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"

	"golang.org/x/oauth2"

	"github.com/sallyport-gateway/sallyport/flows"
)

func (d *Directory) ask(ctx context.Context, by, value string) (flows.Attributes, error) {
	q, err := http.NewRequestWithContext(ctx, http.MethodGet, d.address(by, value), nil)
	if err != nil {
		return nil, err
	}
	q.Header.Set("Accept", "application/json")
	if d.OAuth2 != nil {
		t, err := d.token(ctx)
		if err != nil {
			return nil, unavailable(fmt.Errorf("asking for a token: %w", tokenError(err)))
		}
		t.SetAuthHeader(q)
	}
	res, err := d.client.Do(q)
	if err != nil {
		return nil, unavailable(stripped(err))
	}
	defer res.Body.Close()
	switch {
	case res.StatusCode == http.StatusNotFound:
		return nil, flows.ErrNotFound
	case res.StatusCode/100 != 2:
		return nil, unavailable(fmt.Errorf("%s answers %s", q.URL.Host, res.Status))
	}
	body, err := io.ReadAll(res.Body)
	if err != nil {
		return nil, unavailable(err)
	}
	var all any
	if err := json.Unmarshal(body, &all); err != nil {
		return nil, unavailable(fmt.Errorf("%s answers no JSON: %w", q.URL.Host, err))
	}
	return person(all, d.JSONPath, by, value)
}

func unavailable(err error) error { return fmt.Errorf("%w: %w", flows.ErrUnavailable, err) }

// stripped leaves out the address, in which the person is named.
func stripped(err error) error {
	var e *url.Error
	if errors.As(err, &e) {
		return e.Err
	}
	return err
}

// tokenError leaves out the body of a refused token request.
func tokenError(err error) error {
	var e *oauth2.RetrieveError
	if errors.As(err, &e) && e.Response != nil {
		return fmt.Errorf("%s %s", e.Response.Status, e.ErrorCode)
	}
	return stripped(err)
}

// address fills in who is asked for. Whatever the value holds, it stays inside of
// one path segment, one parameter and its quotes.
func (d *Directory) address(by, value string) string {
	to := fill(d.URL, by, value, url.PathEscape)
	if len(d.Query) == 0 {
		return to
	}
	var pairs []string
	for _, p := range d.Query {
		pairs = append(pairs, url.QueryEscape(p.Name)+"="+url.QueryEscape(quoted(p.Value, by, value)))
	}
	return to + "?" + strings.Join(pairs, "&")
}

func fill(text, by, value string, escape func(string) string) string {
	return strings.NewReplacer("{by}", escape(by), "{value}", escape(value)).Replace(text)
}

// quoted fills a parameter. In single quotes a quote is doubled (OData 4.01
// §5.1.1.6.1, SQL), in double quotes it is escaped (RFC 7644 §3.4.2.2).
func quoted(text, by, value string) string {
	single := strings.ReplaceAll(value, "'", "''")
	double := strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(value)
	return strings.NewReplacer("'{value}'", "'"+single+"'", `"{value}"`, `"`+double+`"`, "{value}", value, "{by}", by).Replace(text)
}
