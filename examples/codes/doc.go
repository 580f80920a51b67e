// Package codes walks codes by mail and text message, up to the first authenticator app.
package codes
