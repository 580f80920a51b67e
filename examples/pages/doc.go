// Package pages is an example: the gateway's own pages with a name and a colour,
// in a real browser.
package pages
