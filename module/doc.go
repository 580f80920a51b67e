// Package module is the hall: what Caddy sees. It holds the identity app, the
// protect handler, the portal under /.identity/ and the sessions. It alone has
// an http.ResponseWriter.
package module
