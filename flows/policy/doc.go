// Package policy compiles conditions (CEL) and decides requests. Everything is
// compiled when the config is loaded; at run time an error never grants (I22).
//
// # What a condition may read
//
//   - user.<attribute>: missing is an error, has(user.x) tells. Reserved: key, realm, provider,
//     subject, name, display_name, email (strings), groups (list of strings, also empty), claims (map).
//     Names that are no CEL identifiers: user["x-y"].
//   - auth.amr (list), auth.acr, auth.method, auth.provider (strings), auth.fallback (bool), auth.age
//     (duration since the newest proof; none: ten years), auth.factor_age["totp"] (duration; absent: ten years).
//   - risk.score (int), risk.level ("low", "medium", "high"), risk.reasons (list): only behind a risk step.
//   - device.known, device.trusted (bool); geo.country, geo.city (string), geo.asn (int); unknown: false, "", 0.
//   - request.method, request.host (without a port), request.path, request.ip (strings);
//     request.header["user-agent"] (names in lower case, lines joined by ", "); request.query and
//     request.form (name to string; a name that occurs twice is an error, because an application may read
//     the other one); request.json.
//   - session.age (duration), now (timestamp), policy.<name> or policy["na-me"] (bool).
//
// Functions: CEL's own, the string extensions (lowerAscii, split, replace …) and the network ones
// (cidr("10.0.0.0/8").containsIP(request.ip)).
package policy
