package flows

import (
	"encoding/json"
	"time"
)

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
	// Negotiate asks the browser for what it can sign in by without the person (SPNEGO).
	// The person sees the page only if it has nothing.
	Negotiate bool `json:"negotiate,omitempty"`
	// Auto pages are submitted by themselves where scripts run.
	Auto bool `json:"auto,omitempty"`
}

// WaitSeconds is a wait as a Page says it: in whole seconds, never too few.
func WaitSeconds(wait time.Duration) int { return max(0, int((wait+time.Second-1)/time.Second)) }

// Widget is one element of the closed set.
type Widget interface{ widget() }

// Field is a line of text to fill in.
type Field struct {
	Name  string `json:"name"`
	Label string `json:"label"`
	Value string `json:"value,omitempty"`
	// Type is the HTML type of the input: text (default), email, tel, number, date or url.
	// What comes back is judged by the step, whatever a browser checked.
	Type string `json:"type,omitempty"`
	// Optional fields may stay empty.
	Optional bool `json:"optional,omitempty"`
	// Max is the most characters; 0: no limit but the page's.
	Max int `json:"max,omitempty"`
	// Problem is the note code, or the words, of what is wrong with Value.
	Problem string `json:"problem,omitempty"`
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
	// Again marks what was chosen in this browser the last time.
	Again bool `json:"again,omitempty"`
}

// Note is a sentence to read, by code, with an optional operator's text.
type Note struct {
	Code string `json:"code,omitempty"`
	Text string `json:"text,omitempty"`
}

// Select is one of a list.
type Select struct {
	Name    string  `json:"name"`
	Label   string  `json:"label"`
	Value   string  `json:"value,omitempty"`
	Options []Entry `json:"options"`
	// Optional: none may be chosen.
	Optional bool `json:"optional,omitempty"`
	// Problem is that of a Field.
	Problem   string `json:"problem,omitempty"`
	Autofocus bool   `json:"autofocus,omitempty"`
}

// Entry is one line of a Select.
type Entry struct {
	Value string `json:"value"`
	Label string `json:"label"`
}

// Check is a box to tick; ticked it answers name=1.
type Check struct {
	Name  string `json:"name"`
	Label string `json:"label"`
	// Count fills {n} in the label; 0: there is none.
	Count   int  `json:"count,omitempty"`
	Checked bool `json:"checked,omitempty"`
	// Optional boxes may stay empty.
	Optional bool `json:"optional,omitempty"`
	// Problem is that of a Field.
	Problem   string `json:"problem,omitempty"`
	Autofocus bool   `json:"autofocus,omitempty"`
}

// Heading begins a section of a long page. Text is not translated.
type Heading struct {
	Label string `json:"label,omitempty"`
	Text  string `json:"text,omitempty"`
}

// Table shows what a person is about to decide on, or what is known of something.
type Table struct {
	// Label is the code of its caption; may be empty.
	Label string `json:"label,omitempty"`
	Rows  []Row  `json:"rows"`
}

// Row is one line of a Table. Name is a label code, or shown as it is where there
// is no such code.
type Row struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

// Terms are a text to read before going on. Text is plain; a blank line ends a
// paragraph.
type Terms struct {
	Title   string `json:"title"`
	Version string `json:"version,omitempty"`
	Text    string `json:"text,omitempty"`
	// URL is where it can be read in full; may be empty.
	URL string `json:"url,omitempty"`
}

// Download offers a file that was made for the person. The hall hands Data over when
// the button is pressed, as the page then is: a step draws the same file again.
type Download struct {
	Label string `json:"label"`
	// Name is the file's, Type its media type.
	Name string `json:"name"`
	Type string `json:"type"`
	Data []byte `json:"data"`
}

// Credential has the browser make a key or sign with one (Web Authentication). The
// answer is the credential as JSON under Name. It is the one widget that needs
// JavaScript; a page that has it offers another way, too, where there is one.
type Credential struct {
	Name  string `json:"name"`
	Label string `json:"label"`
	// Create makes a new key; else one is used.
	Create bool `json:"create,omitempty"`
	// Options are PublicKeyCredentialCreationOptions or …RequestOptions in their JSON form
	// (WebAuthn Level 3 §5.1.8, §5.1.9).
	Options json.RawMessage `json:"options"`
	// Conditional offers passkeys in the autofill of the page's username field and
	// asks for nothing before one is picked.
	Conditional bool `json:"conditional,omitempty"`
}

func (Field) widget()      {}
func (Secret) widget()     {}
func (Code) widget()       {}
func (QR) widget()         {}
func (Codes) widget()      {}
func (Choice) widget()     {}
func (Note) widget()       {}
func (Select) widget()     {}
func (Check) widget()      {}
func (Heading) widget()    {}
func (Table) widget()      {}
func (Terms) widget()      {}
func (Download) widget()   {}
func (Credential) widget() {}
