package code

import (
	"context"
	"strconv"
	"strings"
	"time"

	"github.com/sallyport-gateway/sallyport/flows"
)

// state is what is kept of a challenge, in the run.
type state struct {
	// ID finds the code, and is the key of its hash.
	ID string `json:"id"`
	// To is the address as it is shown.
	To string `json:"to"`
	// Sent is when, Sends how often; a code that is Over is good for nothing more.
	Sent  time.Time `json:"sent,omitzero"`
	Sends int       `json:"sends,omitempty"`
	Over  bool      `json:"over,omitempty"`
	// Problem is why nothing was sent now, Until when it may be asked for again.
	Problem flows.Reason `json:"problem,omitempty"`
	Until   time.Time    `json:"until,omitzero"`
}

// live reports whether a code of this challenge may be right.
func (s *state) live(now time.Time) bool {
	return s.Sends > 0 && !s.Over && now.Before(s.Sent.Add(goodFor))
}

// Begin sends a code.
func (f *Email) Begin(ctx context.Context, c *flows.Challenge) error {
	return f.send(ctx, c, state{ID: newID()})
}

// Resend sends another one, which ends the one before.
func (f *Email) Resend(ctx context.Context, c *flows.Challenge, in flows.Input) (bool, error) {
	var s state
	if in.Value("resend") == "" || c.Kept(&s) != nil || s.ID == "" {
		return false, nil
	}
	if s.Sends >= maxSends {
		return true, nil
	}
	return true, f.send(ctx, c, s)
}

// send takes from the budgets, then keeps the hash, then sends (I08). What hinders
// it is on the page; only that nobody could be asked is an error.
func (f *Email) send(ctx context.Context, c *flows.Challenge, s state) error {
	to := f.to.of(c.User)
	if to == "" { // somebody vouched for it a moment ago
		s.Problem, s.Over = flows.ReasonMessageNotSent, true
		return c.Keep(s)
	}
	s.To, s.Problem, s.Until = masked(f.kind, strings.TrimSuffix(to, f.to.after)), "", time.Time{}
	wait, err := f.take(ctx, c, to)
	if err != nil {
		return err
	}
	if wait > 0 {
		s.Problem, s.Until = flows.ReasonTooManyTries, c.Now.Add(wait)
		return c.Keep(s)
	}
	code, err := f.issue(ctx, s.ID, c.Now)
	if err != nil {
		return err
	}
	s.Sent, s.Sends, s.Over = c.Now, s.Sends+1, false
	if f.messenger.Send(ctx, f.message(c, to, code)) != nil { // logged by who sends
		s.Problem, s.Over = flows.ReasonMessageNotSent, true
	}
	return c.Keep(s)
}

func (f *Email) message(c *flows.Challenge, to, code string) flows.Message {
	_, host, _ := strings.Cut(c.Origin, "://")
	kind := "code"
	if f.kind == "sms" {
		kind = "code_sms"
	}
	return flows.Message{
		Kind: kind, To: to, Language: c.Language, Rows: c.Show,
		Values: map[string]string{"host": host, "minutes": strconv.Itoa(int(goodFor / time.Minute))},
		Secret: map[string]string{"code": code},
	}
}

// Draw asks for the code, or says why there is none.
func (f *Email) Draw(c *flows.Challenge) flows.Page {
	var s state
	_ = c.Kept(&s) // an empty page is not taken for sent: Verify refuses it
	p := flows.Page{Kind: f.kind, Problem: s.Problem}
	if s.Problem == flows.ReasonTooManyTries {
		p.Wait = flows.WaitSeconds(s.Until.Sub(c.Now))
	}
	switch {
	case s.live(c.Now):
		p.Submit = "continue"
		p.Widgets = append(p.Widgets, flows.Note{Code: map[string]string{"email": "email_sent", "sms": "sms_sent"}[f.kind]}, flows.Note{Text: s.To}, flows.Code{Name: "code", Label: "code", Digits: digitsOfCode, Autofocus: true})
	case s.Sends > 0 && s.Problem == "":
		p.Widgets = append(p.Widgets, flows.Note{Code: "code_over"})
	}
	if s.Sends < maxSends {
		p.Widgets = append(p.Widgets, flows.Choice{Name: "resend", Value: "1", Label: "send_again"})
	}
	return p
}

// Verify judges a code: each try is counted where all nodes see it before it is
// compared, and the right one is taken out in the same step (I08, I09).
func (f *Email) Verify(ctx context.Context, c *flows.Challenge, in flows.Input) (flows.Verdict, error) {
	if again, err := f.Resend(ctx, c, in); again || err != nil {
		return flows.Verdict{Again: again}, err
	}
	var s state
	if len(c.Records) == 0 || c.Kept(&s) != nil || s.ID == "" {
		return flows.Verdict{}, flows.ErrCredentials
	}
	right, left, err := f.judge(ctx, s.ID, strings.Join(strings.Fields(in.Value("code")), ""), c.Now)
	if err != nil {
		return flows.Verdict{}, err
	}
	s.Problem, s.Over = "", !left
	if err := c.Keep(s); err != nil {
		return flows.Verdict{}, err
	}
	if !right {
		return flows.Verdict{}, flows.ErrCredentials
	}
	if err := f.answered(ctx, c); err != nil {
		return flows.Verdict{}, err
	}
	amr := []string{"otp"}
	if f.kind == "sms" {
		amr = []string{"otp", "sms"} // RFC 8176 §2
	}
	return flows.Verdict{Record: c.Records[0].ID, AMR: amr}, nil
}
