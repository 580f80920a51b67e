package flows

import (
	"context"
	"time"
)

// Keeper is a guest that keeps something of people beyond a run: what they answered,
// what they agreed to. The account page shows it to them, hands it out and has it
// erased.
type Keeper interface {
	// Keeps names what it keeps, "answers", "consents", and is the code of its label. Guests
	// with the same name keep it in one place: one of them is asked for all.
	Keeps() string
	// Export answers what is kept of a person, in a stable order; nothing is no error.
	Export(ctx context.Context, user UserKey) ([]Kept, error)
	// Erase forgets all of it; nothing there is no error.
	Erase(ctx context.Context, user UserKey) error
}

// Kept is one thing that a guest keeps of a person, as they may read it.
type Kept struct {
	// Name is what it is called in the configuration: an attribute, a document.
	Name string `json:"name"`
	// Title is what the person knows it by; empty: its name.
	Title string `json:"title,omitempty"`
	Value string `json:"value,omitempty"`
	// Version is that of a document.
	Version string    `json:"version,omitempty"`
	At      time.Time `json:"at,omitzero"`
}

// KeptFor is how long a Keeper keeps things: for ever, until they are erased.
const KeptFor = 100 * 365 * 24 * time.Hour

// DeedKind names something that a step does for a person, as the trail spells it.
type DeedKind string

// The kinds of deed.
const (
	DeedAnswered  DeedKind = "answers_kept"
	DeedConsented DeedKind = "consent_given"
)

// Deed is what a step is about to do: the trail is told first, and without an entry
// it is not done (I25).
type Deed struct {
	Kind DeedKind
	// Item is what it is about: names of attributes, a document and its version. It
	// holds nothing that the person typed.
	Item string
	// Source is the file and line of the step.
	Source string
}
