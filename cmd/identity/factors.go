package identity

import (
	"encoding/json"
	"fmt"
	"net/http"

	"github.com/spf13/cobra"
)

// factors is the command `identity factors`.
func (e *endpoint) factors(raw *bool) *cobra.Command {
	all := &cobra.Command{
		Use: "factors list|reset <realm:subject>", Short: "Shows the second factors of a user, or resets them", Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 {
				return fmt.Errorf("factors has no command '%s'; there are: list, reset", args[0])
			}
			return cmd.Help()
		},
	}
	list := &cobra.Command{
		Use: "list <realm:subject>", Short: "Lists the factors and trusted browsers of a user", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			var answer struct {
				Factors []json.RawMessage `json:"factors"`
				Devices []json.RawMessage `json:"devices"`
			}
			if err := e.askFactors(http.MethodGet, args[0], &answer); err != nil {
				return err
			}
			return printFactors(cmd.OutOrStdout(), answer.Factors, answer.Devices, *raw)
		},
	}
	reset := &cobra.Command{
		Use: "reset <realm:subject>", Short: "Removes all factors of a user, the tries at them and their trusted browsers", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			var answer struct {
				Removed int `json:"removed"`
			}
			if err := e.askFactors(http.MethodDelete, args[0], &answer); err != nil {
				return err
			}
			_, err := fmt.Fprintf(cmd.OutOrStdout(), "removed: %d\n", answer.Removed)
			return err
		},
	}
	all.AddCommand(list, reset)
	return all
}

func (e *endpoint) askFactors(method, user string, answer any) error {
	key, err := keyOf(user)
	if err != nil {
		return err
	}
	if key == "" {
		return fmt.Errorf("'%s' is no user key; it is <realm>:<subject>, as in the list of sessions", user)
	}
	return e.call(method, "/identity/users/"+key+"/factors", nil, answer)
}
