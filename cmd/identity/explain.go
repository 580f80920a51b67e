package identity

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/sallyport-gateway/sallyport/flows"
	"github.com/sallyport-gateway/sallyport/module"
)

// asked is a case as the flags write it.
type asked struct {
	user, session, method, address, file, at string
	attributes, headers, evidence, readings  []string
	groups, factors, flows                   []string
	form                                     []string
	json                                     string
	trusted                                  bool
}

// explain is the command that asks what would happen to a request.
func (e *endpoint) explain(raw *bool) *cobra.Command {
	var a asked
	c := &cobra.Command{
		Use:   "explain <url> [--user <realm:subject> | --name <name> …] | --case <file>",
		Short: "Tells what would happen to a request, and why",
		Long: `Asks the running gateway what it would do with a request, by whom, and when. Nothing
is written, sent or used up; only a lookup asks its directory, unless --case says what
it answers. Without --user, --session and --attribute nobody is signed in.

--case reads the whole case as JSON, - from standard input: the fields are those of
POST /identity/explain.`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			in, err := a.read(cmd, args)
			if err != nil {
				return err
			}
			var out json.RawMessage
			if err := e.call(http.MethodPost, "/identity/explain", in, &out); err != nil {
				return err
			}
			if *raw {
				_, err := fmt.Fprintf(cmd.OutOrStdout(), "%s\n", out)
				return err
			}
			var x module.Explanation
			if err := json.Unmarshal(out, &x); err != nil {
				return fmt.Errorf("the answer of the gateway: %w", err)
			}
			return PrintExplanation(cmd.OutOrStdout(), &x)
		},
	}
	f := c.Flags()
	f.StringVar(&a.file, "case", "", "File with the whole case as JSON, - for standard input")
	f.StringVar(&a.user, "user", "", "Key of somebody who is known, <realm>:<subject>")
	f.StringVar(&a.session, "session", "", "Public id of a session")
	f.StringArrayVar(&a.attributes, "attribute", nil, "An attribute written by hand, name=value; again for more")
	f.StringSliceVar(&a.groups, "groups", nil, "The groups of who is written by hand")
	f.StringArrayVar(&a.evidence, "evidence", nil, "What they proved: method[,age], as totp,3m or oidc,2h; again for more")
	f.StringSliceVar(&a.factors, "factors", nil, "Kinds of factor they have enrolled")
	f.StringSliceVar(&a.flows, "flows", nil, "Flows that their session finished; default: the route's is run first")
	f.BoolVar(&a.trusted, "trusted-device", false, "They had the browser trusted")
	f.StringArrayVar(&a.readings, "reading", nil, "What a signal says, name=score or name=unknown; again for more")
	f.StringVar(&a.method, "method", "", "Method of the request (default GET)")
	f.StringVar(&a.address, "ip", "", "Address of the client")
	f.StringArrayVar(&a.headers, "header", nil, "A header of the request, 'Name: value'; again for more")
	f.StringArrayVar(&a.form, "form", nil, "A field of a form in the body, name=value; again for more")
	f.StringVar(&a.json, "body-json", "", "JSON in the body")
	f.StringVar(&a.at, "time", "", "When it is, as 2026-11-26T03:00:00Z (default: now)")
	return c
}

// read makes the case of what was written.
func (a *asked) read(cmd *cobra.Command, args []string) (any, error) {
	switch {
	case a.file != "" && len(args) > 0:
		return nil, errors.New("the address is in the case; explain takes one or the other")
	case a.file == "" && len(args) == 0:
		return nil, errors.New("explain wants the address of a request, or --case <file>")
	case a.file != "":
		return readCase(cmd.InOrStdin(), a.file)
	}
	c := module.ExplainCase{URL: args[0], Method: a.method, Address: a.address, Session: a.session, Factors: a.factors, Flows: a.flows}
	c.Device.Trusted = a.trusted
	if a.json != "" {
		c.JSON = json.RawMessage(a.json)
	}
	if a.at != "" {
		at, err := time.Parse(time.RFC3339, a.at)
		if err != nil {
			return nil, fmt.Errorf("--time is as 2026-11-26T03:00:00Z, not '%s'", a.at)
		}
		c.Time = at
	}
	return c, errors.Join(a.readUser(&c), a.readEvidence(&c), a.readRequest(&c))
}

func readCase(in io.Reader, file string) (any, error) {
	b, err := io.ReadAll(in)
	if file != "-" {
		b, err = os.ReadFile(file)
	}
	if err != nil {
		return nil, err
	}
	if !json.Valid(b) {
		return nil, fmt.Errorf("%s is no JSON", file)
	}
	return json.RawMessage(b), nil
}

func (a *asked) readUser(c *module.ExplainCase) error {
	byHand := map[string]any{}
	for _, text := range a.attributes {
		name, value, ok := strings.Cut(text, "=")
		if !ok {
			return fmt.Errorf("--attribute is name=value, not '%s'", text)
		}
		byHand[name] = value
	}
	if a.groups != nil {
		byHand["groups"] = a.groups
	}
	switch {
	case a.user != "" && (len(byHand) > 0 || a.session != "") || a.session != "" && len(byHand) > 0:
		return errors.New("who it is, is a user, a session, or attributes written by hand: one of these")
	case a.user != "":
		if _, err := keyOf(a.user); err != nil {
			return err
		}
		c.User = &module.ExplainUser{Key: flows.UserKey(a.user)}
	case len(byHand) > 0:
		c.User = &module.ExplainUser{Attributes: byHand}
	}
	return nil
}

func (a *asked) readEvidence(c *module.ExplainCase) error {
	for _, text := range a.evidence {
		method, age, _ := strings.Cut(text, ",")
		e := module.ExplainEvidence{Method: method}
		if age != "" {
			d, err := time.ParseDuration(age)
			if err != nil {
				return fmt.Errorf("--evidence is method[,age] as totp,3m, not '%s'", text)
			}
			e.Age = flows.Duration(d)
		}
		c.Evidence = append(c.Evidence, e)
	}
	for _, text := range a.readings {
		name, value, _ := strings.Cut(text, "=")
		var r flows.Reading
		if _, err := fmt.Sscanf(value, "%d", &r.Score); err != nil && value != "unknown" || name == "" {
			return fmt.Errorf("--reading is name=score or name=unknown, not '%s'", text)
		}
		r.Unknown = value == "unknown"
		if c.Readings == nil {
			c.Readings = map[string]flows.Reading{}
		}
		c.Readings[name] = r
	}
	return nil
}

func (a *asked) readRequest(c *module.ExplainCase) error {
	for _, text := range a.headers {
		name, value, ok := strings.Cut(text, ":")
		if !ok {
			return fmt.Errorf("--header is 'Name: value', not '%s'", text)
		}
		if c.Headers == nil {
			c.Headers = map[string]module.Words{}
		}
		c.Headers[name] = append(c.Headers[name], strings.TrimSpace(value))
	}
	for _, text := range a.form {
		name, value, _ := strings.Cut(text, "=")
		if c.Form == nil {
			c.Form = map[string]module.Words{}
		}
		c.Form[name] = append(c.Form[name], value)
	}
	return nil
}
