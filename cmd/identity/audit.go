package identity

import (
	"bufio"
	"crypto/ed25519"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/sallyport-gateway/sallyport/adapters/audit/file"
	"github.com/sallyport-gateway/sallyport/flows/audit"
)

// verifying is what `audit verify` is told by flags.
type verifying struct {
	keys           []string
	unsigned, part bool
}

func (e *endpoint) audits(raw *bool) *cobra.Command {
	var v verifying
	parent := &cobra.Command{Use: "audit", Short: "Verifies files of the trail"}
	verify := &cobra.Command{
		Use: "verify <file…>", Short: "Says whether files of the trail are as the gateway wrote them, and the first line that is not",
		Long: `Reads files of the trail, in whatever order they are given, and with the file that
is being written those that were put aside beside it. Each line must follow the one
before it, and checkpoints must be signed by the cluster.

The keys, and how far the gateway signed each file, are asked of a running gateway;
without one, --key says the keys, as a gateway answers them at /identity/audit.

The exit status is 0 if everything is as it was written, 1 if not.`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return e.verify(cmd.OutOrStdout(), args, v, *raw)
		},
	}
	verify.Flags().StringSliceVar(&v.keys, "key", nil, "Key that may have signed (base64url); more than one may be given")
	verify.Flags().BoolVar(&v.unsigned, "unsigned", false, "Do not ask who signed: tells accidents, not people who rewrite the file")
	verify.Flags().BoolVar(&v.part, "part", false, "The files are a part of the trail, so its end need not be there")
	parent.AddCommand(verify)
	return parent
}

// verify prints one line for each chain, or the first line that is wrong.
func (e *endpoint) verify(w io.Writer, paths []string, v verifying, raw bool) error {
	keys, heads, err := e.signers(v)
	if err != nil {
		return err
	}
	chains, err := chainsOf(paths)
	if err != nil {
		return err
	}
	for _, files := range chains {
		whole, err := verifyChain(files, &audit.Verifier{Keys: keys, Heads: heads, Part: v.part})
		broken := new(audit.Broken)
		switch {
		case err == nil && whole.Signed == 0 && !v.unsigned:
			err = errors.New("no line of it is signed; --unsigned does not ask for that")
		case errors.As(err, &broken) && raw:
			if err := json.NewEncoder(w).Encode(map[string]any{"broken": broken}); err != nil {
				return err
			}
		}
		if err != nil {
			return err
		}
		if raw {
			if err := json.NewEncoder(w).Encode(map[string]any{"whole": whole}); err != nil {
				return err
			}
			continue
		}
		if err := printWhole(w, whole, len(files)); err != nil {
			return err
		}
	}
	return nil
}

func printWhole(w io.Writer, a audit.Whole, files int) error {
	_, err := fmt.Fprintf(w, "chain %s: whole, lines %d to %d in %d files, %d entries, %d signed checkpoints, %d lines behind the last one\n",
		strings.Map(printable, a.Chain), a.From, a.To, files, a.Entries, a.Signed, a.Unsigned)
	if err == nil && a.From > 1 {
		_, err = fmt.Fprintf(w, "  the lines before %d are in files that were not given\n", a.From)
	}
	if err == nil && a.Torn > 0 {
		_, err = fmt.Fprintf(w, "  crashes left %d pieces of lines, which checkpoints account for\n", a.Torn)
	}
	return err
}

// signers are the keys that may have signed, and how far the gateway signed.
func (e *endpoint) signers(v verifying) (keys []ed25519.PublicKey, heads map[string]audit.Head, err error) {
	if v.unsigned {
		return nil, nil, nil
	}
	var answer struct {
		Keys  []string     `json:"keys"`
		Heads []audit.Head `json:"heads"`
	}
	if answer.Keys = v.keys; len(v.keys) == 0 {
		if err := e.call(http.MethodGet, "/identity/audit", nil, &answer); err != nil {
			return nil, nil, fmt.Errorf("asking the gateway for its keys (or give --key, or --unsigned): %w", err)
		}
	}
	for _, k := range answer.Keys {
		b, err := base64.RawURLEncoding.DecodeString(k)
		if err != nil || len(b) != ed25519.PublicKeySize {
			return nil, nil, fmt.Errorf("'%s' is no key", k)
		}
		keys = append(keys, b)
	}
	heads = map[string]audit.Head{}
	for _, h := range answer.Heads {
		heads[h.Chain] = h
	}
	return keys, heads, nil
}

// chained is a file and where it stands in its chain.
type chained struct {
	path, chain string
	seq         uint64
}

// chainsOf sorts files by chain, and each chain by its numbers.
func chainsOf(paths []string) ([][]chained, error) {
	var all []string
	for _, p := range paths {
		for _, f := range append(file.Rolled(p), p) {
			if !slices.Contains(all, f) {
				all = append(all, f)
			}
		}
	}
	var order []string
	of := map[string][]chained{}
	for _, p := range all {
		c, err := firstOf(p)
		if err != nil {
			return nil, err
		}
		if !slices.Contains(order, c.chain) {
			order = append(order, c.chain)
		}
		of[c.chain] = append(of[c.chain], c)
	}
	var out [][]chained
	for _, name := range order {
		slices.SortStableFunc(of[name], func(a, b chained) int {
			switch {
			case a.seq < b.seq:
				return -1
			case a.seq > b.seq:
				return 1
			}
			return 0
		})
		out = append(out, of[name])
	}
	return out, nil
}

// firstOf looks for the first checkpoint of a file.
func firstOf(path string) (chained, error) {
	f, err := os.Open(path)
	if err != nil {
		return chained{}, err
	}
	defer f.Close()
	for in := bufio.NewReader(f); ; {
		line, err := in.ReadBytes('\n')
		if c, ok := audit.CheckpointOf(line); ok {
			at, _ := audit.Resume(line, c.Chain)
			return chained{path, c.Chain, at.Seq}, nil
		}
		if errors.Is(err, io.EOF) {
			return chained{path: path}, nil
		}
		if err != nil {
			return chained{}, fmt.Errorf("reading %s: %w", path, err)
		}
	}
}

func verifyChain(files []chained, v *audit.Verifier) (audit.Whole, error) {
	for _, c := range files {
		f, err := os.Open(c.path)
		if err != nil {
			return audit.Whole{}, err
		}
		err = v.Verify(c.path, f)
		f.Close()
		if err != nil {
			return audit.Whole{}, err
		}
	}
	return v.End()
}
