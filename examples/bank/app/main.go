// Command app runs the bank by itself, for whoever wants to try the example by hand.
package main

import (
	"log"
	"net/http"
	"os"
	"time"

	"github.com/sallyport-gateway/sallyport/examples/bank"
)

func main() {
	addr := os.Getenv("APP")
	if addr == "" {
		addr = "127.0.0.1:8090"
	}
	s := &http.Server{Addr: addr, Handler: bank.New(), ReadHeaderTimeout: 10 * time.Second}
	log.Printf("the bank is open at http://%s", addr)
	log.Fatal(s.ListenAndServe())
}
