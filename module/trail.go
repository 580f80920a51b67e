package module

import (
	"context"
	"crypto/ed25519"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/caddyserver/caddy/v2"
	"go.uber.org/zap"

	"github.com/sallyport-gateway/sallyport/flows"
	"github.com/sallyport-gateway/sallyport/flows/audit"
	"github.com/sallyport-gateway/sallyport/module/vault"
)

func (a *App) provisionAudit(ctx caddy.Context) error {
	if len(a.AuditRaw) == 0 {
		a.AuditRaw = []json.RawMessage{json.RawMessage(`{"sink":"log"}`)}
	}
	mods, err := ctx.LoadModule(a, "AuditRaw")
	if err != nil {
		return fmt.Errorf("loading audit: %w", err)
	}
	var sinks []audit.Sink
	strict := false
	for _, m := range mods.([]any) {
		s, err := a.sink(m)
		if err != nil {
			return fmt.Errorf("loading audit: %w", err)
		}
		strict = strict || s.OnError != audit.Continue
		sinks = append(sinks, s)
	}
	if !strict {
		a.log.Warn("every place of the trail says on_error continue: people get in though nothing may be written anywhere")
	}
	a.trail = audit.NewTrail(func(err error) {
		a.shared.metrics.unwritten.Inc()
		a.log.Error("audit entry not written", zap.Error(err))
	}, sinks...)
	a.trail.Observe(a.count, a.shared.metrics.dropped.Inc)
	a.trail.Follow(a.followed)
	return nil
}

// sink makes a sink's guest ready.
func (a *App) sink(m any) (*audit.Optioned, error) {
	s, ok := m.(audit.Sink)
	if !ok {
		return nil, fmt.Errorf("%T is no audit sink", m)
	}
	setClock(m)
	if n, ok := m.(interface{ SetNotary(audit.Notary) }); ok {
		n.SetNotary(notary{a})
	}
	if b, ok := m.(flows.Binder); ok {
		if err := b.Bind(&registry{a: a, guest: "audit"}); err != nil {
			return nil, err
		}
	}
	out := &audit.Optioned{Sink: s, Tokens: a.maskToken}
	if o, ok := m.(interface{ Options() *audit.SinkOptions }); ok {
		out.SinkOptions = *o.Options()
	}
	return out, out.Check()
}

// followed hears of every event that took effect.
func (a *App) followed(e audit.Event) {
	a.started(e)
	a.emit(e)
}

// maskToken is what stands in the trail for a person or an address.
func (a *App) maskToken(ctx context.Context, c audit.Class, value string) (string, error) {
	k, err := a.keys.ring(ctx)
	if err != nil {
		return "", err
	}
	all, err := k.Hashes("audit mask", string(c)+"\x00"+value)
	if err != nil {
		return "", err
	}
	return all[0], nil
}

// notary signs the files of the trail with keys made of the cluster's, and remembers in
// the store how far it signed.
type notary struct{ a *App }

// Signer answers the key made of the cluster's first key.
func (n notary) Signer(ctx context.Context) (func([]byte) []byte, ed25519.PublicKey, error) {
	all, err := n.a.trailKeys(ctx)
	if err != nil {
		return nil, nil, err
	}
	return func(m []byte) []byte { return ed25519.Sign(all[0], m) }, all[0].Public().(ed25519.PublicKey), nil
}

func (a *App) trailKeys(ctx context.Context) ([]ed25519.PrivateKey, error) {
	k, err := a.keys.ring(ctx)
	if err != nil {
		return nil, err
	}
	seeds, err := k.Derive("audit checkpoint", ed25519.SeedSize)
	if err != nil {
		return nil, err
	}
	var all []ed25519.PrivateKey
	for _, s := range seeds {
		all = append(all, ed25519.NewKeyFromSeed(s))
	}
	return all, nil
}

const (
	// maxHeads bounds the chains that are remembered: one for each file of each node.
	maxHeads  = 256
	headsKey  = "heads"
	headLimit = 5 * time.Second
)

func (a *App) headsVault() *vault.Vault { return a.vault("hall/audit") }

// Keep remembers a head beside what goes on. If it is lost, the next one says as much.
func (n notary) Keep(h audit.Head) {
	n.a.enter()
	go func() {
		defer n.a.leave()
		ctx, cancel := context.WithTimeout(context.WithoutCancel(n.a.ctx), headLimit)
		defer cancel()
		n.a.aside("remembering the trail", func() {
			err := n.a.headsVault().Update(ctx, headsKey, func(old []byte) (flows.Change, error) { return withHead(old, h) })
			if err != nil {
				n.a.log.Debug("the end of the trail was not remembered", zap.Error(err))
			}
		})
	}()
}

// withHead adds a head, and forgets the chains that ended the longest ago.
func withHead(old []byte, h audit.Head) (flows.Change, error) {
	var all []audit.Head
	if old != nil {
		if err := json.Unmarshal(old, &all); err != nil {
			return flows.Keep(), fmt.Errorf("reading the ends of the trail: %w", err)
		}
	}
	if i := slices.IndexFunc(all, func(o audit.Head) bool { return o.Chain == h.Chain }); i >= 0 {
		if all[i].Seq >= h.Seq {
			return flows.Keep(), nil
		}
		all = slices.Delete(all, i, i+1)
	}
	all = append(all, h)
	b, err := json.Marshal(all[max(0, len(all)-maxHeads):])
	if err != nil {
		return flows.Keep(), err
	}
	return flows.Set(b, 0), nil
}

// adminTrail answers what verifies the files of the trail: the keys that sign them, and
// how far they were signed.
func (a *App) adminTrail(w http.ResponseWriter, r *http.Request) error {
	if err := a.adminAudit(r, audit.Event{}); err != nil {
		return err
	}
	keys, err := a.trailKeys(r.Context())
	if err != nil {
		return adminUnavailable(err)
	}
	answer := struct {
		Keys  []string     `json:"keys"`
		Heads []audit.Head `json:"heads"`
	}{Heads: []audit.Head{}}
	for _, k := range keys {
		answer.Keys = append(answer.Keys, base64.RawURLEncoding.EncodeToString(k.Public().(ed25519.PublicKey)))
	}
	kept, err := a.headsVault().Get(r.Context(), headsKey)
	switch {
	case err == nil:
		err = json.Unmarshal(kept, &answer.Heads)
	case errors.Is(err, flows.ErrNotFound):
		err = nil
	}
	if err != nil {
		return adminUnavailable(err)
	}
	return adminJSON(w, answer)
}
