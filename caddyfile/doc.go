// Package caddyfile is the front door: the words an operator writes. It turns
// the global option `identity` into the JSON of the identity app, and the
// directive `protect` into two routes of the http app.
//
// Whatever needs no secret and no network is checked here, because only here an
// error can name its file and line.
package caddyfile
