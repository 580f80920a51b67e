// Package fromoam is an example: an application that stood behind Oracle Access Manager.
package fromoam
