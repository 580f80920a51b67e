package tables

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/sallyport-gateway/sallyport/module"
)

// Result is what became of a case.
type Result struct {
	*Case
	// Differs are the sentences about what is otherwise than expected; none: it passed.
	Differs []string
	// Explanation is what would happen; nil where the case cannot be meant.
	Explanation *module.Explanation
	Took        time.Duration
}

// Runner runs cases, each against its config, which is made ready once.
type Runner struct {
	// Config and Adapter are those of tables that name none.
	Config, Adapter string
	// Now tells how long things take.
	Now    func() time.Time
	loaded map[string]*Config
}

// Run runs one case. An error is about its config.
func (r *Runner) Run(ctx context.Context, c *Case) (*Result, error) {
	began := r.Now()
	config, err := r.config(c.table)
	if err != nil {
		return nil, err
	}
	in := c.given
	in.Offline = true
	out := &Result{Case: c}
	if out.Explanation, err = config.app.Explain(ctx, in); err != nil {
		out.Differs = []string{err.Error()}
	} else {
		out.Differs = c.expect.differ(out.Explanation)
	}
	out.Took = r.Now().Sub(began)
	return out, nil
}

func (r *Runner) config(t *table) (*Config, error) {
	file, adapter := cmp.Or(t.Config, r.Config), cmp.Or(t.Adapter, r.Adapter)
	env, err := json.Marshal(t.Env) // sorts
	if err != nil {
		return nil, err
	}
	key := fmt.Sprintf("%s\x00%s\x00%s", file, adapter, env)
	if c := r.loaded[key]; c != nil {
		return c, nil
	}
	c, err := Load(file, adapter, t.Env)
	if err != nil {
		return nil, err
	}
	if r.loaded == nil {
		r.loaded = map[string]*Config{}
	}
	r.loaded[key] = c
	return c, nil
}

// StandIns are the secrets of all configs that were not here.
func (r *Runner) StandIns() (n int) {
	for _, c := range r.loaded {
		n += len(c.StandIns)
	}
	return n
}
