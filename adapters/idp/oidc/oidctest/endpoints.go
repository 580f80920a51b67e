package oidctest

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
)

func (op *OP) discovery(w http.ResponseWriter, r *http.Request) {
	op.mu.Lock()
	op.counts.Discovery++
	mode := op.mode
	doc := map[string]any{
		"issuer": op.Issuer, "authorization_endpoint": op.Issuer + "/authorize", "token_endpoint": op.Issuer + "/token",
		"jwks_uri": op.Issuer + "/keys", "userinfo_endpoint": op.Issuer + "/userinfo", "end_session_endpoint": op.Issuer + "/end",
		"response_types_supported": []string{"code"}, "subject_types_supported": []string{"public"},
		"id_token_signing_alg_values_supported": []string{"RS256", "ES256", "EdDSA", "PS256"},
		"token_endpoint_auth_methods_supported": op.methods, "code_challenge_methods_supported": []string{"S256"},
		"authorization_response_iss_parameter_supported": true, "backchannel_logout_supported": true,
		"frontchannel_logout_supported": true, "frontchannel_logout_session_supported": true,
	}
	op.mu.Unlock()
	if mode.Discovery != nil {
		mode.Discovery(op, doc)
	}
	if mode.Serve != nil && mode.Serve(op, "discovery", w, r) {
		return
	}
	answer(w, http.StatusOK, doc)
}

func (op *OP) jwks(w http.ResponseWriter, r *http.Request) {
	op.mu.Lock()
	op.counts.Keys++
	mode, down, keys := op.mode, op.keysDown, slices.Clone(op.keys)
	op.mu.Unlock()
	if mode.Serve != nil && mode.Serve(op, "keys", w, r) {
		return
	}
	if down {
		http.Error(w, "no keys today", http.StatusInternalServerError)
		return
	}
	list := []map[string]any{}
	for _, k := range keys {
		list = append(list, k.JWK())
	}
	answer(w, http.StatusOK, map[string]any{"keys": list})
}

// authorize signs the set user in without a page.
func (op *OP) authorize(w http.ResponseWriter, r *http.Request) {
	_ = r.ParseForm()
	q := r.Form
	to, err := url.Parse(q.Get("redirect_uri"))
	if err != nil || to.Host == "" || q.Get("client_id") != op.ClientID || q.Get("response_type") != "code" {
		http.Error(w, "bad request", http.StatusBadRequest)
		return
	}
	code := rand.Text()
	op.mu.Lock()
	op.counts.Authorize++
	op.requests = append(op.requests, q)
	op.codes[code] = &grant{
		redirect: q.Get("redirect_uri"), nonce: q.Get("nonce"), challenge: q.Get("code_challenge"), scope: q.Get("scope"),
		user: maps.Clone(op.user), authTime: op.now().Unix(), family: code,
	}
	mode := op.mode
	op.mu.Unlock()
	if mode.Serve != nil && mode.Serve(op, "authorize", w, r) {
		return
	}
	out := to.Query()
	out.Set("code", code)
	out.Set("state", q.Get("state"))
	out.Set("iss", op.Issuer)
	if mode.Answer != nil {
		mode.Answer(op, out)
	}
	to.RawQuery = out.Encode()
	http.Redirect(w, r, to.String(), http.StatusFound)
}

// token is the token endpoint: client authentication, code once, redirect URI, PKCE.
func (op *OP) token(w http.ResponseWriter, r *http.Request) {
	_ = r.ParseForm()
	op.mu.Lock()
	op.counts.Token++
	op.tokenReq = append(op.tokenReq, maps.Clone(r.PostForm))
	mode := op.mode
	op.mu.Unlock()
	if mode.Serve != nil && mode.Serve(op, "token", w, r) {
		return
	}
	if !op.clientIsRight(r) {
		answer(w, http.StatusUnauthorized, map[string]any{"error": "invalid_client"})
		return
	}
	g := op.redeem(r.PostForm)
	if g == nil {
		answer(w, http.StatusBadRequest, map[string]any{"error": "invalid_grant", "error_description": "unknown, used, or not yours"})
		return
	}
	answer(w, http.StatusOK, op.tokens(g, mode))
}

