package identity

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/spf13/cobra"
)

// drill is what the gateway answers about one.
type drill struct {
	ID       string    `json:"id"`
	Provider string    `json:"provider"`
	User     string    `json:"user"`
	Until    time.Time `json:"until"`
	Used     bool      `json:"used"`
	Link     string    `json:"link,omitempty"`
}

// drills is the command that makes up an outage for one test user.
func (e *endpoint) drills(raw *bool) *cobra.Command {
	var user, end string
	var last time.Duration
	c := &cobra.Command{
		Use:   "drill <provider> --user <name> [--for 10m] | --end <id>",
		Short: "Makes one provider count as down for one test user, to try the fallback",
		Long: `Prints a link. The browser that opens it signs in as if the provider were down, once
and for as long as the drill lasts; for everybody else nothing changes. The login is
refused unless it ends as the test user: <name> is what the fallback calls them.`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if end != "" {
				return e.endDrill(cmd.OutOrStdout(), end, args)
			}
			if len(args) == 0 || user == "" {
				return errors.New("drill wants a provider and --user <name>, or --end <id>")
			}
			var d drill
			in := map[string]string{"provider": args[0], "user": user, "for": last.String()}
			if err := e.call(http.MethodPost, "/identity/drills", in, &d); err != nil {
				return err
			}
			return printDrill(cmd.OutOrStdout(), d, *raw)
		},
	}
	c.Flags().StringVar(&user, "user", "", "Name of the test user at the fallback")
	c.Flags().DurationVar(&last, "for", 10*time.Minute, "How long it lasts, at most 1h")
	c.Flags().StringVar(&end, "end", "", "Id of a drill to end")
	return c
}

func (e *endpoint) endDrill(w io.Writer, id string, args []string) error {
	if len(args) > 0 {
		return errors.New("--end takes the id of a drill and nothing else")
	}
	var answer struct{}
	if err := e.call(http.MethodDelete, "/identity/drills/"+id, nil, &answer); err != nil {
		return err
	}
	_, err := fmt.Fprintln(w, "ended")
	return err
}

func printDrill(w io.Writer, d drill, raw bool) error {
	if raw {
		return json.NewEncoder(w).Encode(d)
	}
	where := ""
	if strings.HasPrefix(d.Link, "/") {
		where = ", at an address of an application"
	}
	_, err := fmt.Fprintf(w, "drill %s: %s is down for %s until %s\nopen once, in their browser%s:\n%s\n",
		d.ID, strings.Map(printable, d.Provider), strings.Map(printable, d.User), clock(d.Until), where, d.Link)
	return err
}
