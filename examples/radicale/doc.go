// Package radicale is an example: a calendar server that believes X-Remote-User.
package radicale
