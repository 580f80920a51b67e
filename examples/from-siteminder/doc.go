// Package fromsiteminder is an example: an application that stood behind SiteMinder.
package fromsiteminder
