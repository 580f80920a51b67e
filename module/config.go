package module

import (
	"encoding/json"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/sallyport-gateway/sallyport/flows"
	"github.com/sallyport-gateway/sallyport/headers"
)

// Config is the JSON of `apps.identity`.
type Config struct {
	// Who vouches for people, by name.
	ProvidersRaw map[string]json.RawMessage `json:"providers,omitempty" caddy:"namespace=identity.providers inline_key=type"`
	// The order providers are offered in; default: by name.
	ProviderOrder []string `json:"provider_order,omitempty"`
	// What can be asked for in addition to a login, by kind.
	FactorsRaw caddy.ModuleMap `json:"factors,omitempty" caddy:"namespace=identity.factors"`
	// Where more is known of people, by name.
	DirectoriesRaw map[string]json.RawMessage `json:"directories,omitempty" caddy:"namespace=identity.directories inline_key=type"`
	// How codes and notices reach people, by name.
	MessengersRaw map[string]json.RawMessage `json:"messengers,omitempty" caddy:"namespace=identity.messengers inline_key=type"`
	// What tells the usual from the unusual, by name.
	SignalsRaw map[string]json.RawMessage `json:"signals,omitempty" caddy:"namespace=identity.signals inline_key=type"`
	// Named conditions, by name.
	Policies map[string]*Policy `json:"policies,omitempty"`
	// Operators' own header dialects, by name.
	Dialects map[string]*headers.CustomConfig `json:"dialects,omitempty"`
	// Flows, by name.
	Flows map[string]*Flow `json:"flows,omitempty"`
	// Session limits and the cookie.
	Session *SessionConfig `json:"session,omitempty"`
	// Cluster keys: the first seals, all open. Placeholders are resolved when the
	// config is loaded. Default: one key, made once in Caddy's storage.
	Keys []string `json:"keys,omitempty"`
	// Where sessions are kept; default: file.
	StoreRaw json.RawMessage `json:"store,omitempty" caddy:"namespace=identity.stores inline_key=backend"`
	// One host where all flows run; default: each host runs its own.
	Portal *PortalConfig `json:"portal,omitempty"`
	// What the gateway's own pages look like.
	Pages *PagesConfig `json:"pages,omitempty"`
	// Correlation is the header in which applications get the id of each request, which
	// pages, trail and access log then show, too; default: requests have none.
	Correlation string `json:"correlation,omitempty"`
	// Where the trail is written; default: log.
	AuditRaw []json.RawMessage `json:"audit,omitempty" caddy:"namespace=identity.audit inline_key=sink"`
}

// Policy is a named condition. In JSON it may also be just the CEL text.
type Policy struct {
	CEL string `json:"cel"`
	// Source is the file and line it was written at.
	Source string `json:"source,omitempty"`
}

// UnmarshalJSON accepts a bare string, too.
func (p *Policy) UnmarshalJSON(b []byte) error {
	if len(b) > 0 && b[0] == '"' {
		return json.Unmarshal(b, &p.CEL)
	}
	type plain Policy
	return json.Unmarshal(b, (*plain)(p))
}

// Flow is a list of steps.
type Flow struct {
	// The events that start it, kinds of the trail; default: it is started by requests.
	On       []string          `json:"on,omitempty"`
	StepsRaw []json.RawMessage `json:"steps,omitempty" caddy:"namespace=identity.steps inline_key=step"`
	// Source is the file and line it was written at.
	Source string `json:"source,omitempty"`
}

// SessionConfig limits sessions. A zero duration means the default.
type SessionConfig struct {
	// Idle ends a session that was not used for this long; default 30m.
	Idle caddy.Duration `json:"idle,omitempty"`
	// Lifetime ends a session this long after login; default 12h.
	Lifetime caddy.Duration `json:"lifetime,omitempty"`
	// Cookie is the name after the prefix; default "sallyport".
	Cookie string `json:"cookie,omitempty"`
	// Domain shares the session with all hosts below it (and warns).
	Domain string `json:"domain,omitempty"`
	// InsecureHTTP allows plain http off loopback (and warns).
	InsecureHTTP bool `json:"insecure_http,omitempty"`
}

// PagesConfig changes the look of the gateway's own pages.
type PagesConfig struct {
	// Title stands above every page; default "Sign in".
	Title string `json:"title,omitempty"`
	// Logo is an image file (svg, png, jpeg, webp), read when the config is loaded.
	Logo string `json:"logo,omitempty"`
	// Accent is a CSS hex colour.
	Accent string `json:"accent,omitempty"`
	// Templates is a directory whose *.html files replace the embedded ones.
	Templates string `json:"templates,omitempty"`
	// Languages offered; default en.
	Languages []string `json:"languages,omitempty"`
}

