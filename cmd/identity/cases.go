package identity

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/sallyport-gateway/sallyport/cmd/identity/tables"
)

// test is the command that runs tables of cases against a config.
func (e *endpoint) test(raw *bool) *cobra.Command {
	var junit string
	var verbose bool
	c := &cobra.Command{
		Use:   "test <file or folder>… [--config <file>]",
		Short: "Runs tables of requests and what is expected of them against a config that does not run",
		Long: `Reads YAML tables of cases, and tells which of them the config would decide otherwise
than expected. Nothing is started: no provider, directory, store or signal is asked. Who
asks, what they proved, what directories answer and what signals read is written in the
case, with the fields of POST /identity/explain.

Ends with status 1 when a case fails, or a table or the config cannot be read.`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			results, standIns, err := e.runTables(cmd, args)
			if err != nil {
				return err
			}
			if junit != "" {
				if err := writeJUnit(junit, results); err != nil {
					return err
				}
			}
			failed, err := printResults(cmd.OutOrStdout(), results, *raw, verbose)
			if err != nil {
				return err
			}
			if standIns > 0 {
				fmt.Fprintf(cmd.ErrOrStderr(), "secrets that are not on this machine, with something in their place: %d\n", standIns)
			}
			cmd.SilenceUsage = true
			if failed > 0 {
				return fmt.Errorf("%d of %d cases failed", failed, len(results))
			}
			return nil
		},
	}
	c.Flags().StringVar(&junit, "junit", "", "File to write the results into, as the XML of JUnit")
	c.Flags().BoolVarP(&verbose, "verbose", "v", false, "Show the cases that passed, and of those that failed what would happen and why")
	return c
}

func (e *endpoint) runTables(cmd *cobra.Command, paths []string) ([]*tables.Result, int, error) {
	r := &tables.Runner{Config: e.config, Adapter: e.adapter, Now: time.Now}
	if r.Config == "" {
		if _, err := os.Stat("Caddyfile"); err == nil {
			r.Config = "Caddyfile"
		}
	}
	var results []*tables.Result
	for _, path := range paths {
		cases, err := tables.Read(path)
		if err != nil {
			return nil, 0, err
		}
		for _, c := range cases {
			result, err := r.Run(cmd.Context(), c)
			if err != nil {
				return nil, 0, err
			}
			results = append(results, result)
		}
	}
	return results, r.StandIns(), nil
}

func writeJUnit(file string, results []*tables.Result) error {
	f, err := os.Create(file) //nolint:gosec // the operator's own file
	if err != nil {
		return err
	}
	if err := tables.JUnit(f, results); err != nil {
		_ = f.Close()
		return err
	}
	return f.Close()
}

func printResults(w io.Writer, results []*tables.Result, raw, verbose bool) (failed int, err error) {
	for _, r := range results {
		if len(r.Differs) > 0 {
			failed++
		}
		if raw {
			line := map[string]any{"file": r.File, "line": r.Line, "name": r.Name, "passed": len(r.Differs) == 0, "differs": r.Differs, "explanation": r.Explanation}
			if err := json.NewEncoder(w).Encode(line); err != nil {
				return failed, err
			}
			continue
		}
		if err := printResult(w, r, verbose); err != nil {
			return failed, err
		}
	}
	if !raw && failed == 0 {
		_, err = fmt.Fprintf(w, "%d cases, as expected\n", len(results))
	}
	return failed, err
}

func printResult(w io.Writer, r *tables.Result, verbose bool) error {
	if len(r.Differs) == 0 {
		if verbose {
			_, err := fmt.Fprintf(w, "ok   %s:%d %s\n", r.File, r.Line, strings.Map(printable, r.Name))
			return err
		}
		return nil
	}
	var b strings.Builder
	fmt.Fprintf(&b, "FAIL %s:%d %s\n", r.File, r.Line, strings.Map(printable, r.Name))
	for _, d := range r.Differs {
		fmt.Fprintf(&b, "     %s\n", strings.Map(printable, d))
	}
	if verbose && r.Explanation != nil {
		var why strings.Builder
		if err := PrintExplanation(&why, r.Explanation); err != nil {
			return err
		}
		for line := range strings.Lines(why.String()) {
			b.WriteString("       " + line)
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}
