// Package workforce is an example: staff get in while their provider is down.
package workforce
