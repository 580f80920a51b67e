// Package contractor holds the Caddyfile of access for contractors, with terms.
package contractor
