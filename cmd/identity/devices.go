package identity

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"

	"github.com/spf13/cobra"
)

// devices is the command `identity devices`.
func (e *endpoint) devices(raw *bool) *cobra.Command {
	var every bool
	all := commandsOf("devices", "Shows the trusted browsers of a user, or ends the trust in them", "list|forget <realm:subject>")
	list := &cobra.Command{
		Use: "list <realm:subject>", Short: "Lists the browsers that are not asked for a second factor", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			var answer struct {
				Devices []json.RawMessage `json:"devices"`
			}
			if err := e.askUser(http.MethodGet, args[0], "/devices", nil, &answer); err != nil {
				return err
			}
			return printFactors(cmd.OutOrStdout(), nil, answer.Devices, *raw)
		},
	}
	forget := &cobra.Command{
		Use: "forget <realm:subject> <id> | --all", Short: "Ends the trust in one browser of a user, or in all", Args: cobra.RangeArgs(1, 2),
		RunE: func(cmd *cobra.Command, args []string) error {
			if every == (len(args) == 2) {
				return errors.New("forget wants a user and the id of one of their browsers, or --all")
			}
			what := "/devices"
			if !every {
				what += "/" + url.PathEscape(args[1])
			}
			var answer struct {
				Forgotten int `json:"forgotten"`
			}
			if err := e.askUser(http.MethodDelete, args[0], what, nil, &answer); err != nil {
				return err
			}
			_, err := fmt.Fprintf(cmd.OutOrStdout(), "forgotten: %d\n", answer.Forgotten)
			return err
		},
	}
	forget.Flags().BoolVar(&every, "all", false, "All browsers of the user")
	all.AddCommand(list, forget)
	return all
}
