package pages

import "github.com/sallyport-gateway/sallyport/flows"

// Key is what the browser is to do with a passkey or security key, and the
// sentences that its script shows when that does not work.
type Key struct {
	// Options are those of Web Authentication as JSON.
	Options             string
	Create, Conditional bool
	// Default: its button is what the page is about, also for the Enter key.
	Default bool
	// Off is shown where scripts are off.
	Off   string
	Fails []Fail
}

// Fail is a sentence that stays hidden until the script has a use for it.
type Fail struct{ Case, Text string }

// fails are the ends of an attempt that a person hears of, as the script names them.
var fails = []string{"failed", "known", "unsupported"}

func (c catalogue) key(w flows.Credential) *Key {
	k := &Key{Options: string(w.Options), Create: w.Create, Conditional: w.Conditional, Off: c["key.off"]}
	for _, name := range fails {
		k.Fails = append(k.Fails, Fail{Case: name, Text: c["key."+name]})
	}
	return k
}

func isCredential(w flows.Widget) bool {
	_, ok := w.(flows.Credential)
	return ok
}
