package pages

import (
	"encoding/json"

	"github.com/sallyport-gateway/sallyport/flows"
)

type jsonWidget struct {
	// Type is field, secret, code, select, check, choice, note, heading, table, terms,
	// download, qr, codes or credential.
	Type         string `json:"type"`
	Name         string `json:"name,omitempty"`
	Label        string `json:"label,omitempty"`
	Value        string `json:"value,omitempty"`
	Detail       string `json:"detail,omitempty"`
	Autocomplete string `json:"autocomplete,omitempty"`
	Code         string `json:"code,omitempty"`
	Digits       int    `json:"digits,omitempty"`
	// Input is what a field holds: text, email, tel, number, date or url; Max its most characters.
	Input string `json:"input,omitempty"`
	Max   int    `json:"max,omitempty"`
	// Problem is what is wrong with it, ProblemText the same translated.
	Problem     string `json:"problem,omitempty"`
	ProblemText string `json:"problem_text,omitempty"`
	// Optional may stay empty; Checked is ticked.
	Optional bool         `json:"optional,omitempty"`
	Checked  bool         `json:"checked,omitempty"`
	Options  []jsonOption `json:"options,omitempty"`
	Rows     []jsonRow    `json:"rows,omitempty"`
	Version  string       `json:"version,omitempty"`
	// URL is what a QR code says (Value the same to type in), or where terms stand in full.
	URL   string   `json:"url,omitempty"`
	Codes []string `json:"codes,omitempty"`
	// Media is the type of a download, Data what is in it (base64).
	Media string `json:"media,omitempty"`
	Data  []byte `json:"data,omitempty"`
	// PublicKey is what Web Authentication is asked for; Create makes a key, else one is used.
	PublicKey   json.RawMessage `json:"public_key,omitempty"`
	Create      bool            `json:"create,omitempty"`
	Conditional bool            `json:"conditional,omitempty"`
	// Text is the translated label, or what is to be read.
	Text string `json:"text,omitempty"`
}

type jsonOption struct {
	Value string `json:"value"`
	Label string `json:"label"`
	Text  string `json:"text"`
}

type jsonRow struct {
	Name  string `json:"name"`
	Value string `json:"value"`
	Text  string `json:"text"`
}

// jsonWidget is a widget for a program.
func (c catalogue) jsonWidget(w flows.Widget) jsonWidget {
	switch w := w.(type) {
	case flows.Field:
		return jsonWidget{Type: "field", Name: w.Name, Label: w.Label, Value: w.Value, Input: fieldKind(w.Type), Max: w.Max, Problem: w.Problem, ProblemText: c.wrong(w.Problem), Optional: w.Optional, Autocomplete: w.Autocomplete, Text: c.label(w.Label)}
	case flows.Secret:
		return jsonWidget{Type: "secret", Name: w.Name, Label: w.Label, Autocomplete: w.Autocomplete, Text: c.label(w.Label)}
	case flows.Code:
		return jsonWidget{Type: "code", Name: w.Name, Label: w.Label, Digits: w.Digits, Autocomplete: autofill(w), Text: c.label(w.Label)}
	case flows.Select:
		j := jsonWidget{Type: "select", Name: w.Name, Label: w.Label, Value: w.Value, Problem: w.Problem, ProblemText: c.wrong(w.Problem), Optional: w.Optional, Text: c.label(w.Label)}
		for _, e := range w.Options {
			j.Options = append(j.Options, jsonOption{Value: e.Value, Label: e.Label, Text: c.label(e.Label)})
		}
		return j
	case flows.Check:
		return jsonWidget{Type: "check", Name: w.Name, Label: w.Label, Value: "1", Checked: w.Checked, Problem: w.Problem, ProblemText: c.wrong(w.Problem), Optional: w.Optional, Text: c.counted(w.Label, w.Count)}
	case flows.Choice:
		return jsonWidget{Type: "choice", Name: w.Name, Value: w.Value, Label: w.Label, Detail: c.detail(w), Text: c.label(w.Label)}
	case flows.QR:
		return jsonWidget{Type: "qr", Label: w.Label, URL: w.Text, Value: w.Manual, Text: c.label(w.Label)}
	case flows.Codes:
		return jsonWidget{Type: "codes", Label: w.Label, Codes: w.Codes, Text: c.label(w.Label)}
	case flows.Credential:
		return jsonWidget{Type: "credential", Name: w.Name, Label: w.Label, PublicKey: w.Options, Create: w.Create, Conditional: w.Conditional, Text: c.label(w.Label)}
	case flows.Download:
		return jsonWidget{Type: "download", Name: w.Name, Label: w.Label, Media: mediaType(w.Type), Data: w.Data, Text: c.label(w.Label)}
	}
	return c.jsonReading(w)
}

// jsonReading is a widget that only says something; without a Type it is none.
func (c catalogue) jsonReading(w flows.Widget) jsonWidget {
	switch w := w.(type) {
	case flows.Note:
		return jsonWidget{Type: "note", Code: w.Code, Text: c.note(w)}
	case flows.Heading:
		return jsonWidget{Type: "heading", Label: w.Label, Text: c.headline(w)}
	case flows.Table:
		j := jsonWidget{Type: "table", Label: w.Label, Text: c.label(w.Label)}
		for _, r := range w.Rows {
			j.Rows = append(j.Rows, jsonRow{Name: r.Name, Value: r.Value, Text: c.label(r.Name)})
		}
		return j
	case flows.Terms:
		return jsonWidget{Type: "terms", Label: w.Title, Version: w.Version, URL: safeLink(w.URL), Text: w.Text}
	}
	return jsonWidget{}
}
