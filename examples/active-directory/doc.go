// Package activedirectory walks a domain: passwords of its directory, and tickets of
// its computers.
package activedirectory
