package module

import (
	"crypto/tls"
	"crypto/x509"
	"sync/atomic"
	"time"

	"go.uber.org/zap"

	"github.com/sallyport-gateway/sallyport/flows"
	"github.com/sallyport-gateway/sallyport/module/session"
)

// A stream of a program has the credential it was opened with, and nobody brings another.
// When that is not believed any more it is shown again, as the next request would show
// it: the provider is asked, and the route's flow is run, once for all who show it then.

// The bounds of that: what many programs opened in one second is asked for by so many at
// a time, and who was not asked about for so long is cut without.
const (
	shownAtOnce = 16
	shownWithin = 10 * time.Second
)

// program is what a request showed, and who judges it.
type program struct {
	*taker
	cred flows.ClientCredential
}

// judgePrograms judges the streams of programs that are due, those of one credential
// behind each other: the first asks.
func (a *App) judgePrograms() {
	taken := Now()
	due := a.shared.clients.Due(taken, streamEvery)
	var next atomic.Int64
	for range min(len(due), shownAtOnce) {
		a.enter()
		go func() {
			defer a.leave()
			for i := next.Add(1) - 1; i < int64(len(due)); i = next.Add(1) - 1 {
				judgeInTime(a, due[i], taken)
			}
		}()
	}
}

func judgeInTime(a *App, due []session.Under, taken time.Time) {
	for _, u := range due {
		if Now().Sub(taken) > shownWithin {
			u.Cut()
		} else {
			judge(a, u)
		}
	}
}

// shownAgain reports whether the credential of a program's stream is good now, and takes
// what the flow made of it. What could not be told counts as no: a request is refused
// then, too, and the other streams of this credential need not ask.
func (v *visit) shownAgain(p *program) bool {
	if session.LiveOf(v.session).Ended() {
		return false
	}
	got, err := v.showing(p.taker, p.cred)
	if err == nil && got.Session == nil {
		err = got.Refusal
	}
	if err != nil {
		v.app.shared.clients.Drop(v.clientKey(p.taker, p.cred), Now())
		v.app.log.Info("a program's streams were cut: its credential is not believed any more", zap.String("session", v.session.ID()), zap.String("provider", p.provider.Name), zap.Error(err))
		return false
	}
	v.session, v.known = got.Session, nil
	return true
}

// connection is what is left of a request's TLS: who showed which certificate.
func connection(r *flows.Request) *tls.ConnectionState {
	if r.Certificate == nil {
		return nil
	}
	return &tls.ConnectionState{PeerCertificates: []*x509.Certificate{r.Certificate}, VerifiedChains: r.Chains}
}
