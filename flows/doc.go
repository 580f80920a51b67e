// Package flows is the ground floor: the words of the gateway and the engine
// that runs a flow. It knows no Caddy, no HTTP server and no third party.
//
// The dictionary. One word for one thing, in code, config, logs and pages:
//
//   - User: the person as the flow knows them; [UserKey] is the key of everything stored.
//   - Provider: who vouches for people (OIDC, local accounts, …).
//   - Evidence: one thing that was verified about a person: by whom, how, when.
//   - Proof: what a provider answers after verifying: a user, evidence, tokens.
//   - Flow: a configured list of steps; [Program] is a flow made ready to run.
//   - Step: one line of a flow. It returns an [Outcome], it never writes one.
//   - Outcome: Continue, Take, Ask, Redirect, Post or Deny.
//   - Execution: one run of one flow for one person: a value any node can continue.
//   - Finished: an Execution that reached its end; only the engine makes one.
//   - Session: what a finished Execution becomes (package session).
//   - Reading: what a Signal says about a request: a score and reasons.
//   - Factor: what can be asked for in addition; Directory: where more attributes are looked up.
//   - Messenger: how a code reaches a person.
//   - Dialect: the headers one kind of old system expects.
//   - Reason: the stable code a person and the audit see.
//   - Facts: what signals, policies and dialects may look at.
//   - Store: where bytes are kept; Vault: a guest's own sealed part of it.
package flows
