package flows

// Action is the one change that a run is for, on the account page. What is done, and
// to what, is fixed before the first step runs: what a person proves in the run is a
// proof for that and for nothing else (I12).
type Action struct {
	// Do names it: "factor_remove", "session_end", …
	Do string `json:"do"`
	// Target is the id of what it is done to, or the kind of factor that is set up.
	Target string `json:"target,omitempty"`
	// Title is what the person knows the target by.
	Title string `json:"title,omitempty"`
	// Value is what a step asked for: a new name.
	Value string `json:"value,omitempty"`
}
