package module

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/caddyserver/caddy/v2"
	"go.uber.org/zap"

	"github.com/sallyport-gateway/sallyport/flows"
	"github.com/sallyport-gateway/sallyport/flows/audit"
	"github.com/sallyport-gateway/sallyport/flows/policy"
	flowsession "github.com/sallyport-gateway/sallyport/flows/session"
	"github.com/sallyport-gateway/sallyport/flows/signing"
	"github.com/sallyport-gateway/sallyport/headers"
	"github.com/sallyport-gateway/sallyport/module/pages"
)

func init() { caddy.RegisterModule(App{}) }

// App is the identity app: it owns the providers, flows, policies, the store,
// the sessions and the trail that all protect handlers share.
type App struct {
	Config

	*state
}

// state is what an App becomes; apart, because CaddyModule needs a value receiver.
type state struct {
	ctx       caddy.Context
	log       *zap.Logger
	strangers *zap.Logger
	providers []*flows.Provider
	raw       map[string]string // config of what a digest may reach, by "kind:name"
	steps     map[string][]flows.Step
	programs  map[string]*flows.Program
	// builtIn are the flows of the account page.
	builtIn map[string]*flows.Program
	// anyFactor is the flow of a step_up that names none; nil: no factor could be asked for.
	anyFactor *flows.Program
	factors   map[string]flows.Factor
	events    events
	passkeys  bool // a factor says who people are, too
	// readsDevice: some condition asks whether a device is known.
	readsDevice bool
	// subscribers hear of the trail's events.
	subscribers subscribers
	// signals tell the usual from the unusual, by name.
	signals map[string]flows.Signal
	// reporters are those of them that are told what came of logins.
	reporters map[string]flows.Reporter
	reports   reports
	// locate answers where an address is; nil: no signal knows places.
	locate func(ip string) flows.Place
	// directories are where more is known of people, by name.
	directories map[string]flows.Directory
	// messengers are how people are reached, by name.
	messengers map[string]flows.Messenger
	// notices are on their way to people.
	notices  notices
	policies *policy.Env
	dialects map[string]*headers.Custom
	read     map[string][]string // attributes that the configuration reads, and where
	store    flows.Store
	sessions *flowsession.Manager
	names    names
	shared   lent
	renewals renewals
	held     bool
	// retained lets go of the store once the last request is done.
	retained func()
	trail    *audit.Trail
	pages    *pages.Set
	limits   flowsession.Limits
	keys     keyLoader
	portal   *portalHost
	signing  signing.Keys

	owned   []string // header names of all handlers; complete after the last Provision
	ownedMu sync.Mutex
	// publishers have documents of the keys that verify; guarded by ownedMu.
	publishers []flows.KeyPublisher
	// ruleTexts are the conditions of rules; guarded by ownedMu. mentioned are the
	// attributes that any condition names, once all are there.
	ruleTexts []string
	mentioned func() []string
	// leftCookies are those that old systems left in browsers; guarded by ownedMu.
	leftCookies []string
	callOuts    callOuts
	// verifiers say of each request who it is from; captures are the headers they read.
	verifiers []verifier
	captures  *headers.Stripper
	// checks are the providers that a fallback stands in for, by name.
	checks   map[string]*check
	stripper func() *headers.Stripper
	inFlight atomic.Int64
	closing  atomic.Bool
	closed   sync.Once
	stop     context.CancelFunc
}

// CaddyModule returns the Caddy module information.
func (App) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "identity", New: func() caddy.Module { return new(App) }}
}

// Provision makes everything ready to serve: http servers may accept before
// Start. It touches neither the network nor anything exclusive (I17).
func (a *App) Provision(ctx caddy.Context) error {
	a.state = &state{ctx: ctx, log: ctx.Logger(), raw: map[string]string{}, steps: map[string][]flows.Step{}, programs: map[string]*flows.Program{}}
	a.strangers = quietly(a.log)
	a.mentioned = sync.OnceValue(a.inConditions)
	a.stripper = sync.OnceValue(func() *headers.Stripper {
		a.ownedMu.Lock()
		defer a.ownedMu.Unlock()
		return headers.NewStripper(append(slices.Clone(a.owned), otherAddresses...))
	})
	for _, f := range []func(caddy.Context) error{
		a.provisionShared, a.provisionMetrics, a.provisionCorrelation, a.provisionSubscribers, a.provisionSession, a.provisionPortal, a.provisionPages, a.provisionAudit, a.provisionStore,
		a.provisionProviders, a.provisionVerifiers, a.provisionDirectories, a.provisionMessengers, a.provisionSignals, a.provisionFactors, a.provisionPolicies, a.provisionDialects, a.provisionFlows, a.provisionAccount,
	} {
		if err := f(ctx); err != nil {
			return err
		}
	}
	return nil
}

