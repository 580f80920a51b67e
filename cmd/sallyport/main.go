// Command sallyport is Caddy with its standard modules and every guest of the
// gateway: `sallyport run`, `adapt`, `validate`, `reload`, `fmt`,
// `hash-password` and the rest are Caddy's own commands. `sallyport identity` asks
// a running gateway who is signed in, and `sallyport demo` shows the whole thing
// on loopback without any installation.
//
// The garbage collector: unless GOGC is set in the environment, this command
// runs with GOGC=400. A proxy's heap is small and short-lived; collecting it a
// quarter as often costs some 20 MiB and gives back about a tenth of the CPU.
package main

import (
	"os"
	"runtime/debug"
	_ "time/tzdata" // time zones where the system has none

	"github.com/caddyserver/caddy/v2"
	caddycmd "github.com/caddyserver/caddy/v2/cmd"
	_ "github.com/caddyserver/caddy/v2/modules/standard" // everything a stock Caddy has

	_ "github.com/sallyport-gateway/sallyport/cmd/identity" // sessions, revoke, release, providers
	_ "github.com/sallyport-gateway/sallyport/cmd/standard" // everything of ours
)

// defaultGOGC is used when the environment says nothing.
const defaultGOGC = 400

func main() {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(defaultGOGC)
	}
	caddy.CustomBinaryName = "sallyport"
	caddycmd.Main()
}
