package oidctest

import (
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"io"
	"maps"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// Mode changes one thing of a well-behaved provider. Nil functions change nothing.
type Mode struct {
	// Discovery changes the discovery document.
	Discovery func(op *OP, doc map[string]any)
	// Answer changes the parameters sent back to the client.
	Answer func(op *OP, q url.Values)
	// Mint changes the ID token before it is signed.
	Mint func(op *OP, t *Token)
	// Tokens changes the answer of the token endpoint.
	Tokens func(op *OP, answer map[string]any)
	// Info changes the answer of UserInfo.
	Info func(op *OP, claims map[string]any)
	// End changes the parameters sent back after a logout.
	End func(op *OP, q url.Values)
	// Serve answers in the place of an endpoint: discovery, keys, authorize, token,
	// userinfo, end. It returns false for the usual answer.
	Serve func(op *OP, endpoint string, w http.ResponseWriter, r *http.Request) bool
}

// Modes are the attacks and faults by the name of the case they play.
var Modes = map[string]Mode{
	// What is bound to this one login.
	"bad-nonce":     claim("nonce", "AAAAAAAAAAAAAAAAAAAAAAAAAA"),
	"missing-nonce": without("nonce"),
	"empty-nonce":   claim("nonce", ""),
	"nonce-list":    claim("nonce", []string{"a"}),

	// Signatures.
	"alg-none":           alg("none"),
	"alg-None":           alg("None"),
	"alg-nOnE":           alg("nOnE"),
	"alg-empty":          alg(""),
	"alg-missing":        {Mint: func(_ *OP, t *Token) { delete(t.Header, "alg") }},
	"alg-unknown":        alg("RS257"),
	"alg-es256-rsa-key":  alg("ES256"),
	"alg-rs1":            alg("RS1"),
	"stripped-signature": {Mint: func(_ *OP, t *Token) { t.After = func(s string) string { return s[:strings.LastIndex(s, ".")+1] } }},
	"bad-signature":      {Mint: func(_ *OP, t *Token) { t.After = spoil }},
	"wrong-key":          {Mint: func(_ *OP, t *Token) { t.Key = &Key{ID: t.Key.ID, Alg: "RS256", Private: otherRSA(t.Key)} }},
	"unknown-kid":        {Mint: func(_ *OP, t *Token) { t.Key = newKey("ES256"); t.Header["kid"], t.Header["alg"] = t.Key.ID, "ES256" }},
	"hs256-pem":          {Mint: func(_ *OP, t *Token) { symmetric(t, publicPEM(t.Key)) }},
	"hs256-jwk-n":        {Mint: func(_ *OP, t *Token) { symmetric(t, []byte(text(t.Key.JWK()["n"]))) }},
	"hs256-client-secret": {Mint: func(op *OP, t *Token) {
		symmetric(t, []byte(op.ClientSecret))
	}},
	"kid-path": header("kid", "../../../../dev/null"),
	"kid-sql":  header("kid", "x' UNION SELECT 'key"),
	"kid-url":  {Mint: func(op *OP, t *Token) { t.Header["kid"] = op.Issuer + "/evil-keys" }},
	"jwk-header": {Mint: func(_ *OP, t *Token) {
		t.Key = newKey("ES256")
		t.Header = map[string]any{"typ": "JWT", "alg": "ES256", "jwk": t.Key.JWK()}
	}},
	"jku-header":     {Mint: func(op *OP, t *Token) { foreign(t, "jku", op.Issuer+"/evil-keys") }},
	"x5u-header":     {Mint: func(op *OP, t *Token) { foreign(t, "x5u", op.Issuer+"/evil-keys") }},
	"x5c-header":     {Mint: func(_ *OP, t *Token) { foreign(t, "x5c", []string{"AAAA"}) }},
	"crit-unknown":   header("crit", []string{"exp"}),
	"jwe":            {Tokens: func(_ *OP, a map[string]any) { a["id_token"] = jwe }},
	"jws-json":       {Tokens: func(_ *OP, a map[string]any) { a["id_token"] = jwsJSON(text(a["id_token"])) }},
	"jwks-empty":     keysAnswer(`{"keys":[]}`),
	"jwks-oct":       keysAnswer(`{"keys":[{"kty":"oct","k":"c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0","kid":"1"}]}`),
	"jwks-weak-rsa":  keysAnswer(`{"keys":[{"kty":"RSA","n":"` + weakN + `","e":"AQAB","kid":"1"}]}`),
	"jwks-html":      keysAnswer(`<html>`),
	"jwks-many-keys": keysAnswer(`{"keys":[` + strings.Repeat(`{"kty":"oct","k":"AAAA"},`, 10_000) + `{"kty":"oct","k":"AAAA"}]}`),

	// Who it is from.
	"mixup-iss-param":           answerParam("iss", "https://other.example"),
	"iss-param-trailing-slash":  {Answer: func(op *OP, q url.Values) { q.Set("iss", op.Issuer+"/") }},
	"iss-param-empty":           answerParam("iss", ""),
	"iss-param-missing":         {Answer: func(_ *OP, q url.Values) { q.Del("iss") }},
	"iss-param-not-promised":    {Discovery: func(_ *OP, d map[string]any) { delete(d, "authorization_response_iss_parameter_supported") }, Answer: func(_ *OP, q url.Values) { q.Del("iss") }},
	"discovery-issuer-mismatch": document("issuer", "https://other.example"),
	"discovery-issuer-slash":    {Discovery: func(op *OP, d map[string]any) { d["issuer"] = op.Issuer + "/" }},
	"discovery-token-http":      document("token_endpoint", "http://op.example/token"),
	"discovery-keys-file":       document("jwks_uri", "file:///etc/passwd"),
	"discovery-no-token":        document("token_endpoint", ""),
	"discovery-hs256-only":      document("id_token_signing_alg_values_supported", []string{"HS256", "none"}),
	"discovery-plain-pkce-only": document("code_challenge_methods_supported", []string{"plain"}),
	"discovery-html":            serve("discovery", func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "<html>sorry</html>") }),
	"discovery-ssrf":            document("jwks_uri", "https://169.254.169.254/latest/keys"),
	"discovery-redirect-loop":   serve("discovery", func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, r.URL.Path, http.StatusFound) }),

	// Whom and what it is for.
	"wrong-iss":           {Mint: func(_ *OP, t *Token) { t.Claims["iss"] = "https://other.example" }},
	"iss-trailing-slash":  {Mint: func(op *OP, t *Token) { t.Claims["iss"] = op.Issuer + "/" }},
	"wrong-aud":           claim("aud", "somebody-else"),
	"missing-aud":         without("aud"),
	"empty-aud":           claim("aud", []string{}),
	"multi-aud-no-azp":    {Mint: func(op *OP, t *Token) { t.Claims["aud"] = []string{op.ClientID, "other"} }},
	"multi-aud-azp-other": {Mint: func(op *OP, t *Token) { t.Claims["aud"] = []string{op.ClientID, "other"}; t.Claims["azp"] = "other" }},
	"multi-aud-azp-ours": {Mint: func(op *OP, t *Token) {
		t.Claims["aud"] = []string{op.ClientID, "other"}
		t.Claims["azp"] = op.ClientID
	}},
	"azp-wrong":                claim("azp", "other"),
	"azp-number":               claim("azp", 7),
	"expired":                  ago("exp", 2*time.Minute),
	"no-exp":                   without("exp"),
	"exp-text":                 claim("exp", "tomorrow"),
	"nbf-future":               ago("nbf", -3*time.Minute),
	"no-iat":                   without("iat"),
	"iat-future":               ago("iat", -3*time.Minute),
	"iat-ancient":              ago("iat", 48*time.Hour),
	"auth-time-future":         ago("auth_time", -3*time.Minute),
	"no-sub":                   without("sub"),
	"empty-sub":                claim("sub", ""),
	"null-sub":                 claim("sub", nil),
	"sub-number":               claim("sub", 7),
	"sub-too-long":             claim("sub", strings.Repeat("x", 256)),
	"sub-unreadable":           {Mint: func(_ *OP, t *Token) { t.Payload = unreadable(t.Claims) }},
	"wrong-at-hash":            claim("at_hash", "AAAAAAAAAAAAAAAAAAAAAA"),
	"no-at-hash":               without("at_hash"),
	"typ-number":               header("typ", 7),
	"access-token-as-id-token": header("typ", "at+jwt"),
	"logout-token-as-id-token": header("typ", "logout+jwt"),
	"event-as-id-token":        {Mint: func(_ *OP, t *Token) { t.Claims["events"] = map[string]any{logoutEvent: map[string]any{}} }},
	"opaque-id-token":          {Tokens: func(_ *OP, a map[string]any) { a["id_token"] = a["access_token"] }},
	"no-id-token":              {Tokens: func(_ *OP, a map[string]any) { delete(a, "id_token") }},
	"id-token-number":          {Tokens: func(_ *OP, a map[string]any) { a["id_token"] = 7 }},
	"no-access-token":          {Tokens: func(_ *OP, a map[string]any) { delete(a, "access_token") }},
	"id-token-300k":            claim("padding", strings.Repeat("x", 300<<10)),
	"id-token-100k-dots":       {Tokens: func(_ *OP, a map[string]any) { a["id_token"] = strings.Repeat(".", 100_000) }},
	"dup-json-keys":            duplicate("sub", "admin"),
	"case-json-keys":           duplicate("SUB", "admin"),
	"dup-header-keys":          {Mint: func(_ *OP, t *Token) { t.After = doubleHeader }},
	"userinfo-sub-mismatch":    {Info: func(_ *OP, c map[string]any) { c["sub"] = "u-admin" }},
	"userinfo-no-sub":          {Info: func(_ *OP, c map[string]any) { delete(c, "sub") }},
	"userinfo-sub-number":      {Info: func(_ *OP, c map[string]any) { c["sub"] = 7 }},
	"userinfo-dup-keys": serve("userinfo", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, `{"sub":"u-alice","sub":"u-alice"}`)
	}),
	"userinfo-jwt": serve("userinfo", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/jwt")
		_, _ = io.WriteString(w, "eyJhbGciOiJub25lIn0.eyJzdWIiOiJ1LWFsaWNlIn0.")
	}),
	"userinfo-text": serve("userinfo", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/plain")
		_, _ = io.WriteString(w, `{"sub":"u-alice"}`)
	}),
	"userinfo-401": serve("userinfo", func(w http.ResponseWriter, _ *http.Request) {
		answer(w, http.StatusUnauthorized, map[string]any{"sub": "u-alice", "error": "invalid_token"})
	}),
	"token-type-dpop": {Tokens: func(_ *OP, a map[string]any) { a["token_type"] = "DPoP" }},
	"userinfo-500":    serve("userinfo", func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "no", http.StatusInternalServerError) }),

	// What the browser brings.
	"error-and-code":          answerParam("error", "access_denied"),
	"access-denied":           failure("access_denied"),
	"login-required":          failure("login_required"),
	"temporarily-unavailable": failure("temporarily_unavailable"),
	"unmet-authentication":    failure("unmet_authentication_requirements"),
	"error-xss":               failure("<script>alert(1)</script>\n2026-01-01 forged line"),
	"empty-error-and-code":    answerParam("error", ""),
	"implicit-tokens":         answerParam("id_token", "eyJhbGciOiJub25lIn0.e30."),
	"no-code":                 {Answer: func(_ *OP, q url.Values) { q.Del("code") }},
	"empty-code":              answerParam("code", ""),
	"long-code":               answerParam("code", strings.Repeat("x", 9<<10)),
	"made-up-code":            answerParam("code", "made-up"),

	// Slow, huge and broken.
	"slow-token":      serve("token", hang),
	"slow-discovery":  serve("discovery", hang),
	"slow-keys":       serve("keys", hang),
	"slow-userinfo":   serve("userinfo", hang),
	"huge-token":      serve("token", flood),
	"huge-discovery":  serve("discovery", flood),
	"huge-keys":       serve("keys", flood),
	"huge-userinfo":   serve("userinfo", flood),
	"token-500":       serve("token", func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "no", http.StatusInternalServerError) }),
	"token-html":      serve("token", func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "<html>code=abc</html>") }),
	"token-error-200": serve("token", func(w http.ResponseWriter, _ *http.Request) { answer(w, 200, map[string]any{"error": "invalid_grant"}) }),
	"token-redirect": serve("token", func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, strings.Replace("http://"+r.Host, "127.0.0.1", "localhost", 1)+"/token", http.StatusTemporaryRedirect)
	}),
}

