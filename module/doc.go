// Package module is the hall: what Caddy sees. It holds the identity app, the
// protect handler, the portal under /.identity/ and the sessions. It alone has
// an http.ResponseWriter.
//
// Below it lie what needs nothing of the hall: module/session (cookies, the cache of
// sessions, streams), module/pages (all HTML, in all languages), module/vault (the
// sealed key spaces) and module/fields (the strict reading of a request's fields).
// The files of the hall itself, each named once:
//
// # The app
//
//   - config, app, life, shared: what an operator writes, what becomes of it, when it
//     begins and ends, and what survives a reload (cache, counters, keys).
//   - registry, programs: what a guest may reach, and the flows laid out of their steps.
//   - providers, directory, messenger, signal, factors, tries, dialect, keepers: the
//     guests of each kind, found by name, and what is kept for them of people.
//   - health, unreached, bypass, domain, attributes, quiet, widen: what is checked or
//     warned of when the app runs: providers that are down, sites and proxies that no
//     base guards, names that are misspelt.
//
// # A request that comes
//
//   - protect, visit, request, reading, rawpath: the handler; one request on its way,
//     cleaned, with its session found; whether it is a page's; how its path may be read.
//   - judge, assertion, response, correlation, streams: what the rules say of it; what is
//     shown to the application, and what comes back; requests that go on, judged again.
//   - vouch: whom the system in front of us says it is from.
//   - api, apibasic, apirun, apianswer, apistream: programs, which bring their proof with
//     each request.
//   - refresh, renew, renewed, standing: sessions asked for anew at their provider and in
//     the store, and those that could not be ended yet.
//   - review, risk, devices, browserid, profile: the risk of a session, and by what a
//     person and a browser are known again.
//   - rescue, strangers: a panic, and refusals of nobody in particular.
//
// # A person who signs in
//
//   - portal, portalhost, portalhosts, form, body, sidecookies: the addresses under
//     /.identity/, the one host that all flows may run on, what comes to them.
//   - login, run, flow, answer, pending, marks, handle: a login begins, runs, shows a page
//     or leads away, and is found again by what the browser and the provider bring.
//   - callback, crossing, arrival, federation, initiate, negotiate, probe: what comes back
//     from a provider, or begins there; which gate an address belongs to.
//   - finish, land, refuselogin, stale, names, holders: a session is made of a run, or is
//     not; where the person ends up; whose a name and a passkey are.
//   - returnto, hop, handover: where a return address may lead; to the portal and back.
//   - stepup, stepuprun, stepuppages, stepuptoken: proving again, over a session.
//   - prove, approval, approvalrequest: proving for one request, bound to its very bytes.
//   - held, later, resend: a request that waits while its person signs in.
//   - download, userinfo: what a page may ask for.
//
// # A session that ends
//
//   - logout, leave, cameback, applogout: a person leaves, here, at the provider, by the
//     application's own address.
//   - backchannel, frontchannel, slo, endclaimed: a provider says so.
//   - callout, callouts: applications are told.
//
// # The person's own page
//
//   - account, accountpage, accountflows, accountsteps, accountdeeds, accountfactors: what
//     is shown, and what can be changed, by flows that are built in.
//   - person, contacts, notices: all that is kept of somebody; where and how they are told.
//
// # The operator
//
//   - trail, trailfacts, events, subscribers, backlog: the trail, what of a decision goes
//     into it, and what an event starts.
//   - reports, reportqueue: signals hear what came of what they said.
//   - metrics, gauges, timedstore: what is counted.
//   - admin, adminsessions, adminusers, adminfactors, admindevices, admindisabled,
//     adminproviders, admindrills, adminexplain: the admin API.
//   - drill: an outage that is made up.
//   - explain, explaincase, explanation, explainvisit, explainperson, explainproof,
//     explainrun, explainforeseen, thinking, replay: what would happen to a request, without
//     anything happening; recorded decisions, made again.
//   - lint, lintflows, lintnames, lintsecrets, lintsites: what is allowed and still a mistake.
//   - flowgraph, flowdrawing: the flows, drawn.
package module
