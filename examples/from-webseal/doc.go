// Package fromwebseal is an example: an application that stood behind WebSEAL.
package fromwebseal
