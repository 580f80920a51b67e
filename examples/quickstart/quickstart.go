// Package quickstart holds the Caddyfile of the commonest job: one application,
// one OpenID provider, the old system's headers. `sallyport demo` runs it.
package quickstart

import _ "embed"

// Caddyfile is the file beside this one, word for word.
//
//go:embed Caddyfile
var Caddyfile []byte
