// Package identity is the command `identity`: who is signed in, ending sessions, what is
// kept of people, keeping them out, releasing names, the flows, how the providers are, and drills,
// asked of a running gateway at its admin endpoint.
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
		Usage: "sessions|revoke|factors|devices|users|release|providers|flows|drill",
		Short: "Shows and ends sessions of a running gateway, looks after its people, shows its flows and the health of its providers, and drills their outage",
		Long: `Asks the admin endpoint of a running gateway, which writes every call into its
trail. Whoever reaches that endpoint may do all of it.

A user is <realm>:<subject>, as in the trail and in the list of sessions. The ids of
sessions are the public ones, as in /.identity/session.`,
		CobraFunc: func(cmd *cobra.Command) {
			addCommands(cmd)
			cmd.RunE = func(cmd *cobra.Command, args []string) error {
				return commandsOf("identity", "", "").RunE(cmd, args)
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
	var every, yes bool
	revoke := &cobra.Command{
		Use: "revoke <session id> | --user <realm:subject> | --all [--yes]", Short: "Ends a session, all of a user, or everybody's", Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			path, err := revoked(user, every, args)
			if err != nil {
				return err
			}
			if every {
				if err := confirm(cmd, yes, "end everybody's sessions"); err != nil {
					return err
				}
			}
			var answer struct {
				Ended int `json:"ended"`
			}
			if err := e.call(http.MethodDelete, path, nil, &answer); err != nil {
				return err
			}
			_, err = fmt.Fprintf(cmd.OutOrStdout(), "ended: %d\n", answer.Ended)
			return err
		},
	}
	revoke.Flags().BoolVar(&every, "all", false, "Everybody's sessions")
	revoke.Flags().BoolVar(&yes, "yes", false, "Do not ask")
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
	parent.AddCommand(sessions, revoke, e.factors(&raw), e.devices(&raw), e.users(&raw), release, providers, e.flows(&raw), e.lint(&raw), e.drills(&raw))
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

// sessions fetches the list of sessions.
func (e *endpoint) sessions(user string) ([]json.RawMessage, error) {
	key, err := keyOf(user)
	if err != nil {
		return nil, err
	}
	return e.pages("/identity/sessions", "sessions", url.Values{"user": {key}})
}

// pages fetches a list page by page; what is the name of it in the answers.
func (e *endpoint) pages(path, what string, q url.Values) (all []json.RawMessage, err error) {
	q.Set("n", "1000")
	for after := ""; ; {
		q.Set("after", after)
		var page map[string]json.RawMessage
		if err := e.call(http.MethodGet, path+"?"+q.Encode(), nil, &page); err != nil {
			return nil, err
		}
		var list []json.RawMessage
		if err := json.Unmarshal(page[what], &list); err != nil {
			return nil, fmt.Errorf("the answer of GET %s: %w", path, err)
		}
		all = append(all, list...)
		next := ""
		if raw, ok := page["after"]; ok {
			if err := json.Unmarshal(raw, &next); err != nil {
				return nil, fmt.Errorf("the answer of GET %s: %w", path, err)
			}
		}
		if next == "" || next == after {
			return all, nil
		}
		after = next
	}
}

// revoked is the path of what is to be ended.
func revoked(user string, every bool, ids []string) (string, error) {
	named := 0
	for _, is := range []bool{user != "", every, len(ids) > 0} {
		if is {
			named++
		}
	}
	switch {
	case named != 1:
		return "", errors.New("revoke wants the id of a session, or --user <realm:subject>, or --all")
	case every:
		return "/identity/sessions?all=yes", nil
	case user == "":
		return "/identity/sessions/" + url.PathEscape(ids[0]), nil
	}
	key, err := keyOf(user)
	return "/identity/users/" + key + "/sessions", err
}

// keyOf is a user key as the admin endpoint takes it; none is everybody.
func keyOf(user string) (string, error) {
	if user != "" && !strings.Contains(user, ":") {
		return "", fmt.Errorf("'%s' is no user key; it is <realm>:<subject>, as in the list of sessions", user)
	}
	return base64.RawURLEncoding.EncodeToString([]byte(user)), nil
}
