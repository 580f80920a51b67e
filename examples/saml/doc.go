// Package saml is an example: a SAML identity provider vouches for people.
package saml
