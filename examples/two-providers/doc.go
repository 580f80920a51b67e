// Package twoproviders is an example: two companies, one application.
package twoproviders
