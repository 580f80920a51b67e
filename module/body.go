package module

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"sync/atomic"
	"time"

	"github.com/sallyport-gateway/sallyport/flows"
)

// bodyPatience is how long a body of the gateway's own addresses may take, in
// nanoseconds: they are small, and who sends a byte a minute holds nothing (C12).
var bodyPatience atomic.Int64

func init() { bodyPatience.Store(int64(10 * time.Second)) }

// hurry bounds the reading of a body, also of one that nobody reads: net/http
// takes in what is left of it before it answers.
func (v *visit) hurry() {
	if v.r.ContentLength != 0 {
		_ = http.NewResponseController(v.w).SetReadDeadline(time.Now().Add(time.Duration(bodyPatience.Load())))
	}
}

// ownBody reads the body of one of the gateway's own addresses, of at most n bytes.
func (v *visit) ownBody(n int64) ([]byte, error) {
	b, err := io.ReadAll(http.MaxBytesReader(v.w, v.r.Body, n))
	if err == nil { // a deadline that passes later would end the request it came with
		_ = http.NewResponseController(v.w).SetReadDeadline(time.Time{})
	}
	return b, err
}

// wholeBody reads a request's body, of at most n bytes, and puts it back byte for byte:
// what conditions read, what is kept and what is approved. One that is longer is a
// Refusal, and can still be sent on; one that comes slower than our own addresses allow
// is an error (C12).
func (v *visit) wholeBody(n int64) ([]byte, error) {
	if v.r.ContentLength > n {
		return nil, tooLong(n)
	}
	c, patience := http.NewResponseController(v.w), time.Duration(bodyPatience.Load())*time.Duration(1+n/maxBody)
	_ = c.SetReadDeadline(time.Now().Add(patience))
	b, err := io.ReadAll(io.LimitReader(v.r.Body, n+1))
	v.r.Body = putBack{io.MultiReader(bytes.NewReader(b), v.r.Body), v.r.Body}
	if err != nil {
		return nil, fmt.Errorf("reading the body: %w", err)
	}
	_ = c.SetReadDeadline(time.Time{}) // a deadline that passes later would end the request it came with
	if int64(len(b)) > n {
		return nil, tooLong(n)
	}
	return b, nil
}

func tooLong(n int64) error {
	return flows.Refuse(flows.ReasonTooLarge, fmt.Errorf("the body has more than %d bytes", n))
}

// bodyStatus is the answer to a body that could not be taken.
func bodyStatus(err error) int {
	var long *http.MaxBytesError
	switch {
	case errors.As(err, &long):
		return http.StatusRequestEntityTooLarge
	case errors.Is(err, os.ErrDeadlineExceeded):
		return http.StatusRequestTimeout
	}
	return http.StatusBadRequest
}

// readBody lends conditions the request's body, up to 64 KiB. A longer one is an error,
// so that the condition denies (I22).
func (v *visit) readBody() ([]byte, error) {
	if v.body == nil {
		v.body = new(bodyRead)
		v.body.bytes, v.body.err = v.wholeBody(maxBody)
	}
	return v.body.bytes, v.body.err
}

// bodyRead is what conditions read of a request's body, once.
type bodyRead struct {
	bytes []byte
	err   error
	// approval is what lets this request through, once (I20).
	approval *approval
}

type putBack struct {
	io.Reader
	io.Closer
}
