// Package standard links every guest into a build. Adding a guest is adding its
// line here.
package standard

import (
	// The front door, which links the hall.
	_ "github.com/sallyport-gateway/sallyport/caddyfile"
	_ "github.com/sallyport-gateway/sallyport/module"

	// Rooms: identity providers.
	_ "github.com/sallyport-gateway/sallyport/adapters/idp/bearer"
	_ "github.com/sallyport-gateway/sallyport/adapters/idp/certificate"
	_ "github.com/sallyport-gateway/sallyport/adapters/idp/header"
	_ "github.com/sallyport-gateway/sallyport/adapters/idp/kerberos"
	_ "github.com/sallyport-gateway/sallyport/adapters/idp/ldap"
	_ "github.com/sallyport-gateway/sallyport/adapters/idp/local"
	_ "github.com/sallyport-gateway/sallyport/adapters/idp/oidc"
	_ "github.com/sallyport-gateway/sallyport/adapters/idp/saml"

	// Rooms: factors.
	_ "github.com/sallyport-gateway/sallyport/adapters/factor/code"
	_ "github.com/sallyport-gateway/sallyport/adapters/factor/recovery"
	_ "github.com/sallyport-gateway/sallyport/adapters/factor/totp"
	_ "github.com/sallyport-gateway/sallyport/adapters/factor/webauthn"

	// Rooms: directories.
	_ "github.com/sallyport-gateway/sallyport/adapters/directory/http"
	_ "github.com/sallyport-gateway/sallyport/adapters/directory/ldap"
	_ "github.com/sallyport-gateway/sallyport/adapters/directory/sql"

	// Rooms: messengers.
	_ "github.com/sallyport-gateway/sallyport/adapters/messenger/http"
	_ "github.com/sallyport-gateway/sallyport/adapters/messenger/log"
	_ "github.com/sallyport-gateway/sallyport/adapters/messenger/smtp"
	_ "github.com/sallyport-gateway/sallyport/adapters/signal/device"

	// Rooms: signals.
	_ "github.com/sallyport-gateway/sallyport/adapters/signal/geo"
	_ "github.com/sallyport-gateway/sallyport/adapters/signal/header"
	_ "github.com/sallyport-gateway/sallyport/adapters/signal/hours"
	_ "github.com/sallyport-gateway/sallyport/adapters/signal/http"
	_ "github.com/sallyport-gateway/sallyport/adapters/signal/network"
	_ "github.com/sallyport-gateway/sallyport/adapters/signal/travel"
	_ "github.com/sallyport-gateway/sallyport/adapters/signal/velocity"

	// Rooms: stores.
	_ "github.com/sallyport-gateway/sallyport/adapters/store/file"
	_ "github.com/sallyport-gateway/sallyport/adapters/store/memory"

	// Rooms: audit sinks.
	_ "github.com/sallyport-gateway/sallyport/adapters/audit/file"
	_ "github.com/sallyport-gateway/sallyport/adapters/audit/log"
	_ "github.com/sallyport-gateway/sallyport/adapters/audit/syslog"
	_ "github.com/sallyport-gateway/sallyport/adapters/audit/webhook"

	// Rooms: steps.
	_ "github.com/sallyport-gateway/sallyport/flows/steps/call"
	_ "github.com/sallyport-gateway/sallyport/flows/steps/choose"
	_ "github.com/sallyport-gateway/sallyport/flows/steps/consent"
	_ "github.com/sallyport-gateway/sallyport/flows/steps/deny"
	_ "github.com/sallyport-gateway/sallyport/flows/steps/form"
	_ "github.com/sallyport-gateway/sallyport/flows/steps/login"
	_ "github.com/sallyport-gateway/sallyport/flows/steps/lookup"
	_ "github.com/sallyport-gateway/sallyport/flows/steps/mfa"
	_ "github.com/sallyport-gateway/sallyport/flows/steps/notify"
	_ "github.com/sallyport-gateway/sallyport/flows/steps/register"
	_ "github.com/sallyport-gateway/sallyport/flows/steps/require"
	_ "github.com/sallyport-gateway/sallyport/flows/steps/risk"
	_ "github.com/sallyport-gateway/sallyport/flows/steps/set"
	_ "github.com/sallyport-gateway/sallyport/flows/steps/use"
	_ "github.com/sallyport-gateway/sallyport/flows/steps/when"

	// Rooms: header dialects.
	_ "github.com/sallyport-gateway/sallyport/headers/alb"
	_ "github.com/sallyport-gateway/sallyport/headers/assertion"
	_ "github.com/sallyport-gateway/sallyport/headers/cfaccess"
	_ "github.com/sallyport-gateway/sallyport/headers/f5"
	_ "github.com/sallyport-gateway/sallyport/headers/iap"
	_ "github.com/sallyport-gateway/sallyport/headers/mellon"
	_ "github.com/sallyport-gateway/sallyport/headers/oam"
	_ "github.com/sallyport-gateway/sallyport/headers/oktaag"
	_ "github.com/sallyport-gateway/sallyport/headers/openam"
	_ "github.com/sallyport-gateway/sallyport/headers/remoteuser"
	_ "github.com/sallyport-gateway/sallyport/headers/shibboleth"
	_ "github.com/sallyport-gateway/sallyport/headers/siteminder"
	_ "github.com/sallyport-gateway/sallyport/headers/webseal"
	_ "github.com/sallyport-gateway/sallyport/headers/xforwarded"
)
