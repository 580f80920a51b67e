package flows

import (
	"context"
)

// Step is one line of a flow, a guest `identity.steps.*`. One Step value serves
// all runs concurrently; what belongs to a run is kept in the Execution.
type Step interface {
	Enter(ctx context.Context, x *Execution) (Outcome, error)
}

// Resumer is a Step that waits for a person or a provider.
type Resumer interface {
	Step
	Resume(ctx context.Context, x *Execution, in Input) (Outcome, error)
}

// Shower is a Resumer that can draw the page it waits with again: it runs
// nothing and sends nothing (I28).
type Shower interface {
	Show(ctx context.Context, x *Execution) (Page, error)
}

// Container is a Step made of blocks; its Enter answers Take(i), or Take(-1) for none.
type Container interface {
	Step
	// Blocks are known after Bind. All is true if Enter never answers Take(-1).
	Blocks() (blocks [][]Step, all bool)
}

// Labelled is a Container that says in a few words when each of its blocks is taken.
type Labelled interface{ Labels() []string }

// Terminator is a Step that may always end the flow: then what stands behind it
// in its block never runs (I22).
type Terminator interface{ Terminates() bool }

// Outward is a Step that talks to others and may change something there: who only
// wants to know what a flow would do must not run it (I26).
type Outward interface{ Outward() }

// Producer is a Step that surely sets names for those behind it: "user",
// "user.department", "risk" (I22).
type Producer interface{ Produces() []string }

// Consumer is a Step that reads names: the load fails if one may not be there yet (I22).
type Consumer interface{ Conditions() []Named }

// Named is something compiled that knows which names it reads and where it was written.
type Named interface {
	// Reads are dotted names not guarded by has(): "user.department", "risk.score".
	Reads() []string
	Source() string
}

// Constant is a condition that may be the same whatever it is asked about; constant says
// whether it is, and holds what it is.
type Constant interface{ Constant() (holds, constant bool) }

// Reacher names what a guest's meaning depends on, for the digest: "provider:corp", "flow:x", "policy:y" (I28).
type Reacher interface{ Reaches() []string }

// Namer is a provider or a factor that names other guests. It is asked by Bind and,
// before it is provisioned, when a Caddyfile is adapted: a name that nobody has is an error with
// the file and line it was written at.
type Namer interface{ Names(Registry) error }

// Sourced is a guest that knows the file and line it was written at.
type Sourced interface{ SourceLine() string }

// Binder is called once on every guest after all of them are loaded: names are
// resolved here, and a typo fails the load.
type Binder interface{ Bind(Registry) error }

// Watcher is a step that goes another way while a provider is down: the hall checks
// those it names, and tells it by Env.Down.
type Watcher interface{ Watches() []*Provider }
