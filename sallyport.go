// Package sallyport links the whole gateway into a Caddy build: importing this
// path, as `xcaddy build --with github.com/sallyport-gateway/sallyport` writes
// it, registers the identity app, the protect directive, every guest and the
// command identity.
package sallyport

import (
	_ "github.com/sallyport-gateway/sallyport/cmd/identity" // registers the command
	_ "github.com/sallyport-gateway/sallyport/cmd/standard" // registers every guest
)
