// Package fromoauth2proxy is an example: an application that stood behind oauth2-proxy.
package fromoauth2proxy
