// Package headers speaks to the application: it strips what a client may not
// say (Stripper, OwnCookies) and writes what the gateway says
// (Plan, Prebuilt). Guests that know the headers of one kind of old system are
// the folders below.
package headers