func (a *App) provisionSession(caddy.Context) error {
	if a.Session == nil {
		a.Session = new(SessionConfig)
	}
	s := a.Session
	a.limits = flowsession.Limits{Idle: 30 * time.Minute, Lifetime: 12 * time.Hour}
	if s.Idle < 0 || s.Lifetime < 0 {
		return errors.New("session: idle and lifetime must be positive")
	}
	if s.Idle > 0 {
		a.limits.Idle = time.Duration(s.Idle)
	}
	if s.Lifetime > 0 {
		a.limits.Lifetime = time.Duration(s.Lifetime)
	}
	if s.Cookie == "" {
		s.Cookie = "sallyport"
	}
	if strings.ContainsFunc(s.Cookie, func(r rune) bool { return r <= ' ' || r > '~' || strings.ContainsRune("()<>@,;:\\\"/[]?={}.", r) }) {
		return fmt.Errorf("session: cookie %q is no valid cookie name", s.Cookie)
	}
	if s.Domain = strings.ToLower(strings.TrimPrefix(s.Domain, ".")); s.Domain != "" {
		if net.ParseIP(s.Domain) != nil {
			return fmt.Errorf("session: domain %s is an address; browsers share cookies below names only", s.Domain)
		}
		a.log.Warn("every host below the session's domain can read and replace the session cookie; a portal keeps them apart", zap.String("domain", s.Domain))
	}
	if s.InsecureHTTP {
		a.log.Warn("sessions are allowed over plain http: anybody on the network can take them over")
	}
	return nil
}

func (a *App) provisionPages(caddy.Context) error {
	if a.Pages == nil {
		a.Pages = new(PagesConfig)
	}
	p, err := pages.New(pages.Options{
		Title: a.Pages.Title, Logo: a.Pages.Logo, Accent: a.Pages.Accent,
		Templates: a.Pages.Templates, Languages: a.Pages.Languages,
	})
	if err != nil {
		return fmt.Errorf("pages: %w", err)
	}
	a.pages = p
	return nil
}

func (a *App) provisionStore(ctx caddy.Context) error {
	if a.StoreRaw == nil {
		a.StoreRaw = json.RawMessage(`{"backend":"file"}`)
	}
	where := string(a.StoreRaw)
	m, err := ctx.LoadModule(a, "StoreRaw")
	if err != nil {
		return fmt.Errorf("loading store: %w", err)
	}
	s, ok := m.(flows.Store)
	if !ok {
		return fmt.Errorf("loading store: %T is no store", m)
	}
	setClock(m)
	a.store = timedStore{s, a.shared.metrics.store}
	if r, ok := m.(interface{ Retain() func() }); ok {
		a.retained = r.Retain()
	}
	if err := a.provisionKeys(ctx); err != nil {
		return err
	}
	a.signing.Vault, a.signing.Now = a.vault("headers/signing keys"), Now
	a.names = names{a.vault("hall/names")}
	a.sessions = &flowsession.Manager{Store: a.store, Keys: a.keys.ring, Now: Now, Longest: a.limits.Lifetime}
	return a.shared.useCache(where)
}

// orderOf lists the names in the order given, the others behind them by name.
func orderOf[V any](order []string, all map[string]V) []string {
	var out []string
	for _, n := range order {
		if _, ok := all[n]; ok && !slices.Contains(out, n) {
			out = append(out, n)
		}
	}
	var rest []string
	for n := range all {
		if !slices.Contains(out, n) {
			rest = append(rest, n)
		}
	}
	slices.Sort(rest)
	return append(out, rest...)
}

func (a *App) provisionPolicies(caddy.Context) error {
	src := map[string]policy.Source{}
	for name, p := range a.Policies {
		if !flows.ValidName(name) {
			return fmt.Errorf("policy %q: a name must match [a-z0-9_-]+", name)
		}
		a.raw["policy:"+name] = p.CEL
		src[name] = policy.Source{CEL: p.CEL, Source: p.Source}
	}
	env, err := policy.New(src)
	if err != nil {
		return err
	}
	a.policies = env
	for _, name := range orderOf(nil, a.Policies) {
		cond, err := env.Condition(flows.ConditionRef{Policy: name})
		if err != nil {
			return err
		}
		a.readsAttributes(cond.Source(), cond.Reads())
	}
	return nil
}

var (
	_ caddy.App          = (*App)(nil)
	_ caddy.Provisioner  = (*App)(nil)
	_ caddy.CleanerUpper = (*App)(nil)
)
