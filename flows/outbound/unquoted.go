package outbound

import (
	"errors"
	"net/url"
)

// Unquoted is an error of http.Client without the address, which may hold a secret.
func Unquoted(err error) error {
	if u := new(url.Error); errors.As(err, &u) {
		return u.Err
	}
	return err
}
