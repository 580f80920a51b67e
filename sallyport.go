// Package sallyport links the whole gateway into a Caddy build: importing this
// path, as `xcaddy build --with github.com/sallyport-gateway/sallyport` writes
// it, registers the identity app, the protect directive and every guest.
package sallyport

import _ "github.com/sallyport-gateway/sallyport/cmd/standard" // registers every guest
