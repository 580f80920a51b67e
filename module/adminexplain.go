package module

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"

	"github.com/sallyport-gateway/sallyport/flows"
	"github.com/sallyport-gateway/sallyport/flows/audit"
)

// maxCase bounds what is posted: a body that conditions read has at most 64 KiB.
const maxCase = 256 << 10

// adminExplain explains what would happen to a request. The call itself is an event of
// the trail; besides that nothing is written (I26).
func (a *App) adminExplain(w http.ResponseWriter, r *http.Request) error {
	var c ExplainCase
	d := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxCase))
	d.DisallowUnknownFields()
	err := d.Decode(&c)
	if err == nil {
		if _, more := d.Token(); !errors.Is(more, io.EOF) {
			err = errors.New("something follows the case")
		}
	}
	if err != nil {
		return badRequest(fmt.Errorf("reading the case: %w", err))
	}
	var user flows.UserKey
	if c.User != nil {
		user = c.User.Key
	}
	if err := a.adminAudit(r, audit.Event{User: user, Session: c.Session}); err != nil {
		return err
	}
	out, err := a.Explain(r.Context(), c)
	switch {
	case errors.Is(err, flows.ErrUnavailable):
		return adminUnavailable(err)
	case err != nil:
		return badRequest(err)
	}
	return adminJSON(w, out)
}
