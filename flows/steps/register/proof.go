package register

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"math/big"
	"net/mail"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/sallyport-gateway/sallyport/flows"
)

// codeFor is how long a code is good.
const codeFor = 5 * time.Minute

// send makes a new code, of which a hash is kept, and has it sent; who has an account
// is told so instead. Neither is waited for: how long it takes would tell.
func (r *Register) send(ctx context.Context, x *flows.Execution, k *kept) {
	n, err := rand.Int(rand.Reader, big.NewInt(1_000_000))
	if err != nil {
		n = new(big.Int) // never: crypto/rand ends the process instead
	}
	digits := n.String()
	digits = strings.Repeat("0", 6-len(digits)) + digits
	k.Salt = []byte(rand.Text())
	k.Code, k.Until = hashed(k.Salt, digits), r.now().Add(codeFor)
	m := flows.Message{
		Kind: "register_code", To: k.Email, Language: x.Language,
		Values: map[string]string{"host": x.Request.Host}, Secret: map[string]string{"code": digits},
	}
	if k.Taken {
		m.Kind, m.Secret = "register_exists", nil
	}
	if p, ok := r.by.(flows.Poster); ok {
		p.Post(ctx, m)
		return
	}
	_ = r.by.Send(ctx, m) // the page is the same; they may ask for another
}

func hashed(salt []byte, code string) []byte {
	sum := sha256.Sum256(slices.Concat(salt, []byte(code)))
	return sum[:]
}

// matches compares without telling how much of it is right.
func (k *kept) matches(code string) bool {
	return subtle.ConstantTimeCompare(hashed(k.Salt, strings.ReplaceAll(code, " ", "")), k.Code) == 1
}

func tidy(s string) string { return strings.TrimSpace(s) }

// fold is an address as budgets compare it.
func fold(email string) string { return strings.ToLower(strings.ToUpper(email)) }

// judge answers the code of what is wrong with what was typed. It looks nothing up.
func (r *Register) judge(email, name, password string) string {
	a, err := mail.ParseAddress(email)
	least := r.MinPassword
	if least == 0 {
		least = usualPassword
	}
	switch {
	case err != nil || a.Address != email || len(email) > 254 || strings.ContainsFunc(email, unicode.IsControl):
		return "field_email"
	case name == "":
		return "field_required"
	case utf8.RuneCountInString(name) > 100:
		return "field_long"
	case !utf8.ValidString(name) || strings.ContainsFunc(name, func(c rune) bool { return unicode.IsControl(c) || unicode.Is(unicode.Cf, c) }):
		return "field_text"
	case utf8.RuneCountInString(password) < least:
		return "password_short"
	case len(password) > 1024 || !utf8.ValidString(password):
		return "field_long"
	case easy(password, email, name):
		return "password_easy"
	}
	return ""
}

// common are what people take who are told to take something long, and what is
// guessed first.
var common = []string{
	"password", "passwort", "motdepasse", "contraseña", "letmein", "welcome", "willkommen", "iloveyou", "qwerty", "qwertz", "azerty",
	"asdf", "admin", "dragon", "monkey", "football", "baseball", "sunshine", "princess", "master", "superman", "secret", "changeme",
	"correcthorsebatterystaple", "trustno1", "abc123", "passw0rd", "p@ssw0rd", "hallo", "hello", "bonjour", "login",
}

// easy reports a password of which little is left when what anybody would guess is
// taken away: common words, the address and the name, runs and repetitions.
func easy(password, email, name string) bool {
	rest := fold(password)
	local, domain, _ := strings.Cut(fold(email), "@")
	words := append(strings.Fields(fold(name)), local, domain)
	words = append(words, strings.FieldsFunc(local, func(c rune) bool { return !unicode.IsLetter(c) })...)
	words = slices.DeleteFunc(append(words, common...), func(w string) bool { return utf8.RuneCountInString(w) < 4 })
	slices.SortFunc(words, func(a, b string) int { return len(b) - len(a) })
	for _, w := range words {
		rest = strings.ReplaceAll(rest, w, "")
	}
	kinds, last := map[rune]bool{}, rune(-10)
	steps := 0
	for _, c := range rest {
		if d := c - last; d < -1 || d > 1 { // neither the same nor the next one
			steps++
		}
		kinds[c], last = true, c
	}
	return len(kinds) < 5 || steps < 5
}

// accountPage asks for the account; the password is never shown again.
func (r *Register) accountPage(email, name, problem string, reason flows.Reason) flows.Page {
	p := flows.Page{Kind: "register", Submit: "continue", Problem: reason, Widgets: []flows.Widget{flows.Note{Code: "register"}}}
	if problem != "" {
		p.Widgets = append(p.Widgets, flows.Note{Code: problem})
	}
	p.Widgets = append(p.Widgets,
		flows.Field{Name: "email", Label: "email", Value: email, Type: "email", Max: 254, Autocomplete: "username", Autofocus: true},
		flows.Field{Name: "display_name", Label: "display_name", Value: name, Max: 100, Autocomplete: "name"},
		flows.Secret{Name: "password", Label: "new_password", Autocomplete: "new-password"},
	)
	return p
}

// codePage asks for the code that proves the address.
func codePage(k kept, problem flows.Reason) flows.Page {
	return flows.Page{Kind: "register_code", Submit: "continue", Problem: problem, Widgets: []flows.Widget{
		flows.Note{Code: "register_sent"},
		flows.Note{Text: k.Email},
		flows.Code{Name: "code", Label: "code", Digits: 6, Autofocus: true},
		flows.Choice{Name: "again", Value: "code", Label: "send_again"},
		flows.Choice{Name: "again", Value: "address", Label: "other_address"},
	}}
}
