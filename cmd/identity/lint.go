package identity

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/caddyserver/caddy/v2/caddyconfig"
	"github.com/spf13/cobra"

	"github.com/sallyport-gateway/sallyport/module"
)

// errLint ends the command with an exit status when something was found.
var errLint = errors.New("there are errors in the configuration")

// lint is the command `identity lint`.
func (e *endpoint) lint(raw *bool) *cobra.Command {
	var strict bool
	c := &cobra.Command{
		Use: "lint [--config <file>] [--adapter <name>] [--strict]", Short: "Says what is likely not meant in a configuration, without running it",
		Long: `Makes the configuration ready, as validate does, and looks for what loads and is likely
not meant: steps that never run, an application that is reached past the gateway, secrets
in clear, names that nothing uses, lines without effect. The exit status is 1 if there is
an error among it, with --strict also for warnings. Default: the Caddyfile in this folder.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			found, err := lintFile(e.config, e.adapter)
			if err != nil {
				return err
			}
			if err := printFindings(cmd.OutOrStdout(), found, *raw); err != nil {
				return err
			}
			for _, f := range found {
				if strict || f.Severity == module.LintError {
					return errLint
				}
			}
			return nil
		},
	}
	c.Flags().BoolVar(&strict, "strict", false, "Warnings count as errors")
	return c
}

// lintFile reads a configuration and says where in its files each finding is.
func lintFile(file, adapter string) ([]module.Finding, error) {
	config, file, err := adapted(file, adapter)
	if err != nil {
		return nil, err
	}
	found, err := module.Lint(config)
	if err != nil {
		return nil, fmt.Errorf("the configuration does not load: %w", err)
	}
	lines := linesOf(file)
	for i := range found {
		if f := &found[i]; f.Source == "" {
			f.Source = lines.find(f.Place)
		}
	}
	return found, nil
}

// adapted is a configuration as JSON. What is written while it is read, warnings of the
// adapter among it, is not what was asked for.
func adapted(file, adapter string) (config []byte, used string, err error) {
	if file == "" {
		file = "Caddyfile"
	}
	body, err := os.ReadFile(file)
	if err != nil {
		return nil, "", fmt.Errorf("reading the configuration: %w", err)
	}
	name := strings.ToLower(filepath.Base(file))
	if adapter == "" && (strings.HasPrefix(name, "caddyfile") || strings.HasSuffix(name, ".caddyfile") || strings.HasSuffix(name, "caddyfile")) {
		adapter = "caddyfile"
	}
	if adapter == "" {
		if !json.Valid(body) {
			return nil, "", fmt.Errorf("%s is no JSON; say --adapter", file)
		}
		return body, file, nil
	}
	a := caddyconfig.GetAdapter(adapter)
	if a == nil {
		return nil, "", fmt.Errorf("there is no adapter '%s'", adapter)
	}
	config, _, err = a.Adapt(body, map[string]any{"filename": file})
	return config, file, err
}

func printFindings(w io.Writer, found []module.Finding, raw bool) error {
	for _, f := range found {
		if raw {
			if err := json.NewEncoder(w).Encode(f); err != nil {
				return err
			}
			continue
		}
		at := f.Source
		if at == "" {
			at = strings.Join(f.Place, " ")
		}
		text := fmt.Sprintf("%s: %s: %s [%s]\n\twhy: %s\n\thow: %s\n", at, f.Severity, f.What, f.Code, f.Why, f.How)
		inert := func(r rune) rune {
			if r == '\n' || r == '\t' {
				return r
			}
			return printable(r)
		}
		if _, err := io.WriteString(w, strings.Map(inert, text)); err != nil {
			return err
		}
	}
	if len(found) == 0 && !raw {
		_, err := fmt.Fprintln(w, "nothing found")
		return err
	}
	return nil
}
