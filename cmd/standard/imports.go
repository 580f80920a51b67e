// Package standard links every guest into a build. Adding a guest is adding its
// line here.
package standard

import (
	// The front door, which links the hall.
	_ "github.com/sallyport-gateway/sallyport/caddyfile"
	_ "github.com/sallyport-gateway/sallyport/module"

	// Rooms: identity providers.
	_ "github.com/sallyport-gateway/sallyport/adapters/idp/local"
	_ "github.com/sallyport-gateway/sallyport/adapters/idp/oidc"

	// Rooms: audit sinks.
	_ "github.com/sallyport-gateway/sallyport/adapters/audit/file"
	_ "github.com/sallyport-gateway/sallyport/adapters/audit/log"

	// Rooms: stores.
	_ "github.com/sallyport-gateway/sallyport/adapters/store/file"
	_ "github.com/sallyport-gateway/sallyport/adapters/store/memory"

	// Rooms: steps.
	_ "github.com/sallyport-gateway/sallyport/flows/steps/login"

	// Rooms: header dialects.
	_ "github.com/sallyport-gateway/sallyport/headers/remoteuser"
	_ "github.com/sallyport-gateway/sallyport/headers/siteminder"
	_ "github.com/sallyport-gateway/sallyport/headers/xforwarded"
)
