package module

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/sallyport-gateway/sallyport/flows"
)

// longSession is how long a session may last before somebody should look at it.
const longSession = 24 * time.Hour

// sessions finds sessions that last very long, and those over plain http.
func (l *lint) sessions() {
	s := l.a.Session
	long := func(d caddy.Duration, source string, place ...string) {
		if time.Duration(d) <= longSession {
			return
		}
		l.add(Finding{
			Code: "long_session", Severity: LintWarning, Source: source, Place: place, What: fmt.Sprintf("a session lasts %s", time.Duration(d)),
			Why: "Who finds the browser of somebody else, or steals its cookie, has that long; and what the provider decides meanwhile is not noticed unless it says so.",
			How: "Say a lifetime of a day at most; the provider signs people in again without asking them.",
		})
	}
	long(s.Lifetime, "", "session", "", "lifetime")
	for _, p := range l.raw.protects {
		if p.Session != nil {
			long(p.Session.Lifetime, p.Source)
		}
	}
	if s.InsecureHTTP {
		l.add(Finding{
			Code: "insecure_http", Severity: LintWarning, Place: []string{"session", "", "insecure_http"}, What: "sessions are allowed over plain http",
			Why: "Anybody on the network reads the cookie and is signed in.", How: "Let Caddy do TLS, or say `url https://…` where TLS ends before the gateway.",
		})
	}
}

// rules finds lines of protect that have no effect, and such that nobody gets past.
func (l *lint) rules() {
	for _, p := range l.raw.protects {
		for _, r := range p.Rules {
			switch r.Do {
			case "require":
				cond, err := l.a.policies.Condition(flows.ConditionRef{Policy: r.Policy, CEL: r.CEL, Source: r.Source})
				fixed, ok := cond.(flows.Constant)
				if err != nil || !ok {
					continue
				}
				if holds, constant := fixed.Constant(); constant {
					l.fixed(holds, r.Source)
				}
			case "public", "optional":
				if by := closing(p.Rules, r); by != nil {
					l.add(Finding{
						Code: "no_effect", Severity: LintWarning, Source: r.Source, What: fmt.Sprintf("this %s has no effect: the %s at %s holds for all of it", r.Do, by.Do, by.Source),
						Why: "The strictest line wins, so people must sign in here all the same.", How: "Narrow the other line, or take this one away.",
					})
				}
			}
		}
	}
}

// closing is a require or step_up that matches whatever r does; nil: none surely does.
func closing(rules []*RuleConfig, r *RuleConfig) *RuleConfig {
	for _, by := range rules {
		if by.Do != "require" && by.Do != "step_up" || by.Do == "step_up" && (by.CEL != "" || by.Policy != "") {
			continue
		}
		if len(by.MatchRaw) == 0 || covers(pathsOf(by.MatchRaw), pathsOf(r.MatchRaw)) {
			return by
		}
	}
	return nil
}

// pathsOf are the paths of matchers that look at nothing else; nil: they do.
func pathsOf(sets caddyhttp.RawMatcherSets) (paths []string) {
	for _, set := range sets {
		var some []string
		if len(set) != 1 || json.Unmarshal(set["path"], &some) != nil {
			return nil
		}
		paths = append(paths, some...)
	}
	return paths
}

// covers reports whether every path of the second list surely matches one of the first.
func covers(wide, narrow []string) bool {
	return len(narrow) > 0 && !slices.ContainsFunc(narrow, func(n string) bool {
		return !slices.ContainsFunc(wide, func(w string) bool {
			head, open := strings.CutSuffix(strings.ToLower(w), "*")
			n := strings.ToLower(n)
			return n == strings.ToLower(w) || open && !strings.ContainsAny(head, "*%") && strings.HasPrefix(n, head) && !strings.HasPrefix(n, "*")
		})
	})
}

// shadowed finds a protect that another one of its site always comes before.
func (l *lint) shadowed() {
	servers := l.a.servers()
	for _, name := range orderOf(nil, servers) {
		l.shadowedIn(proxies{named: servers[name].NamedRoutes}, servers[name].Routes)
	}
}

func (l *lint) shadowedIn(n proxies, routes caddyhttp.RouteList) {
	var before *Protect
	for _, r := range routes {
		for _, h := range r.Handlers {
			l.shadowedIn(n.inside(h), n.routesOf(h))
			gate, ok := h.(*Protect)
			if !ok || gate.Base || gate.Off {
				continue
			}
			if before == nil {
				if r.Group == "" && always(r.MatcherSets) {
					before = gate
				}
				continue
			}
			l.add(Finding{
				Code: "shadowed_protect", Severity: LintError, Source: gate.Source, What: "this protect is never asked: the one at " + before.Source + " matches every request and comes first",
				Why: "Of several in a site the first that matches decides; the rules and headers of this one never apply.", How: "Give the other one a matcher, or write both as one.",
			})
		}
	}
}

// always reports matchers that match every request.
func always(sets caddyhttp.MatcherSets) bool {
	return len(sets) == 0 || slices.ContainsFunc(sets, func(s caddyhttp.MatcherSet) bool { return len(s) == 0 })
}

// unreached finds sites where nobody can sign in.
func (l *lint) unreached() {
	for _, u := range l.a.unreached() {
		l.add(Finding{
			Code: "unreached_login", Severity: LintError, Source: u.at.Source, What: "nobody can sign in at " + u.site + ": no protect of the site answers for /.identity/",
			Why: "A protect inside handle or route covers that block only, so the login it leads to is not there.", How: "Add `protect off` to the site.",
		})
	}
}

// proxies finds applications that are reached past the gateway.
func (l *lint) proxies() {
	var all []proxied
	servers := l.a.servers()
	for _, name := range orderOf(nil, servers) {
		all = append(all, proxiesOf(servers[name])...)
	}
	for _, p := range all {
		if p.covered {
			continue
		}
		place := []string{"reverse_proxy", p.site, p.upstream}
		if gate := believed(all, p.upstream); gate != nil {
			l.add(Finding{
				Code: "header_not_stripped", Severity: LintError, Place: place,
				What: fmt.Sprintf("%s is reached without protect here, and the protect at %s tells it in headers who is signed in", p.upstream, gate.Source),
				Why:  "It believes these headers, and here they arrive as anybody sends them: anybody can be anybody.",
				How:  "Add protect here, or `protect off`, which strips the headers and asks for no login.",
			})
			continue
		}
		l.add(Finding{
			Code: "by_passed", Severity: LintWarning, Place: place, What: p.upstream + " is reached without protect here",
			Why: "Nobody is asked to sign in, and identity headers of clients are not stripped.", How: "Add protect, or `protect off` if everybody may use it.",
		})
	}
}

// believed is a protect that writes headers for an upstream; nil: none does.
func believed(all []proxied, upstream string) *Protect {
	for _, p := range all {
		if p.gate == nil || len(p.gate.Headers) == 0 {
			continue
		}
		for _, dial := range strings.Split(upstream, ", ") {
			if dial != "dynamic" && slices.Contains(strings.Split(p.upstream, ", "), dial) {
				return p.gate
			}
		}
	}
	return nil
}