// LogoutVariants change a good logout token into one that must end nothing.
var LogoutVariants = map[string]func(op *OP, t *Token){
	"alg-none":           func(_ *OP, t *Token) { t.Header["alg"] = "none" },
	"wrong-key":          func(_ *OP, t *Token) { t.Key = &Key{ID: t.Key.ID, Alg: t.Key.Alg, Private: otherRSA(t.Key)} },
	"wrong-alg":          func(op *OP, t *Token) { symmetric(t, []byte(op.ClientSecret)) },
	"wrong-iss":          func(_ *OP, t *Token) { t.Claims["iss"] = "https://other.example" },
	"wrong-aud":          func(_ *OP, t *Token) { t.Claims["aud"] = "other" },
	"no-event":           func(_ *OP, t *Token) { delete(t.Claims, "events") },
	"wrong-event":        func(_ *OP, t *Token) { t.Claims["events"] = map[string]any{logoutEvent + "x": map[string]any{}} },
	"event-not-object":   func(_ *OP, t *Token) { t.Claims["events"] = map[string]any{logoutEvent: true} },
	"events-list":        func(_ *OP, t *Token) { t.Claims["events"] = []string{logoutEvent} },
	"with-nonce":         func(_ *OP, t *Token) { t.Claims["nonce"] = "n" },
	"with-null-nonce":    func(_ *OP, t *Token) { t.Claims["nonce"] = nil },
	"no-jti":             func(_ *OP, t *Token) { delete(t.Claims, "jti") },
	"no-iat":             func(_ *OP, t *Token) { delete(t.Claims, "iat") },
	"iat-old":            func(_ *OP, t *Token) { t.Claims["iat"] = t.Claims["iat"].(int64) - 3600; delete(t.Claims, "exp") },
	"iat-future":         func(_ *OP, t *Token) { t.Claims["iat"] = t.Claims["iat"].(int64) + 600 },
	"expired":            func(_ *OP, t *Token) { t.Claims["exp"] = t.Claims["iat"].(int64) - 120 },
	"no-sub-no-sid":      func(_ *OP, t *Token) { delete(t.Claims, "sub"); delete(t.Claims, "sid") },
	"sub-number":         func(_ *OP, t *Token) { t.Claims["sub"] = 7 },
	"sid-number":         func(_ *OP, t *Token) { t.Claims["sid"] = 7 },
	"sid-empty":          func(_ *OP, t *Token) { t.Claims["sid"] = "" },
	"sid-too-long":       func(_ *OP, t *Token) { t.Claims["sid"] = strings.Repeat("x", 256) },
	"wrong-typ":          func(_ *OP, t *Token) { t.Header["typ"] = "at+jwt" },
	"id-token":           func(_ *OP, t *Token) { t.Header["typ"] = "JWT"; delete(t.Claims, "events"); t.Claims["nonce"] = "n" },
	"stripped-signature": func(_ *OP, t *Token) { t.After = func(s string) string { return s[:strings.LastIndex(s, ".")+1] } },
	"dup-json-keys": func(_ *OP, t *Token) {
		b, _ := json.Marshal(t.Claims)
		t.Payload = append(b[:len(b)-1], `,"sub":"u-admin","sub":"u-admin"}`...)
	},
	"too-long":    func(_ *OP, t *Token) { t.Claims["padding"] = strings.Repeat("x", 20<<10) },
	"unknown-kid": func(_ *OP, t *Token) { t.Key = newKey("ES256"); t.Header["alg"], t.Header["kid"] = "ES256", t.Key.ID },
}

