package identity

import (
	"encoding/json"
	"fmt"
	"net/http"

	"github.com/spf13/cobra"
)

// factors is the command `identity factors`.
func (e *endpoint) factors(raw *bool) *cobra.Command {
	all := commandsOf("factors", "Shows the second factors of a user, or resets them", "list|reset <realm:subject>")
	list := &cobra.Command{
		Use: "list <realm:subject>", Short: "Lists the factors and trusted browsers of a user", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			var answer struct {
				Factors []json.RawMessage `json:"factors"`
				Devices []json.RawMessage `json:"devices"`
			}
			if err := e.askUser(http.MethodGet, args[0], "/factors", nil, &answer); err != nil {
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
			if err := e.askUser(http.MethodDelete, args[0], "/factors", nil, &answer); err != nil {
				return err
			}
			_, err := fmt.Fprintf(cmd.OutOrStdout(), "removed: %d\n", answer.Removed)
			return err
		},
	}
	all.AddCommand(list, reset)
	return all
}
