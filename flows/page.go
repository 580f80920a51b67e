package flows

// Page is what a step wants a person to see and answer, as data: the hall owns
// all HTML, CSS and JavaScript and also serves it as JSON.
type Page struct {
	// Kind names the page: "choose", "password", …; titles are translated by it.
	Kind string `json:"kind"`
	// Widgets in the order they are shown.
	Widgets []Widget `json:"widgets,omitempty"`
	// Problem is shown above the widgets when an answer was refused.
	Problem Reason `json:"problem,omitempty"`
	// Wait is how many seconds to wait before trying again; 0 for none.
	Wait int `json:"wait,omitempty"`
	// Submit is the label code of the submit button; empty for pages made of choices only.
	Submit string `json:"submit,omitempty"`
}

// Widget is one element of the closed set.
type Widget interface{ widget() }

// Field is a line of text to fill in.
type Field struct {
	Name  string `json:"name"`
	Label string `json:"label"`
	Value string `json:"value,omitempty"`
	// Autocomplete is the HTML autofill token, as "username".
	Autocomplete string `json:"autocomplete,omitempty"`
	Autofocus    bool   `json:"autofocus,omitempty"`
}

// Secret is a line of text that is not shown and never sent back.
type Secret struct {
	Name         string `json:"name"`
	Label        string `json:"label"`
	Autocomplete string `json:"autocomplete,omitempty"`
	Autofocus    bool   `json:"autofocus,omitempty"`
}

// Code is a short code to type in, such as a one-time code.
type Code struct {
	Name  string `json:"name"`
	Label string `json:"label"`
	// Digits is how many there are; 0: letters and digits, of any length.
	Digits    int  `json:"digits,omitempty"`
	Autofocus bool `json:"autofocus,omitempty"`
}

// QR is a code for a camera, and the same text for those who cannot use one.
type QR struct {
	// Text is what the camera reads.
	Text string `json:"text"`
	// Manual is what a person types in instead, Label the code of its caption.
	Manual string `json:"manual"`
	Label  string `json:"label"`
}

// Codes are to be written down: they are shown once.
type Codes struct {
	Codes []string `json:"codes"`
	Label string   `json:"label"`
}

// Choice is one of several buttons; pressing it answers name=value.
type Choice struct {
	Name  string `json:"name"`
	Value string `json:"value"`
	Label string `json:"label"`
	// Detail is a second, smaller line.
	Detail string `json:"detail,omitempty"`
}

// Note is a sentence to read, by code, with an optional operator's text.
type Note struct {
	Code string `json:"code,omitempty"`
	Text string `json:"text,omitempty"`
}

func (Field) widget()  {}
func (Secret) widget() {}
func (Code) widget()   {}
func (QR) widget()     {}
func (Codes) widget()  {}
func (Choice) widget() {}
func (Note) widget()   {}
