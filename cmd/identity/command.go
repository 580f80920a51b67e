// Package identity is the command `identity`: who is signed in, ending sessions,
// resetting factors, releasing names, how the providers are, what would happen to a request, and drills, asked of a running gateway at its admin endpoint.
package identity

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"

	caddycmd "github.com/caddyserver/caddy/v2/cmd"
	"github.com/spf13/cobra"
)

func init() {
	caddycmd.RegisterCommand(caddycmd.Command{
		Name:  "identity",
		Usage: "sessions|revoke|factors|release|providers|explain|test|drill",
		Short: "Shows and ends sessions of a running gateway, resets factors, releases names, shows the health of its providers, explains what would happen to a request, and drills an outage",
		Long: `Asks the admin endpoint of a running gateway, which writes every call into its
trail. Whoever reaches that endpoint may do all of it.

A user is <realm>:<subject>, as in the trail and in the list of sessions. The ids of
sessions are the public ones, as in /.identity/session.`,
		CobraFunc: func(cmd *cobra.Command) {
			addCommands(cmd)
			cmd.RunE = func(cmd *cobra.Command, args []string) error {
				if len(args) > 0 {
					return fmt.Errorf("identity has no command '%s'; there are: sessions, revoke, factors, release, providers, explain, test, drill", args[0])
				}
				return cmd.Help()
			}
		},
	})
}

// endpoint is where the admin endpoint is, by flags.
type endpoint struct{ address, config, adapter string }

func addCommands(parent *cobra.Command) {
	e := new(endpoint)
	var user string
	var raw bool
	flags := parent.PersistentFlags()
	flags.StringVar(&e.address, "address", "", "Address of the admin endpoint (default: as in --config, else localhost:2019)")
	flags.StringVarP(&e.config, "config", "c", "", "Configuration file to take the address from")
	flags.StringVarP(&e.adapter, "adapter", "a", "", "Name of the configuration's adapter")
	flags.BoolVar(&raw, "json", false, "Print JSON, one object a line")

	sessions := &cobra.Command{
		Use: "sessions [--user <realm:subject>]", Short: "Lists who is signed in", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			list, err := e.sessions(user)
			if err != nil {
				return err
			}
			return printSessions(cmd.OutOrStdout(), list, raw)
		},
	}
	revoke := &cobra.Command{
		Use: "revoke <session id> | --user <realm:subject>", Short: "Ends a session, or all of a user", Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			ended, err := e.revoke(user, args)
			if err != nil {
				return err
			}
			_, err = fmt.Fprintf(cmd.OutOrStdout(), "ended: %d\n", ended)
			return err
		},
	}
	release := &cobra.Command{
		Use: "release <name>", Short: "Gives a name free for who comes in with it next, and ends its owner's sessions", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			var answer struct {
				Owner string `json:"owner"`
				Ended int    `json:"ended"`
			}
			if err := e.call(http.MethodDelete, "/identity/names/"+base64.RawURLEncoding.EncodeToString([]byte(args[0])), nil, &answer); err != nil {
				return err
			}
			_, err := fmt.Fprintf(cmd.OutOrStdout(), "released from %s, sessions ended: %d\n", strings.Map(printable, answer.Owner), answer.Ended)
			return err
		},
	}
	providers := &cobra.Command{
		Use: "providers", Short: "Shows the health of each provider", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			var answer struct {
				Providers []provider `json:"providers"`
			}
			if err := e.call(http.MethodGet, "/identity/providers", nil, &answer); err != nil {
				return err
			}
			return printProviders(cmd.OutOrStdout(), answer.Providers, raw)
		},
	}
	for _, c := range []*cobra.Command{sessions, revoke} {
		c.Flags().StringVar(&user, "user", "", "Key of a user, <realm>:<subject>")
	}
	parent.AddCommand(sessions, revoke, e.factors(&raw), release, providers, e.explain(&raw), e.test(&raw), e.drills(&raw))
}

// call asks the admin endpoint, with a body where there is one; an answer that is no
// 200 is an error with its words.
func (e *endpoint) call(method, path string, body, answer any) error {
	address, err := caddycmd.DetermineAdminAPIAddress(e.address, nil, e.config, e.adapter)
	if err != nil {
		return fmt.Errorf("finding the admin endpoint: %w", err)
	}
	var content io.Reader
	header := http.Header{}
	if body != nil {
		b, err := json.Marshal(body)
		if err != nil {
			return fmt.Errorf("asking %s %s: %w", method, path, err)
		}
		content = bytes.NewReader(b)
		header.Set("Content-Type", "application/json")
	}
	res, err := caddycmd.AdminAPIRequest(address, method, path, header, content)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	if err := json.NewDecoder(res.Body).Decode(answer); err != nil {
		return fmt.Errorf("the answer of %s %s: %w", method, path, err)
	}
	return nil
}

// sessions fetches the list page by page.
func (e *endpoint) sessions(user string) ([]json.RawMessage, error) {
	key, err := keyOf(user)
	if err != nil {
		return nil, err
	}
	var all []json.RawMessage
	for after := ""; ; {
		var page struct {
			Sessions []json.RawMessage `json:"sessions"`
			After    string            `json:"after"`
		}
		q := url.Values{"user": {key}, "after": {after}, "n": {"1000"}}
		if err := e.call(http.MethodGet, "/identity/sessions?"+q.Encode(), nil, &page); err != nil {
			return nil, err
		}
		all = append(all, page.Sessions...)
		if page.After == "" || page.After == after {
			return all, nil
		}
		after = page.After
	}
}

func (e *endpoint) revoke(user string, ids []string) (int, error) {
	if (user == "") == (len(ids) == 0) {
		return 0, errors.New("revoke wants the id of a session, or --user <realm:subject>")
	}
	path := "/identity/sessions/"
	if user == "" {
		path += url.PathEscape(ids[0])
	} else {
		key, err := keyOf(user)
		if err != nil {
			return 0, err
		}
		path = "/identity/users/" + key + "/sessions"
	}
	var answer struct {
		Ended int `json:"ended"`
	}
	err := e.call(http.MethodDelete, path, nil, &answer)
	return answer.Ended, err
}

// keyOf is a user key as the admin endpoint takes it; none is everybody.
func keyOf(user string) (string, error) {
	if user != "" && !strings.Contains(user, ":") {
		return "", fmt.Errorf("'%s' is no user key; it is <realm>:<subject>, as in the list of sessions", user)
	}
	return base64.RawURLEncoding.EncodeToString([]byte(user)), nil
}
