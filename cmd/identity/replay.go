package identity

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"text/tabwriter"

	"github.com/caddyserver/caddy/v2"
	caddycmd "github.com/caddyserver/caddy/v2/cmd"
	"github.com/spf13/cobra"

	"github.com/sallyport-gateway/sallyport/flows/audit"
	"github.com/sallyport-gateway/sallyport/module"
)

func (e *endpoint) replays(raw *bool) *cobra.Command {
	return &cobra.Command{
		Use: "replay <audit file…> --config <file>", Short: "Makes the decisions of a trail again under another configuration, and lists those that would differ",
		Long: `Reads decisions that conditions made - logins, their refusals, and refusals by rules -
and makes them again, from what the trail kept of each, under the configuration given.
It asks no store, no directory and nobody else. A decision of which the trail does not
have what a condition reads, because it is masked or was not read then, is listed as one
that cannot be made again, and never guessed.

The exit status is 0 if no decision would differ, 1 if one would.`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return e.replay(cmd.Context(), cmd.OutOrStdout(), args, *raw)
		},
	}
}

// recorded are the events of a trail.
type recorded struct {
	events  []audit.Event
	denials map[string]bool
	odd     int
}

func (e *endpoint) replay(ctx context.Context, w io.Writer, paths []string, raw bool) error {
	if ctx == nil {
		ctx = context.Background()
	}
	trail := recorded{denials: map[string]bool{}}
	for _, p := range paths {
		if err := trail.read(p); err != nil {
			return err
		}
	}
	app, err := offline(e.config, e.adapter)
	if err != nil {
		return err
	}
	var all []module.Replayed
	for _, ev := range trail.events {
		r, err := app.Replay(ctx, ev, trail.denials[place(ev)])
		if err != nil {
			return err
		}
		all = append(all, r)
	}
	if err := printReplayed(w, all, raw); err != nil {
		return err
	}
	if trail.odd > 0 {
		return fmt.Errorf("%d lines are no events", trail.odd)
	}
	differ := 0
	for i := range all {
		if all[i].Differs() {
			differ++
		}
	}
	if differ > 0 {
		return fmt.Errorf("%d of %d decisions would differ", differ, len(all))
	}
	return nil
}

// place is what a login led to, as a denial names it.
func place(e audit.Event) string { return e.Session + " " + e.Host + " " + e.Path }

func (t *recorded) read(path string) error {
	b, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	for line := range bytes.Lines(b) {
		var e audit.Event
		switch err := json.Unmarshal(line, &e); {
		case err != nil || e.Kind == "":
			t.odd++
		case module.Replayable(e):
			t.events = append(t.events, e)
		}
		if e.Kind == audit.Denied {
			t.denials[place(e)] = true
		}
	}
	return nil
}

// offline makes a configuration ready without running it.
func offline(config, adapter string) (*module.App, error) {
	raw, _, _, err := caddycmd.LoadConfig(config, adapter)
	if err != nil {
		return nil, err
	}
	cfg := new(caddy.Config)
	if err := caddy.StrictUnmarshalJSON(raw, cfg); err != nil {
		return nil, fmt.Errorf("reading the configuration: %w", err)
	}
	cfg.Admin = &caddy.AdminConfig{Disabled: true}
	cfg.Logging = &caddy.Logging{Logs: map[string]*caddy.CustomLog{"default": {BaseLog: caddy.BaseLog{Level: "ERROR"}}}}
	ctx, err := caddy.ProvisionContext(cfg)
	if err != nil {
		return nil, err
	}
	v, err := ctx.AppIfConfigured("identity")
	if err != nil {
		return nil, fmt.Errorf("the configuration has no identity app: %w", err)
	}
	app, ok := v.(*module.App)
	if !ok {
		return nil, errors.New("the identity app is another")
	}
	return app, nil
}

func printReplayed(w io.Writer, all []module.Replayed, raw bool) error {
	same, differ, missing := 0, 0, 0
	out := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	enc := json.NewEncoder(w)
	for _, r := range all {
		verdict := r.Was + " -> " + r.Is
		switch {
		case r.Missing != "":
			missing++
			verdict = "cannot be made again: " + r.Missing
		case r.Differs():
			differ++
		default:
			same++
			continue
		}
		if raw {
			if err := enc.Encode(r); err != nil {
				return err
			}
			continue
		}
		rule := r.WasRule
		if r.Rule != "" {
			rule = strings.TrimSpace(rule + " -> " + r.Rule)
		}
		cells := []string{r.Time.UTC().Format("2006-01-02T15:04:05Z"), string(r.Kind), verdict, string(r.User), r.URL, rule, r.ID}
		if _, err := fmt.Fprintln(out, strings.Join(cleaned(cells), "\t")); err != nil {
			return err
		}
	}
	if raw {
		return enc.Encode(map[string]int{"same": same, "differ": differ, "cannot_be_made_again": missing})
	}
	if err := out.Flush(); err != nil {
		return err
	}
	_, err := fmt.Fprintf(w, "%d decisions: %d the same, %d would differ, %d cannot be made again\n", len(all), same, differ, missing)
	return err
}

// cleaned are cells that a terminal does not obey.
func cleaned(cells []string) []string {
	for i, c := range cells {
		cells[i] = strings.Map(printable, c)
	}
	return cells
}