// redeem answers what a code or refresh token stands for, once.
func (op *OP) redeem(form url.Values) *grant {
	op.mu.Lock()
	defer op.mu.Unlock()
	if form.Get("grant_type") == "refresh_token" {
		op.counts.Refresh++
		token := form.Get("refresh_token")
		if family, ok := op.used[token]; ok {
			maps.DeleteFunc(op.refresh, func(_ string, g *grant) bool { return g.family == family })
		}
		g := op.refresh[token]
		if g == nil {
			return nil
		}
		if !op.still {
			delete(op.refresh, token)
			op.used[token] = g.family
		}
		again := *g
		again.refresh, again.user = true, maps.Clone(op.user)
		return &again
	}
	g := op.codes[form.Get("code")]
	delete(op.codes, form.Get("code"))
	sum := sha256.Sum256([]byte(form.Get("code_verifier")))
	if g == nil || form.Get("grant_type") != "authorization_code" || g.redirect != form.Get("redirect_uri") ||
		g.challenge != base64.RawURLEncoding.EncodeToString(sum[:]) {
		return nil
	}
	return g
}

// tokens makes the answer of the token endpoint.
func (op *OP) tokens(g *grant, mode Mode) map[string]any {
	access, refresh := rand.Text(), rand.Text()
	op.mu.Lock()
	op.access[access] = g
	if slices.Contains(strings.Fields(g.scope), "offline_access") && !(op.still && g.refresh) {
		op.refresh[refresh] = g
	} else {
		refresh = ""
	}
	op.mu.Unlock()
	out := map[string]any{"access_token": access, "token_type": "Bearer", "expires_in": 300}
	if refresh != "" {
		out["refresh_token"] = refresh
	}
	m := op.mint(g, access)
	if mode.Mint != nil {
		mode.Mint(op, m)
	}
	out["id_token"] = m.Sign()
	if mode.Tokens != nil {
		mode.Tokens(op, out)
	}
	op.with(func() {
		op.issued = append(op.issued, Issued{IDToken: text(out["id_token"]), AccessToken: text(out["access_token"]), RefreshToken: text(out["refresh_token"])})
	})
	return out
}

func (op *OP) userinfo(w http.ResponseWriter, r *http.Request) {
	bearer, _ := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	op.mu.Lock()
	op.counts.UserInfo++
	g, mode, info := op.access[bearer], op.mode, maps.Clone(op.info)
	op.mu.Unlock()
	if mode.Serve != nil && mode.Serve(op, "userinfo", w, r) {
		return
	}
	if g == nil {
		answer(w, http.StatusUnauthorized, map[string]any{"error": "invalid_token"})
		return
	}
	if info == nil {
		info = maps.Clone(g.user)
	}
	if info["sub"] == nil {
		info["sub"] = g.user["sub"]
	}
	if mode.Info != nil {
		mode.Info(op, info)
	}
	answer(w, http.StatusOK, info)
}

func (op *OP) endSession(w http.ResponseWriter, r *http.Request) {
	_ = r.ParseForm()
	op.mu.Lock()
	op.counts.EndSession++
	op.ended = append(op.ended, r.Form)
	mode, tell := op.mode, op.onEnd
	op.mu.Unlock()
	if tell != nil {
		tell(r.Form)
	}
	if mode.Serve != nil && mode.Serve(op, "end", w, r) {
		return
	}
	to, err := url.Parse(r.Form.Get("post_logout_redirect_uri"))
	if err != nil || to.Host == "" {
		answer(w, http.StatusOK, map[string]any{"signed_out": true})
		return
	}
	q := to.Query()
	if s := r.Form.Get("state"); s != "" {
		q.Set("state", s)
	}
	if mode.End != nil {
		mode.End(op, q)
	}
	to.RawQuery = q.Encode()
	http.Redirect(w, r, to.String(), http.StatusSeeOther)
}

func answer(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v)
}
