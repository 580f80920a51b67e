package module

import (
	"bytes"
	"fmt"
	"io"

	"github.com/sallyport-gateway/sallyport/flows"
)

// readBody lends conditions the request's body, up to 64 KiB, and puts it back
// for the application byte for byte. A longer one is an error, so that the
// condition denies (I22).
func (v *visit) readBody() ([]byte, error) {
	if v.bodyRead {
		return v.body, v.bodyErr
	}
	v.bodyRead = true
	b, err := io.ReadAll(io.LimitReader(v.r.Body, maxBody+1))
	v.r.Body = putBack{io.MultiReader(bytes.NewReader(b), v.r.Body), v.r.Body}
	switch {
	case err != nil:
		v.bodyErr = fmt.Errorf("reading the body: %w", err)
	case len(b) > maxBody:
		v.bodyErr = flows.Refuse(flows.ReasonTooLarge, fmt.Errorf("a condition reads the body, and it has more than %d bytes", maxBody))
	default:
		v.body = b
	}
	return v.body, v.bodyErr
}

type putBack struct {
	io.Reader
	io.Closer
}
