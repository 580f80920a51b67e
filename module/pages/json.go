package pages

import "github.com/sallyport-gateway/sallyport/flows"

// document is a View for a program. Codes are stable, texts are for showing.
type document struct {
	// Error is login_required, not_allowed or the reason; empty on pages that are none.
	Error  string `json:"error,omitempty"`
	Reason string `json:"reason,omitempty"`
	// ID finds the event in the audit trail.
	ID   string `json:"id,omitempty"`
	Text string `json:"text,omitempty"`
	// State is the kind of page when it is no error: ask, signed_out, …
	State string    `json:"state,omitempty"`
	Page  *jsonPage `json:"page,omitempty"`
	Step  *int      `json:"step,omitempty"`
	// Serial, Token and Step go back with the answer, posted to Action.
	Serial   *int        `json:"serial,omitempty"`
	Token    string      `json:"token,omitempty"`
	Action   string      `json:"action,omitempty"`
	Fields   []jsonField `json:"fields,omitempty"`
	LoginURL string      `json:"login_url,omitempty"`
	// RetryAfter is in seconds.
	RetryAfter int    `json:"retry_after,omitempty"`
	Link       string `json:"link,omitempty"`
}

type jsonField struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

type jsonPage struct {
	Kind    string       `json:"kind"`
	Title   string       `json:"title"`
	Widgets []jsonWidget `json:"widgets,omitempty"`
	Problem flows.Reason `json:"problem,omitempty"`
	// ProblemText is the translated problem.
	ProblemText string `json:"problem_text,omitempty"`
	Wait        int    `json:"wait,omitempty"`
	Submit      string `json:"submit,omitempty"`
	// Negotiate: a navigation to this page is asked for a ticket (SPNEGO).
	Negotiate bool `json:"negotiate,omitempty"`
}

func (s *Set) document(lang string, v *View) document {
	c := s.texts[lang]
	d := document{Reason: string(v.Reason), ID: v.ID, Text: v.Text, RetryAfter: v.RetryAfter, Link: safeLink(v.Link)}
	if d.Text == "" {
		d.Text = c.cause(v)
	}
	if d.Text == "" {
		d.Text = c.sentence(v)
	}
	switch v.Kind {
	case KindError:
		d.Reason = string(orInternal(v.Reason))
		d.Error = d.Reason
	case KindDenied:
		d.Error = string(flows.ReasonNotAllowed)
		if d.Reason == "" {
			d.Reason = d.Error
		}
	case KindSomebodyElse:
		d.Error = string(flows.ReasonUserMismatch)
	case KindLoginRequired, KindStale, KindStartAgain, KindLongAddress:
		d.Error, d.LoginURL, d.Link = string(flows.ReasonLoginRequired), d.Link, ""
	default:
		d.State = string(v.Kind)
	}
	switch v.Kind {
	case KindAsk:
		d.Page, d.Step, d.Serial = c.page(v), &v.Step, &v.Serial
		d.Action, d.Token = safeLink(v.Action), v.Token
	case KindConfirmLogout, KindArrived:
		d.Action, d.Token = safeLink(v.Action), v.Token
	case KindPost, KindSendAgain:
		d.Action = safeLink(v.Action)
		for _, f := range v.Fields {
			d.Fields = append(d.Fields, jsonField(f))
		}
	}
	return d
}

func orInternal(r flows.Reason) flows.Reason {
	if r == "" {
		return flows.ReasonInternal
	}
	return r
}

func (c catalogue) page(v *View) *jsonPage {
	p := v.Page
	if p == nil {
		p = &flows.Page{}
	}
	j := &jsonPage{Kind: p.Kind, Title: c.heading(v), Problem: p.Problem, ProblemText: c.problem(p), Wait: p.Wait, Submit: p.Submit, Negotiate: p.Negotiate}
	for _, w := range p.Widgets {
		j.Widgets = append(j.Widgets, c.jsonWidget(w))
	}
	return j
}

func (c catalogue) problem(p *flows.Page) string {
	if p.Problem == "" {
		return ""
	}
	return c.first("problem."+string(p.Problem), "reason."+string(p.Problem), "reason.internal")
}

func (c catalogue) note(n flows.Note) string {
	if n.Text != "" {
		return n.Text
	}
	return c.first("note."+n.Code, "reason."+n.Code)
}
