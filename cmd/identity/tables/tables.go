// Package tables runs tables of cases against a config that does not run: what an
// operator expects of a request, beside what the gateway would do with it.
package tables

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/sallyport-gateway/sallyport/flows"
	"github.com/sallyport-gateway/sallyport/module"
)

// table is one file of cases.
type table struct {
	// Config is the file they are about, from where the table is; default: the one of the
	// command line.
	Config string `yaml:"config"`
	// Adapter is that of the config; default: caddyfile, or none for .json.
	Adapter string `yaml:"adapter"`
	// Env are environment variables that the config is read with.
	Env map[string]string `yaml:"env"`
	// Site is put in front of an address that is only a path.
	Site string `yaml:"site"`
	// People are attributes by a name that cases may use for them.
	People map[string]map[string]any `yaml:"people"`
	// Given is what each case begins with: a field of its own takes the place of one of these.
	Given map[string]any `yaml:"given"`
	Cases []yaml.Node    `yaml:"cases"`
}

// Case is one line of a table.
type Case struct {
	File string
	Line int
	Name string
	// table is where it stands.
	table  *table
	given  module.ExplainCase
	expect expectation
}

// Read reads the tables of a file, or of every .yaml and .yml below a folder. What cannot
// be meant is an error with file and line.
func Read(path string) ([]*Case, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	files := []string{path}
	if info.IsDir() {
		files = nil
		err := filepath.WalkDir(path, func(p string, d os.DirEntry, err error) error {
			if ext := filepath.Ext(p); err == nil && !d.IsDir() && (ext == ".yaml" || ext == ".yml") {
				files = append(files, p)
			}
			return err
		})
		if err != nil {
			return nil, err
		}
	}
	var all []*Case
	for _, f := range files {
		cases, err := readFile(f)
		if err != nil {
			return nil, err
		}
		all = append(all, cases...)
	}
	if len(all) == 0 {
		return nil, fmt.Errorf("%s holds no cases: nothing would be tested", path)
	}
	return all, nil
}

func readFile(file string) ([]*Case, error) {
	b, err := os.ReadFile(file) //nolint:gosec // the operator's own file
	if err != nil {
		return nil, err
	}
	t := new(table)
	d := yaml.NewDecoder(bytes.NewReader(b))
	d.KnownFields(true)
	if err := d.Decode(t); err != nil && !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	if d.Decode(new(any)) == nil {
		return nil, fmt.Errorf("%s: there is a second document behind ---, which would not be read", file)
	}
	if t.Config != "" && !filepath.IsAbs(t.Config) {
		t.Config = filepath.Join(filepath.Dir(file), t.Config)
	}
	var all []*Case
	for i := range t.Cases {
		c, err := t.read(&t.Cases[i])
		if err != nil {
			return nil, fmt.Errorf("%s:%d: %w", file, t.Cases[i].Line, err)
		}
		c.File, c.Line = file, t.Cases[i].Line
		all = append(all, c)
	}
	return all, nil
}

// read makes a case of what is written.
func (t *table) read(n *yaml.Node) (*Case, error) {
	var text struct {
		Name   string         `json:"name"`
		Given  map[string]any `json:"given"`
		Expect map[string]any `json:"expect"`
	}
	var written map[string]any
	if err := n.Decode(&written); err != nil {
		return nil, err
	}
	if err := into(written, &text, "a case"); err != nil {
		return nil, err
	}
	c := &Case{Name: text.Name, table: t}
	if c.Name == "" {
		return nil, errors.New("the case has no name")
	}
	given := map[string]any{}
	for _, m := range []map[string]any{t.Given, text.Given} {
		for k, v := range m {
			given[k] = v
		}
	}
	if u, ok := given["url"].(string); ok && strings.HasPrefix(u, "/") {
		given["url"] = t.Site + u
	}
	if name, ok := given["user"].(string); ok {
		who, ok := t.People[name]
		if !ok {
			return nil, fmt.Errorf("people has nobody called '%s'; there are: %s", name, names(t.People))
		}
		given["user"] = who
	}
	if err := into(given, &c.given, "given"); err != nil {
		return nil, err
	}
	if c.given.URL == "" {
		return nil, errors.New("given has no url")
	}
	if len(text.Expect) == 0 {
		return nil, errors.New("the case expects nothing, so it could not fail")
	}
	return c, into(text.Expect, &c.expect, "expect")
}

// into reads what YAML said into a struct with JSON's names.
func into(v map[string]any, to any, what string) error {
	known := fields(reflect.TypeOf(to).Elem())
	for name := range v {
		if !slices.Contains(known, name) {
			hint := ""
			if near := flows.Nearest(name, known); near != "" {
				hint = fmt.Sprintf(" (did you mean '%s'?)", near)
			}
			return fmt.Errorf("%s has no field '%s'%s; there are: %s", what, name, hint, strings.Join(known, ", "))
		}
	}
	b, err := json.Marshal(texts(v))
	if err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	if err := d.Decode(to); err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	return nil
}

// texts turns YAML's times back into what JSON has for them.
func texts(v any) any {
	switch v := v.(type) {
	case time.Time:
		return v.Format(time.RFC3339Nano)
	case map[string]any:
		for k, e := range v {
			v[k] = texts(e)
		}
	case []any:
		for i, e := range v {
			v[i] = texts(e)
		}
	}
	return v
}

func fields(t reflect.Type) []string {
	var out []string
	for i := range t.NumField() {
		if name, _, _ := strings.Cut(t.Field(i).Tag.Get("json"), ","); name != "" && name != "-" {
			out = append(out, name)
		}
	}
	slices.Sort(out)
	return out
}

func names[T any](m map[string]T) string {
	var all []string
	for n := range m {
		all = append(all, n)
	}
	if len(all) == 0 {
		return "none"
	}
	slices.Sort(all)
	return strings.Join(all, ", ")
}
