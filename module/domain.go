package module

import (
	"slices"
	"strings"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"go.uber.org/zap"
)

// warnDomain says that the session's domain is above none of the hosts that have
// protect: then its cookie reaches no host, and nothing is shared.
func (a *App) warnDomain() {
	if a.Session.Domain == "" {
		return
	}
	var hosts []string
	for _, srv := range a.servers() {
		n := proxies{named: srv.NamedRoutes}
		for _, r := range srv.Routes {
			if n.gateIn(caddyhttp.RouteList{r}) == nil {
				continue
			}
			site := hostsOf(r)
			if site == "" {
				return // any host may come
			}
			hosts = append(hosts, strings.Split(strings.ToLower(site), ", ")...)
		}
	}
	if len(hosts) == 0 || slices.ContainsFunc(hosts, func(h string) bool {
		return h == a.Session.Domain || strings.HasSuffix(h, "."+a.Session.Domain)
	}) {
		return
	}
	a.log.Warn("below the session's domain there is no host with protect: nobody's session is shared",
		zap.String("domain", a.Session.Domain), zap.String("hosts", strings.Join(hosts, ", ")))
}
