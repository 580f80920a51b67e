package flowstest

import (
	"context"
	"reflect"
	"testing"

	"github.com/sallyport-gateway/sallyport/flows"
)

// TestKeeper is what every guest promises that keeps something of people: it knows
// nothing at first; what fill keeps of a person is exported, the same each time, and
// of nobody else; erased it is gone, and erasing nothing is no error.
func TestKeeper(t testing.TB, k flows.Keeper, user flows.UserKey, fill func()) {
	t.Helper()
	for _, problem := range checkKeeper(t.Context(), k, user, fill) {
		t.Error(problem)
	}
}

func checkKeeper(ctx context.Context, k flows.Keeper, user flows.UserKey, fill func()) (problems []string) {
	say := func(wrong bool, problem string) {
		if wrong {
			problems = append(problems, problem)
		}
	}
	export := func(user flows.UserKey) []flows.Kept {
		list, err := k.Export(ctx, user)
		say(err != nil, "exporting fails")
		return list
	}
	say(k.Keeps() == "", "it does not say what it keeps")
	say(len(export(user)) != 0, "it knows of somebody before anything was kept")
	say(k.Erase(ctx, user) != nil, "erasing nothing is an error")
	fill()
	kept := export(user)
	say(len(kept) == 0, "what was kept is not exported")
	for _, one := range kept {
		say(one.Name == "" || one.At.IsZero(), "an entry has no name or no time")
	}
	say(!reflect.DeepEqual(export(user), kept), "it exports something else each time")
	say(len(export(user+"x")) != 0, "it exports one person's to another")
	say(k.Erase(ctx, user+"x") != nil || len(export(user)) != len(kept), "erasing one person's touches another's")
	say(k.Erase(ctx, user) != nil, "erasing fails")
	say(len(export(user)) != 0, "erased things are still there")
	return problems
}
