// Package kerberos walks browsers inside and outside of a domain.
package kerberos
