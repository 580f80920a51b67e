package identity

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/spf13/cobra"
)

// disabled is what the gateway answers about somebody who is kept out.
type disabled struct {
	User   string    `json:"user"`
	Since  time.Time `json:"since"`
	Reason string    `json:"reason,omitempty"`
	Ended  int       `json:"ended"`
}

// users is the command `identity users`.
func (e *endpoint) users(raw *bool) *cobra.Command {
	all := commandsOf("users", "Exports, erases, disables or enables a user, and lists those who are disabled", "export|erase|disable|enable <realm:subject> | disabled")
	export := &cobra.Command{
		Use: "export <realm:subject>", Short: "Prints all that is kept of a user, as JSON", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			var answer json.RawMessage
			if err := e.askUser(http.MethodGet, args[0], "", nil, &answer); err != nil {
				return err
			}
			if *raw {
				_, err := fmt.Fprintf(cmd.OutOrStdout(), "%s\n", answer)
				return err
			}
			return printIndented(cmd.OutOrStdout(), answer)
		},
	}
	enable := &cobra.Command{
		Use: "enable <realm:subject>", Short: "Lets a disabled user in again", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			var d disabled
			if err := e.askUser(http.MethodDelete, args[0], "/disabled", nil, &d); err != nil {
				return err
			}
			_, err := fmt.Fprintln(cmd.OutOrStdout(), "enabled")
			return err
		},
	}
	list := &cobra.Command{
		Use: "disabled", Short: "Lists the users who are disabled", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			rows, err := e.pages("/identity/users", "users", url.Values{"disabled": {"yes"}})
			if err != nil {
				return err
			}
			return printDisabled(cmd.OutOrStdout(), rows, *raw)
		},
	}
	all.AddCommand(export, e.erase(), e.disable(), enable, list)
	return all
}

func (e *endpoint) erase() *cobra.Command {
	var yes bool
	c := &cobra.Command{
		Use: "erase <realm:subject> [--yes]", Short: "Forgets a user: factors, trusted browsers, answers, and ends their sessions",
		Long: `Forgets what is kept of a user, as they can do themselves on the account page, and
tells them. The trail stays, and so do whose a name is, and that somebody is disabled.`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := confirm(cmd, yes, "forget all that is kept of "+args[0]); err != nil {
				return err
			}
			var answer struct {
				Ended int `json:"ended"`
			}
			if err := e.askUser(http.MethodDelete, args[0], "?erase=yes", nil, &answer); err != nil {
				return err
			}
			_, err := fmt.Fprintf(cmd.OutOrStdout(), "erased, sessions ended: %d\n", answer.Ended)
			return err
		},
	}
	c.Flags().BoolVar(&yes, "yes", false, "Do not ask")
	return c
}

func (e *endpoint) disable() *cobra.Command {
	var reason string
	c := &cobra.Command{
		Use: "disable <realm:subject> [--reason <text>]", Short: "Keeps a user out and ends their sessions, until they are enabled",
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			var d disabled
			if err := e.askUser(http.MethodPost, args[0], "/disabled", map[string]string{"reason": reason}, &d); err != nil {
				return err
			}
			_, err := fmt.Fprintf(cmd.OutOrStdout(), "disabled, sessions ended: %d\n", d.Ended)
			return err
		},
	}
	c.Flags().StringVar(&reason, "reason", "", "Why; it is in the trail and in the list, and the user does not read it")
	return c
}

func printDisabled(w io.Writer, list []json.RawMessage, raw bool) error {
	if raw {
		return printLines(w, list)
	}
	rows := [][]string{{"USER", "SINCE", "REASON"}}
	for _, one := range list {
		var d disabled
		if err := json.Unmarshal(one, &d); err != nil {
			return fmt.Errorf("a user of the list: %w", err)
		}
		rows = append(rows, []string{d.User, clock(d.Since), d.Reason})
	}
	return table(w, rows)
}

// printIndented prints JSON for people; what others chose in it cannot move the cursor.
func printIndented(w io.Writer, answer json.RawMessage) error {
	b, err := json.MarshalIndent(answer, "", "  ")
	if err != nil {
		return err
	}
	inert := func(r rune) rune {
		if r == '\n' {
			return r
		}
		return printable(r)
	}
	_, err = fmt.Fprintln(w, strings.Map(inert, string(b)))
	return err
}

// askUser makes a call that is about one person.
func (e *endpoint) askUser(method, user, what string, body, answer any) error {
	key, err := keyOf(user)
	if err != nil {
		return err
	}
	if key == "" {
		return fmt.Errorf("'%s' is no user key; it is <realm>:<subject>, as in the list of sessions", user)
	}
	return e.call(method, "/identity/users/"+key+what, body, answer)
}

// commandsOf is a command that only has others: a word that is none of them is an error.
func commandsOf(name, short, use string) *cobra.Command {
	return &cobra.Command{
		Use: name + " " + use, Short: short, Args: cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return cmd.Help()
			}
			var names []string
			for _, c := range cmd.Commands() {
				names = append(names, c.Name())
			}
			return fmt.Errorf("%s has no command '%s'; there are: %s", name, args[0], strings.Join(names, ", "))
		},
	}
}

// confirm asks for a word before something that cannot be undone.
func confirm(cmd *cobra.Command, yes bool, what string) error {
	if yes {
		return nil
	}
	fmt.Fprintf(cmd.OutOrStdout(), "This cannot be undone: %s? Type yes: ", strings.Map(printable, what))
	line, err := bufio.NewReader(cmd.InOrStdin()).ReadString('\n')
	if err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	if strings.TrimSpace(line) != "yes" {
		return errors.New("nothing was done; say yes, or --yes")
	}
	return nil
}
