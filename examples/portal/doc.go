// Package portal is an example: applications on different domains, one host where
// everybody signs in.
package portal