const (
	logoutEvent = "http://schemas.openid.net/event/backchannel-logout"
	jwe         = "eyJhbGciOiJSU0EtT0FFUCIsImVuYyI6IkEyNTZHQ00ifQ.AAAA.AAAAAAAAAAAAAAAA.AAAA.AAAAAAAAAAAAAAAAAAAAAA"
)

// weakN is the modulus of an RSA key of 512 bits.
var weakN = base64.RawURLEncoding.EncodeToString(append([]byte{0xc1}, make([]byte, 63)...))

func claim(name string, v any) Mode { return Mode{Mint: func(_ *OP, t *Token) { t.Claims[name] = v }} }

func without(name string) Mode { return Mode{Mint: func(_ *OP, t *Token) { delete(t.Claims, name) }} }

func header(name string, v any) Mode {
	return Mode{Mint: func(_ *OP, t *Token) { t.Header[name] = v }}
}
func alg(name string) Mode { return header("alg", name) }
func answerParam(name, v string) Mode {
	return Mode{Answer: func(_ *OP, q url.Values) { q.Set(name, v) }}
}

func document(name string, v any) Mode {
	return Mode{Discovery: func(_ *OP, d map[string]any) { d[name] = v }}
}

func ago(name string, d time.Duration) Mode {
	return Mode{Mint: func(op *OP, t *Token) { t.Claims[name] = op.clock().Add(-d).Unix() }}
}

