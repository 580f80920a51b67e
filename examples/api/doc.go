// Package api walks programs that come in beside people: by tokens and by a password.
package api
