package flows

import (
	"fmt"
	"maps"
	"strings"
)

// names that a flow knows before any step ran.
func givenFirst(name string) bool {
	root, _, _ := strings.Cut(name, ".")
	switch root {
	case "request", "now", "device", "geo", "policy", "session":
		return true
	}
	return false
}

// surely walks a block and returns what is surely known behind it. A condition
// that reads a name which may not be there yet is a load error (I22): CEL's ||
// and && would absorb the error at run time.
func surely(have map[string]bool, steps []Step) (map[string]bool, error) {
	have = maps.Clone(have)
	if have == nil {
		have = map[string]bool{}
	}
	set := settable(steps)
	for _, s := range steps {
		if c, ok := s.(Consumer); ok {
			for _, cond := range c.Conditions() {
				if err := reads(cond, have, set); err != nil {
					return nil, err
				}
			}
		}
		if p, ok := s.(Producer); ok {
			for _, n := range p.Produces() {
				have[n] = true
			}
		}
		if c, ok := s.(Container); ok {
			after, err := branches(have, c)
			if err != nil {
				return nil, err
			}
			have = after
		}
	}
	return have, nil
}

// branches intersects what the blocks surely set; a container that may take
// none adds nothing.
func branches(have map[string]bool, c Container) (map[string]bool, error) {
	blocks, all := c.Blocks()
	var common map[string]bool
	for _, b := range blocks {
		after, err := surely(have, b)
		if err != nil {
			return nil, err
		}
		if common == nil {
			common = after
			continue
		}
		maps.DeleteFunc(common, func(n string, _ bool) bool { return !after[n] })
	}
	if !all || common == nil {
		return have, nil
	}
	return common, nil
}

// settable lists every user.* name that some `set` below may set: those are
// judged one by one, while other attributes come from the provider.
func settable(steps []Step) map[string]bool {
	out := map[string]bool{}
	for _, s := range steps {
		if p, ok := s.(Producer); ok {
			for _, n := range p.Produces() {
				out[n] = true
			}
		}
		if c, ok := s.(Container); ok {
			blocks, _ := c.Blocks()
			for _, b := range blocks {
				maps.Copy(out, settable(b))
			}
		}
	}
	return out
}

func reads(cond Named, have, set map[string]bool) error {
	for _, n := range cond.Reads() {
		root, _, _ := strings.Cut(n, ".")
		switch {
		case givenFirst(n):
		case root == "risk" && !have["risk"]:
			return fmt.Errorf("%s: %s is read before a risk step surely ran", cond.Source(), n)
		case root == "risk":
		case !have["user"]:
			return fmt.Errorf("%s: %s is read before a login step surely ran", cond.Source(), n)
		case set[n] && !have[n]:
			return fmt.Errorf("%s: %s is read where no earlier step surely set it; test it with has(%s)", cond.Source(), n, n)
		}
	}
	return nil
}
