// Package passwordless is an example: people sign in with a passkey.
package passwordless
