package flows

// Input is what came back from the person or a provider. It names the waiting
// step and its serial; anything else shows the current page and runs nothing (I28).
type Input struct {
	Step, Serial int
	// Values are the fields of a submitted page.
	Values map[string][]string
	// Callback is set when a provider sent the browser back.
	Callback *Callback
	// Token is what the browser answered a page that negotiates; nil: it is no answer of that.
	Token []byte
}

// Value returns the single value of a field: "" when it is missing or doubled.
func (in *Input) Value(name string) string {
	if v := in.Values[name]; len(v) == 1 {
		return v[0]
	}
	return ""
}

// Callback is a provider's answer, carried by the browser.
type Callback struct {
	Provider string
	// URL is the redirect URI it came to, without a query.
	URL    string
	Method string
	// Values are query or form parameters, duplicates kept: refusing them is the provider's job.
	Values map[string][]string
	// Query is the raw query of a GET, octet by octet as it came: what a detached
	// signature was made over.
	Query string
	// Received is what Receive made of the answer; nil for one that came directly.
	Received []byte
}
