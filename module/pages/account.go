package pages

import "net/http"

// Account is what KindAccount shows, section by section.
type Account struct {
	// Done is the code of what was changed a moment ago; may be empty.
	Done     string
	Sections []Section
}

// Section is one list of the account page. Texts are looked up by Name: its heading
// `account.<name>`, and where it is empty it says `account.<none>`.
type Section struct {
	Name    string
	None    string
	Items   []Item
	Buttons []Button
}

// Item is one thing in a list.
type Item struct {
	// Title is what the person knows it by; Label is a code behind it.
	Title, Label string
	// Lines say more, each by the code of its label.
	Lines   []Line
	Buttons []Button
}

// Line is one thing that is said of an item. Words is a code that stands for the value.
type Line struct{ Label, Value, Words string }

// Button begins a change: Do and Target are sent, Label is the code of what it says.
type Button struct{ Do, Target, Label string }

// Label is the text of a label code in the language of a request's pages.
func (s *Set) Label(r *http.Request, code string) string { return s.texts[s.Language(r)].label(code) }

// account translates the page.
func (c catalogue) account(a *Account) *Account {
	if a == nil {
		return &Account{}
	}
	out := &Account{Done: c["done."+a.Done]}
	for _, s := range a.Sections {
		t := Section{Name: c.first("account."+s.Name, "keeps."+s.Name), Buttons: c.buttons(s.Buttons)}
		if t.Name == "" {
			t.Name = s.Name
		}
		for _, i := range s.Items {
			t.Items = append(t.Items, c.item(i))
		}
		if none := c["account."+s.None]; len(s.Items) == 0 && none != "" {
			t.Items = []Item{{Label: none}}
		}
		out.Sections = append(out.Sections, t)
	}
	return out
}

func (c catalogue) item(i Item) Item {
	t := Item{Title: c.label(i.Title)}
	if i.Label != "" {
		t.Label = c.label(i.Label)
	}
	for _, l := range i.Lines {
		if l.Words != "" {
			l.Value = c.label(l.Words)
		}
		if l.Value != "" {
			t.Lines = append(t.Lines, Line{Label: c.label(l.Label), Value: l.Value})
		}
	}
	t.Buttons = c.buttons(i.Buttons)
	return t
}

func (c catalogue) buttons(list []Button) (out []Button) {
	for _, b := range list {
		out = append(out, Button{Do: b.Do, Target: b.Target, Label: c.label(b.Label)})
	}
	return out
}
