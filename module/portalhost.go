package module

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"slices"
	"strings"
	"sync"

	"github.com/caddyserver/caddy/v2"
	"go.uber.org/zap"
)

// PortalConfig names one host where all flows run, so that many applications need
// one redirect URI at their provider.
type PortalConfig struct {
	// URL is the portal's scheme and host: https, on loopback also http.
	URL string `json:"url"`
	// Origins are addresses of applications that get sessions besides the exact hosts
	// that the routes with `protect` name; sites for any host, or with a wildcard,
	// need theirs here.
	Origins []string `json:"origins,omitempty"`
}

// portalHost is what a PortalConfig becomes.
type portalHost struct {
	origin, host string
	// named are the origins written down, served finds those of the routes.
	named  []string
	served func() hostSet
}

// ParseOrigin makes scheme://host[:port] of an address as people write it, in the
// one spelling that origins are compared in. http is for loopback only.
func ParseOrigin(s string) (string, error) {
	u, err := url.Parse(s)
	switch {
	case err != nil || u.Host == "" || u.Opaque != "" || u.User != nil || u.RawQuery != "" || u.ForceQuery || u.Fragment != "" || u.Path != "" && u.Path != "/",
		u.Hostname() == "" || strings.ContainsAny(u.Host, "*{}%\\ _,;\"'"):
		return "", fmt.Errorf("'%s' is not an address such as https://auth.example.com, without a path", s)
	case u.Scheme != "https" && u.Scheme != "http":
		return "", fmt.Errorf("'%s' must begin with https://", s)
	case u.Scheme == "http" && !Loopback(u.Host):
		return "", fmt.Errorf("'%s' must be https; http is for loopback only", s)
	}
	return u.Scheme + "://" + canonicalHost(u.Host, u.Scheme), nil
}

// Check finds what contradicts in a portal's own lines; origins come in their one spelling.
func (c *PortalConfig) Check() (portal string, origins []string, err error) {
	if portal, err = ParseOrigin(c.URL); err != nil {
		return "", nil, err
	}
	for _, o := range c.Origins {
		o, err := ParseOrigin(o)
		switch {
		case err != nil:
			return "", nil, fmt.Errorf("origins: %w", err)
		case o == portal:
			return "", nil, fmt.Errorf("origins: %s is the portal itself", o)
		case slices.Contains(origins, o):
			return "", nil, fmt.Errorf("origins: %s is written twice", o)
		}
		origins = append(origins, o)
	}
	return portal, origins, nil
}

// ErrPortalAndDomain says which of the two ways to share a session is meant to stand.
var ErrPortalAndDomain = errors.New("portal and session { domain … } contradict each other: a portal gives each host a ticket of its own, domain gives all hosts the same one; write one of them")

func (a *App) provisionPortal(caddy.Context) error {
	if a.Portal == nil {
		return nil
	}
	origin, named, err := a.Portal.Check()
	if err != nil {
		return fmt.Errorf("portal: %w", err)
	}
	if a.Session.Domain != "" {
		return ErrPortalAndDomain
	}
	_, host, _ := strings.Cut(origin, "://")
	a.portal = &portalHost{origin: origin, host: host, named: named, served: sync.OnceValue(a.hostsServed)}
	return nil
}

// handsTo reports whether sessions may go to an origin: one that is written down,
// or an exact host of a route with protect, at an address where this server answers
// for it. Anything else might be somebody else's, on another port of the same host, too.
func (a *App) handsTo(origin string) bool {
	if a.portal == nil || origin == a.portal.origin {
		return false
	}
	if slices.Contains(a.portal.named, origin) {
		return true
	}
	scheme, host, ok := strings.Cut(origin, "://")
	if !ok || scheme != "https" && scheme != "http" || canonicalHost(host, scheme) != host {
		return false
	}
	if scheme == "http" && !Loopback(host) && !a.Session.InsecureHTTP {
		return false
	}
	return a.portal.served().has(scheme, host)
}

// warnPortal names what will not work: a portal that nothing answers for, and
// sites whose hosts nobody can list.
func (a *App) warnPortal() {
	if a.portal == nil {
		return
	}
	name, _, err := net.SplitHostPort(a.portal.host)
	if err != nil {
		name = a.portal.host
	}
	answers := false
	for _, srv := range a.servers() {
		answers = answers || proxies{named: srv.NamedRoutes}.leadTo(srv.Routes, ownAddress(srv, name))
	}
	if !answers {
		a.log.Warn("nobody can sign in: no site of this config answers for the portal; add one with `protect off`", zap.String("portal", a.portal.origin))
	}
	for _, site := range a.portal.served().open {
		if slices.ContainsFunc(a.portal.named, func(o string) bool { return mayBeOf(site, o) }) {
			continue
		}
		a.log.Warn("the portal hands sessions to exact hosts only: write the addresses of this site into portal { origins … }", zap.String("site", site))
	}
}

// mayBeOf reports whether an origin may be one of a site: of `*.parent` those below.
func mayBeOf(site, origin string) bool {
	parent, wild := strings.CutPrefix(site, "*.")
	u, err := url.Parse(origin)
	return !wild || err == nil && below(u.Hostname(), strings.ToLower(parent))
}
