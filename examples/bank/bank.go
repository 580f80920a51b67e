// Package bank is an example: an old bank behind the gateway. It knows its customers
// by a header and asks for nothing itself; that a transfer needs a proof, and that a
// form survives the end of a session, is the gateway's.
package bank

import (
	"crypto/sha256"
	_ "embed"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"html/template"
	"io"
	"net/http"
	"strings"
	"sync"
)

//go:embed pages.html
var pageText string

var pages = template.Must(template.New("pages").Parse(pageText))

// Transfer is money that left an account.
type Transfer struct {
	From   string `json:"from"`
	Payee  string `json:"payee"`
	Amount string `json:"amount"`
	Note   string `json:"note,omitempty"`
}

// Letter is what a customer wrote to the bank, as it arrived.
type Letter struct {
	From, Sum string
	Bytes     int
}

// Bank keeps everything in memory. It reads requests as applications of its age do:
// the first of two fields counts, JSON keys in any case, and a header may name
// another method.
type Bank struct {
	mux http.ServeMux

	mu        sync.Mutex
	transfers []Transfer
	letters   []Letter
}

// New opens the bank.
func New() *Bank {
	b := new(Bank)
	b.mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, r *http.Request) { b.page(w, r, "home") })
	b.mux.HandleFunc("GET /transfer", func(w http.ResponseWriter, r *http.Request) { b.page(w, r, "transfer") })
	b.mux.HandleFunc("POST /transfer", b.transferForm)
	b.mux.HandleFunc("GET /letter", func(w http.ResponseWriter, r *http.Request) { b.page(w, r, "letter") })
	b.mux.HandleFunc("POST /letter", b.letter)
	b.mux.HandleFunc("GET /app", func(w http.ResponseWriter, r *http.Request) { b.page(w, r, "app") })
	b.mux.HandleFunc("POST /api/transfer", b.transferJSON)
	b.mux.HandleFunc("GET /security", func(w http.ResponseWriter, r *http.Request) { b.page(w, r, "security") })
	return b
}

// ServeHTTP answers a customer.
func (b *Bank) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if m := r.Header.Get("X-Http-Method-Override"); m != "" {
		r.Method = strings.ToUpper(m)
	}
	b.mux.ServeHTTP(w, r)
}

// customer is who the gateway says it is.
func customer(r *http.Request) string { return r.Header.Get("SM_USER") }

func (b *Bank) transferForm(w http.ResponseWriter, r *http.Request) {
	if err := r.ParseForm(); err != nil {
		http.Error(w, "This form cannot be read.", http.StatusBadRequest)
		return
	}
	b.make(Transfer{customer(r), r.PostFormValue("payee"), r.PostFormValue("amount"), r.PostFormValue("note")})
	b.page(w, r, "done")
}

func (b *Bank) transferJSON(w http.ResponseWriter, r *http.Request) {
	var t Transfer
	if err := json.NewDecoder(r.Body).Decode(&t); err != nil {
		http.Error(w, "This cannot be read.", http.StatusBadRequest)
		return
	}
	t.From = customer(r)
	b.make(t)
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(t)
}

func (b *Bank) letter(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(io.LimitReader(r.Body, 16<<20))
	if err != nil {
		http.Error(w, "This letter did not arrive.", http.StatusBadRequest)
		return
	}
	sum := sha256.Sum256(body)
	b.mu.Lock()
	b.letters = append(b.letters, Letter{customer(r), hex.EncodeToString(sum[:]), len(body)})
	b.mu.Unlock()
	b.page(w, r, "thanks")
}

func (b *Bank) make(t Transfer) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.transfers = append(b.transfers, t)
}

// Transfers are all that were made.
func (b *Bank) Transfers() []Transfer {
	b.mu.Lock()
	defer b.mu.Unlock()
	return append([]Transfer(nil), b.transfers...)
}

// Letters are all that arrived.
func (b *Bank) Letters() []Letter {
	b.mu.Lock()
	defer b.mu.Unlock()
	return append([]Letter(nil), b.letters...)
}

func (b *Bank) page(w http.ResponseWriter, r *http.Request, name string) {
	seen := struct {
		Page, Customer, Balance string
		Transfers               []Transfer
		Letters                 []Letter
	}{Page: name, Customer: customer(r), Balance: "12,340.50"}
	for _, t := range b.Transfers() {
		if t.From == seen.Customer {
			seen.Transfers = append(seen.Transfers, t)
		}
	}
	for _, l := range b.Letters() {
		if l.From == seen.Customer {
			seen.Letters = append(seen.Letters, l)
		}
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	if err := pages.Execute(w, seen); err != nil {
		fmt.Fprintln(w, "The page could not be shown.")
	}
}
