// Package risk is an example: a second factor where something is unusual.
package risk
