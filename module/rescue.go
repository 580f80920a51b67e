package module

import (
	"fmt"
	"net/http"
	"runtime/debug"

	"go.uber.org/zap"

	"github.com/sallyport-gateway/sallyport/flows"
	"github.com/sallyport-gateway/sallyport/flows/audit"
)

// rescue ends a request in which a guest panicked: nothing is let through or
// granted, the person sees a page with an id that finds the one log line, and
// the process lives (C15). A panic of the handlers behind us is theirs and goes
// on; so does http.ErrAbortHandler, which means: say nothing.
func (v *visit) rescue() {
	p := recover()
	if p == nil {
		return
	}
	if !v.answering || p == http.ErrAbortHandler { //nolint:errorlint // the very value, as net/http compares it
		panic(p)
	}
	v.app.shared.metrics.panics.Inc()
	e := v.event(audit.Denied)
	e.Reason, e.Detail = flows.ReasonInternal, "panic"
	v.app.trail.Note(e)
	v.app.logPanic("panic in a request, refused", p, zap.String("id", e.ID), zap.String("method", v.r.Method),
		zap.String("host", v.place.host), zap.String("path", v.r.URL.Path))
	h := v.w.Header()
	for _, name := range []string{"Set-Cookie", "Location", "Content-Length", "Content-Encoding", "Etag"} {
		delete(h, name) // what was about to be granted is not
	}
	v.showError(http.StatusInternalServerError, flows.ReasonInternal, "", e.ID)
}

// aside runs what belongs to no request: nobody else would catch its panic, and
// it would end the process.
func (a *App) aside(what string, f func()) {
	_ = a.safely(what, func() error { f(); return nil }) // logged
}

// safely is aside for who waits for what came of it.
func (a *App) safely(what string, f func() error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			a.shared.metrics.panics.Inc()
			a.logPanic("panic in the background", p, zap.String("in", what))
			err = flows.Refuse(flows.ReasonInternal, fmt.Errorf("panic in %s", what))
		}
	}()
	return f()
}

// logPanic writes one line. The stack's arguments are addresses, no values.
func (a *App) logPanic(msg string, p any, fields ...zap.Field) {
	text := fmt.Sprint(p)
	if len(text) > 300 {
		text = text[:300] + "…"
	}
	a.log.Error(msg, append(fields, zap.String("panic", text), zap.ByteString("stack", debug.Stack()))...)
}
