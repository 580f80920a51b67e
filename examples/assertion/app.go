// Package assertion is an example: an application that believes nobody but a token
// which it verifies itself.
package assertion

import (
	"context"
	"fmt"
	"net/http"

	"github.com/coreos/go-oidc/v3/oidc"
)

// Payroll is the application. origin is its own address as browsers know it, where
// the gateway publishes its keys.
func Payroll(origin string) http.Handler {
	keys := oidc.NewRemoteKeySet(context.Background(), origin+"/.identity/jwks.json")
	verifier := oidc.NewVerifier(origin, keys, &oidc.Config{ClientID: "payroll", SupportedSigningAlgs: []string{oidc.ES256}})
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		token, err := verifier.Verify(r.Context(), r.Header.Get("X-Identity-Assertion"))
		if err != nil {
			http.Error(w, "who are you?", http.StatusUnauthorized)
			return
		}
		var who struct {
			Name     string
			Employee string
			Groups   []string
		}
		if err := token.Claims(&who); err != nil {
			http.Error(w, "who are you?", http.StatusUnauthorized)
			return
		}
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		_, _ = fmt.Fprintf(w, "%s is %s, employee %s, of %v\n", token.Subject, who.Name, who.Employee, who.Groups)
	})
}