func failure(code string) Mode {
	return Mode{Answer: func(_ *OP, q url.Values) {
		q.Del("code")
		q.Set("error", code)
		q.Set("error_description", "the provider says no")
	}}
}

func serve(endpoint string, h http.HandlerFunc) Mode {
	return Mode{Serve: func(op *OP, at string, w http.ResponseWriter, r *http.Request) bool {
		if at != endpoint {
			return false
		}
		h(w, r)
		return true
	}}
}

func keysAnswer(body string) Mode {
	return serve("keys", func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, body) })
}

// hang waits until the client goes away.
func hang(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }

// flood sends 50 MiB, or as much as the client takes.
func flood(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	block := []byte(strings.Repeat(" ", 64<<10))
	for range 800 {
		if _, err := w.Write(block); err != nil {
			return
		}
	}
}

func duplicate(name, v string) Mode {
	return Mode{Mint: func(_ *OP, t *Token) {
		b, _ := json.Marshal(t.Claims)
		t.Payload = append(b[:len(b)-1], `,"`+name+`":"`+v+`"}`...)
	}}
}

// unreadable has a sub of half a character: to many readers the same as any other half.
func unreadable(claims map[string]any) []byte {
	claims = maps.Clone(claims)
	delete(claims, "sub")
	b, err := json.Marshal(claims)
	if err != nil {
		panic(err)
	}
	return append(b[:len(b)-1], `,"sub":"\ud83d"}`...)
}

