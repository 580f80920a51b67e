package module

import (
	"maps"
	"slices"
	"strings"

	"go.uber.org/zap"

	"github.com/sallyport-gateway/sallyport/flows"
)

// readsAttributes notes where attributes of the user are read, by names as
// "user.department" or, with another prefix or none, what is no attribute.
func (a *App) readsAttributes(source string, names []string) {
	for _, n := range names {
		a.readsDevice = a.readsDevice || strings.HasPrefix(n, "device.")
		if n, ok := strings.CutPrefix(n, "user."); ok {
			n, _, _ = strings.Cut(n, ".")
			if a.read == nil {
				a.read = map[string][]string{}
			}
			if !slices.Contains(a.read[n], source) {
				a.read[n] = append(a.read[n], source)
			}
		}
	}
}

// warnMisspelt names attributes that are close to a known one and are none: a
// condition that reads one denies everybody, and a header is never sent. A provider
// may send attributes that nobody can know of, so it is no error.
func (a *App) warnMisspelt() {
	known := a.knownAttributes()
	for _, name := range slices.Sorted(maps.Keys(a.read)) {
		if slices.Contains(known, name) {
			continue
		}
		if nearest := flows.Nearest(name, known); nearest != "" {
			a.log.Warn("nothing says that there is such an attribute; without one a condition denies and a header is left out",
				zap.String("attribute", name), zap.String("nearest", nearest), zap.Strings("at", a.read[name]))
		}
	}
}

// knownAttributes are the reserved ones, those that providers can name and those
// that steps give.
func (a *App) knownAttributes() []string {
	known := slices.Clone(flows.ReservedAttributes)
	for _, p := range a.providers {
		if l, ok := p.Guest.(flows.AttributeLister); ok {
			known = append(known, l.Attributes()...)
		}
	}
	for _, steps := range a.steps {
		known = append(known, produced(steps)...)
	}
	return known
}

func produced(steps []flows.Step) (names []string) {
	for _, s := range steps {
		var given []string
		if p, ok := s.(flows.Producer); ok {
			given = p.Produces()
		}
		if p, ok := s.(flows.Perhaps); ok {
			given = append(given, p.MayProduce()...)
		}
		for _, n := range given {
			if n, ok := strings.CutPrefix(n, "user."); ok {
				names = append(names, n)
			}
		}
		if r, ok := s.(flows.Reacher); ok && reachesFlow(r) {
			continue // another flow's steps are looked at with their own flow
		}
		if c, ok := s.(flows.Container); ok {
			blocks, _ := c.Blocks()
			for _, b := range blocks {
				names = append(names, produced(b)...)
			}
		}
	}
	return names
}
