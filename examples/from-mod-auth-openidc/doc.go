// Package frommodauthopenidc is an example: an application that stood behind mod_auth_openidc.
package frommodauthopenidc
