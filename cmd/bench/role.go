package main

import (
	"fmt"
	"net/http"
	"os"
	"strings"
	"time"

	caddycmd "github.com/caddyserver/caddy/v2/cmd"
	_ "github.com/caddyserver/caddy/v2/modules/standard" // what a stock Caddy has

	_ "github.com/sallyport-gateway/sallyport/cmd/standard" // what protect needs
)

// roleVariable makes this program one of its own children.
const roleVariable = "SALLYPORT_BENCH_ROLE"

// runRole plays the role that the environment names and reports whether it did.
func runRole() bool {
	switch os.Getenv(roleVariable) {
	case "upstream":
		upstream(os.Getenv("LISTEN"))
	case "proxy":
		os.Args = []string{"bench", "run", "--config", os.Getenv("CONFIG"), "--adapter", "caddyfile"}
		caddycmd.Main()
	default:
		return false
	}
	return true
}

var insistsOn = []string{"X-User", "X-Email", "X-Groups"}

// upstream is the application: without all three headers it answers 401, which
// ends the run.
func upstream(address string) {
	body := []byte(strings.Repeat("0123456789abcdef", 64))
	srv := &http.Server{Addr: address, ReadHeaderTimeout: 10 * time.Second}
	srv.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		for _, name := range insistsOn {
			if r.Header.Get(name) == "" {
				http.Error(w, name+" is missing", http.StatusUnauthorized)
				return
			}
		}
		w.Header().Set("Content-Type", "text/plain")
		_, _ = w.Write(body)
	})
	fmt.Fprintln(os.Stderr, srv.ListenAndServe())
	os.Exit(1)
}
