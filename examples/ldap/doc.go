// Package ldap walks a directory and its replica as the provider.
package ldap