func (op *OP) clock() time.Time {
	op.mu.Lock()
	defer op.mu.Unlock()
	return op.now()
}

func spoil(s string) string {
	i := strings.LastIndex(s, ".") + 5
	c := byte('A')
	if s[i] == c {
		c = 'B'
	}
	return s[:i] + string(c) + s[i+1:]
}

func symmetric(t *Token, secret []byte) {
	t.Header["alg"] = "HS256"
	t.Secret = secret
}

// foreign signs with a key of the attacker's and names it in the header.
func foreign(t *Token, name string, v any) {
	t.Key = newKey("ES256")
	t.Header = map[string]any{"typ": "JWT", "alg": "ES256", name: v}
}

func publicPEM(k *Key) []byte {
	der, err := x509.MarshalPKIXPublicKey(k.Private.Public())
	if err != nil {
		panic(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})
}

func doubleHeader(s string) string {
	head, rest, _ := strings.Cut(s, ".")
	b, _ := base64.RawURLEncoding.DecodeString(head)
	b = append(b[:len(b)-1], `,"typ":"JWT","typ":"JWT"}`...)
	return b64(b) + "." + rest
}

func jwsJSON(compact string) string {
	p := strings.Split(compact, ".")
	if len(p) != 3 {
		return compact
	}
	return `{"protected":"` + p[0] + `","payload":"` + p[1] + `","signature":"` + p[2] + `"}`
}
