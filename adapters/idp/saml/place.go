package saml

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"time"

	"github.com/sallyport-gateway/sallyport/flows/outbound"
)

// stamp tells one state of a file from another.
type stamp struct {
	size int64
	at   time.Time
}

// read takes the document from its place. A file that could not be used is not
// read again before it changes.
func (s *source) read(ctx context.Context) (m *idp, saw stamp, err error) {
	defer outbound.Caught(&err)
	s.mu.Lock()
	client, now := s.client, s.now
	s.mu.Unlock()
	var doc []byte
	if isURL(s.place) {
		doc, err = download(ctx, client, s.place)
	} else {
		doc, saw, err = readFile(s.place)
	}
	if err != nil {
		return nil, saw, err
	}
	m, err = parseMetadata(doc, now())
	return m, saw, err
}

func download(ctx context.Context, c *http.Client, place string) ([]byte, error) {
	req, err := http.NewRequestWithContext(outbound.WithMaxBody(ctx, metadataBytes), http.MethodGet, place, nil)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Accept", "application/samlmetadata+xml, application/xml;q=0.9, text/xml;q=0.9, */*;q=0.1")
	resp, err := c.Do(req)
	if err != nil {
		return nil, errors.New(outbound.Short(err))
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("the server answered %s", outbound.Clip(resp.Status, 60))
	}
	return bounded(resp.Body)
}

func readFile(name string) ([]byte, stamp, error) {
	saw, err := stampOf(name)
	if err != nil {
		return nil, saw, err
	}
	f, err := os.Open(name)
	if err != nil {
		return nil, saw, err
	}
	defer func() { _ = f.Close() }()
	doc, err := bounded(f)
	return doc, saw, err
}

// stampOf refuses what is no plain file: reading a pipe would never end.
func stampOf(name string) (stamp, error) {
	fi, err := os.Stat(name)
	if err != nil {
		return stamp{}, err
	}
	if !fi.Mode().IsRegular() {
		return stamp{}, fmt.Errorf("%s is no file", name)
	}
	return stamp{fi.Size(), fi.ModTime()}, nil
}

func bounded(r io.Reader) ([]byte, error) {
	doc, err := io.ReadAll(io.LimitReader(r, metadataBytes+1))
	switch {
	case errors.Is(err, outbound.ErrTooLarge), err == nil && len(doc) > metadataBytes:
		return nil, fmt.Errorf("it is longer than %d bytes", metadataBytes)
	case err != nil:
		return nil, errors.New(outbound.Short(err))
	}
	return doc, nil
}

// changed reports whether the file is not the one that was read last. The
// caller holds mu.
func (s *source) changed() bool {
	if isURL(s.place) {
		return false
	}
	saw, err := stampOf(s.place)
	return err != nil || saw != s.seen
}

func isURL(place string) bool {
	u, err := url.Parse(place)
	return err == nil && (u.Scheme == "https" || u.Scheme == "http")
}