// ProtectConfig is the JSON of the handler `protect`.
type ProtectConfig struct {
	// Base makes this only the base of a site: strip, cookies, strict paths, /.identity/*.
	Base bool `json:"base,omitempty"`
	// Off is written for `protect off`: base and nothing else.
	Off bool `json:"off,omitempty"`
	// Flow is the flow that a session must have finished.
	Flow string `json:"flow,omitempty"`
	// Rules hold together; their order never matters.
	Rules []*RuleConfig `json:"rules,omitempty"`
	// Headers the application gets: dialects and single headers.
	Headers []*HeaderConfig `json:"headers,omitempty"`
	// API are the programs that are taken beside people; default: none.
	API *APIConfig `json:"api,omitempty"`
	// Unauthenticated is auto, redirect or 401; default auto.
	Unauthenticated string `json:"unauthenticated,omitempty"`
	// PreservePost is how many bytes of a form wait for a login that its person needs
	// first; default 262144, at most 16777216, 0 for none.
	PreservePost *int64 `json:"preserve_post,omitempty"`
	// StrictPaths is on unless set to false.
	StrictPaths *bool `json:"strict_paths,omitempty"`
	// RemoteUser is the template of {http.auth.user.id}; default {user.name}.
	RemoteUser string `json:"remote_user,omitempty"`
	// Logout are the application's own logout addresses.
	Logout []*LogoutConfig `json:"logout,omitempty"`
	// OnLogout are addresses of the application that are told when a session ends
	// that was there.
	OnLogout []*CallOutConfig `json:"on_logout,omitempty"`
	// Session limits for this protect only.
	Session *RouteSessionConfig `json:"session,omitempty"`
	// How often the risk of a session that is used here is read anew, and at once when
	// its address or device is another; default: at its logins only.
	RiskEvery caddy.Duration `json:"risk_every,omitempty"`
	// URL is the public scheme and host when TLS ends in front of us.
	URL string `json:"url,omitempty"`
	// Source is the file and line it was written at.
	Source string `json:"source,omitempty"`
}

// RuleConfig is one public, optional, require or step_up line.
type RuleConfig struct {
	// Do is public, optional, require or step_up.
	Do string `json:"do"`
	// Match are Caddy matcher sets; none matches every request.
	MatchRaw caddyhttp.RawMatcherSets `json:"match,omitempty" caddy:"namespace=http.matchers"`
	// Policy or CEL is the condition of a require; of a step_up it says whether one is
	// asked for, and may be missing.
	Policy string `json:"policy,omitempty"`
	CEL    string `json:"cel,omitempty"`
	// Flow proves a step_up; default: any one of the configured factors.
	Flow string `json:"flow,omitempty"`
	// Within is how old the newest proof for a step_up may be; default: as old as the session.
	Within caddy.Duration `json:"within,omitempty"`
	// Once asks for an approval of each single request.
	Once bool `json:"once,omitempty"`
	// Show are form or JSON fields of the request that the person reads before they
	// approve it. They are put into the trail.
	Show []string `json:"show,omitempty"`
	// Text is shown to a person who is refused.
	Text string `json:"text,omitempty"`
	// Source is the file and line it was written at.
	Source string `json:"source,omitempty"`
}

// HeaderConfig is a dialect with its options, or one header of the operator's own.
type HeaderConfig struct {
	// DialectRaw is a dialect guest, inline key `dialect`.
	DialectRaw json.RawMessage `json:"dialect,omitempty" caddy:"namespace=identity.headers inline_key=name"`
	// Own is the name of an operator's own dialect, one of the app's `dialects`.
	Own string `json:"own,omitempty"`
	// Name is sent in exactly this case; Value is a template of {user.*} names.
	Name  string `json:"name,omitempty"`
	Value string `json:"value,omitempty"`
	flows.HeaderOptions
	// Source is the file and line it was written at.
	Source string `json:"source,omitempty"`
}

// LogoutConfig is an application's own logout address.
type LogoutConfig struct {
	MatchRaw caddyhttp.RawMatcherSets `json:"match,omitempty" caddy:"namespace=http.matchers"`
	// Pass lets the application answer first.
	Pass bool `json:"pass,omitempty"`
}

// CallOutConfig is an address that is told of the end of a session.
type CallOutConfig struct {
	// URL is posted to. Placeholders such as {env.SECRET} or {file./run/secrets/x} are
	// resolved when the config is loaded, and percent-encoded unless they stand first.
	URL string `json:"url"`
	// Source is the file and line it was written at.
	Source string `json:"source,omitempty"`
}

// RouteSessionConfig limits a session on one route; requests of this protect count only.
type RouteSessionConfig struct {
	Idle     caddy.Duration `json:"idle,omitempty"`
	Lifetime caddy.Duration `json:"lifetime,omitempty"`
	// PassiveRaw matches requests that are not activity, such as polling.
	PassiveRaw caddyhttp.RawMatcherSets `json:"passive,omitempty" caddy:"namespace=http.matchers"`
}
