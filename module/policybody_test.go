package module_test

import (
	"bytes"
	"compress/gzip"
	"io"
	"net/http"
	"strings"
	"testing"
)

// sendBody posts a body with a session; length -1 is chunked.
func (g *gateway) sendBody(cookie, path, typ string, body []byte, length int64, more ...string) (status int, answer string) {
	g.t.Helper()
	req, err := http.NewRequest(http.MethodPost, g.url(path), io.NopCloser(bytes.NewReader(body)))
	if err != nil {
		g.t.Fatal(err)
	}
	req.ContentLength = length
	if length < 0 {
		req.TransferEncoding = []string{"chunked"}
	}
	req.Header = http.Header{"Accept": {"application/json"}, "Cookie": {cookie}, "Content-Type": {typ}}
	for i := 0; i+1 < len(more); i += 2 {
		req.Header[more[i]] = []string{more[i+1]}
	}
	tr := new(http.Transport) // kept: a server that is going to hang up does not read what is left of a body
	defer tr.CloseIdleConnections()
	res, err := tr.RoundTrip(req)
	if err != nil {
		g.t.Fatal(err)
	}
	defer res.Body.Close()
	b, _ := io.ReadAll(res.Body)
	return res.StatusCode, string(b)
}

const formBody, jsonBody = "application/x-www-form-urlencoded", "application/json"

// What a condition cannot read beyond doubt, it denies: a body over the cap, one that is
// packed or of another type, names that occur twice or in another spelling (I22). What it
// reads arrives as it was sent.
func TestI22ABodyThatCanBeReadInTwoWaysDenies(t *testing.T) {
	g := start(t, people(t), "protect {\n"+
		"require /form `request.form[\"amount\"] == \"1\"`\n"+
		"require /noform `!(\"admin\" in request.form)`\n"+
		"require /json `request.json.amount == 1.0`\n"+
		"require /nojson `!has(request.json.admin)`\n"+
		"require /deep `request.json.a[0].b == \"c\"`\n"+
		"require /query `request.query[\"a\"] == \"1\"`\n"+
		"require /either `request.json.amount == 1.0 || \"admins\" in user.groups`\n"+
		"}\nreverse_proxy {APP}")
	c := ticketOf(t, g, g.signedIn("/x", "alice", "alicepw"))
	cookie := c.Name + "=" + c.Value
	packed := func(s string) string {
		var b bytes.Buffer
		w := gzip.NewWriter(&b)
		_, _ = w.Write([]byte(s))
		_ = w.Close()
		return b.String()
	}
	long := "amount=1&x=" + strings.Repeat("x", 64<<10)
	for name, tc := range map[string]struct {
		path, typ, body string
		chunked         bool
		more            []string
		ok              bool
	}{
		"form":                       {"/form", formBody, "amount=1&x=2", false, nil, true},
		"form, chunked":              {"/form", formBody, "amount=1", true, nil, true},
		"form, charset":              {"/form", formBody + "; charset=UTF-8", "amount=1", false, nil, true},
		"another value":              {"/form", formBody, "amount=2", false, nil, false},
		"twice":                      {"/form", formBody, "amount=1&amount=2", false, nil, false},
		"twice, escaped":             {"/form", formBody, "amount=1&%61mount=2", false, nil, false},
		"another case":               {"/form", formBody, "amount=1&Amount=2", false, nil, false},
		"as PHP reads it":            {"/form", formBody, "amount=1&amount[]=2", false, nil, false},
		"semicolon":                  {"/form", formBody, "amount=1;amount=2", false, nil, false},
		"broken escape":              {"/form", formBody, "amount=1&x=%zz", false, nil, false},
		"packed":                     {"/form", formBody, packed("amount=1"), false, []string{"Content-Encoding", "gzip"}, false},
		"said to be packed":          {"/form", formBody, "amount=1", false, []string{"Content-Encoding", "gzip"}, false},
		"identity":                   {"/form", formBody, "amount=1", false, []string{"Content-Encoding", "identity"}, true},
		"over the cap":               {"/form", formBody, long, false, nil, false},
		"over the cap, chunked":      {"/form", formBody, long, true, nil, false},
		"another type":               {"/form", "text/plain", "amount=1", false, nil, false},
		"multipart":                  {"/form", "multipart/form-data; boundary=x", "--x\r\nContent-Disposition: form-data; name=\"amount\"\r\n\r\n1\r\n--x--\r\n", false, nil, false},
		"another charset":            {"/form", formBody + "; charset=utf-7", "amount=1", false, nil, false},
		"nothing hidden":             {"/noform", formBody, "x=1", false, nil, true},
		"hidden by packing":          {"/noform", formBody, packed("admin=1"), false, []string{"Content-Encoding", "gzip"}, false},
		"hidden by case":             {"/noform", formBody, "ADMIN=1", false, nil, false},
		"hidden by brackets":         {"/noform", formBody, "admin[x]=1", false, nil, false},
		"hidden by its type":         {"/noform", "multipart/form-data; boundary=x", "--x--", false, nil, false},
		"json":                       {"/json", jsonBody, `{"amount":1}`, false, nil, true},
		"json, chunked":              {"/json", jsonBody, `{"amount":1}`, true, nil, true},
		"json twice":                 {"/json", jsonBody, `{"amount":1,"amount":2}`, false, nil, false},
		"json twice, escaped":        {"/json", jsonBody, `{"amount":1,"\u0061mount":2}`, false, nil, false},
		"json, another case":         {"/json", jsonBody, `{"amount":1,"aMOUNT":2}`, false, nil, false},
		"json, only in another case": {"/json", jsonBody, `{"Amount":1}`, false, nil, false},
		"json twice inside":          {"/json", jsonBody, `{"amount":1,"x":{"y":1,"y":2}}`, false, nil, false},
		"json, something behind":     {"/json", jsonBody, `{"amount":1}{"amount":2}`, false, nil, false},
		"json, broken":               {"/json", jsonBody, `{"amount":1`, false, nil, false},
		"json, no UTF-8":             {"/json", jsonBody, "{\"amount\":1,\"x\":\"\xff\"}", false, nil, false},
		"json, packed":               {"/json", jsonBody, packed(`{"amount":1}`), false, []string{"Content-Encoding", "gzip"}, false},
		"json over the cap":          {"/json", jsonBody, `{"amount":1,"x":"` + strings.Repeat("x", 64<<10) + `"}`, true, nil, false},
		"json, a comment":            {"/json", jsonBody, `{"amount":1}//`, false, nil, false},
		"json, nothing hidden":       {"/nojson", jsonBody, `{"x":1}`, false, nil, true},
		"json, hidden by case":       {"/nojson", jsonBody, `{"Admin":1}`, false, nil, false},
		"json, hidden by the Kelvin": {"/nojson", jsonBody, `{"x":{},"ADM\u0130N":1,"adm\u0049n":1}`, false, nil, false},
		"json, deep":                 {"/deep", jsonBody, `{"a":[{"b":"c"}]}`, false, nil, true},
		"json, deep in another case": {"/deep", jsonBody, `{"a":[{"b":"c","B":"d"}]}`, false, nil, false},
		"query":                      {"/query?a=1&b=1&b=2", formBody, "", false, nil, true},
		"query twice":                {"/query?a=1&A=2", formBody, "", false, nil, false},
		"absorbed, and sent on":      {"/either", formBody, long, true, nil, true},
	} {
		g.app.forget()
		length := int64(len(tc.body))
		if tc.chunked {
			length = -1
		}
		status, answer := g.sendBody(cookie, tc.path, tc.typ, []byte(tc.body), length, tc.more...)
		seen := g.app.requests()
		switch {
		case tc.ok && (status != http.StatusOK || len(seen) != 1 || !tc.chunked && !strings.HasSuffix(seen[0], tc.body)):
			t.Errorf("%s: %d %.200s", name, status, answer)
		case tc.ok && tc.chunked && !strings.Contains(strings.Join(strings.Split(seen[0], "\r\n"), ""), tc.body[len(tc.body)-8:]):
			t.Errorf("%s: another body arrived", name)
		case !tc.ok && (status != http.StatusForbidden || len(seen) != 0):
			t.Errorf("%s: %d, %d requests arrived: %.200s", name, status, len(seen), answer)
		}
	}
}

// A condition that costs too much denies, and the gateway goes on (I2).
func TestI2ABombInARuleDenies(t *testing.T) {
	g := start(t, people(t), "protect {\nrequire /bomb `request.json.all(a, request.json.all(b, request.json.all(c, a + b + c != \"\")))`\n"+
		"require /loop `request.json.exists(a, request.form[string(a)] == \"x\")`\n}\nreverse_proxy {APP}")
	c := ticketOf(t, g, g.signedIn("/x", "alice", "alicepw"))
	cookie := c.Name + "=" + c.Value
	list := []byte("[" + strings.Repeat(`"aaaaaaaa",`, 5000) + `"b"]`)
	for _, path := range []string{"/bomb", "/loop"} {
		status, answer := g.sendBody(cookie, path, jsonBody, list, int64(len(list)))
		if status != http.StatusForbidden || !strings.Contains(answer, "condition_error") {
			t.Errorf("%s: %d %s", path, status, answer)
		}
	}
	if e := g.events("denied", 2); !strings.Contains(e[0]["detail"].(string), "cost limit") && !strings.Contains(e[0]["detail"].(string), "interrupted") {
		t.Errorf("the trail says %v", e[0])
	}
	want(t, g.get("/x", cookie), http.StatusOK)
}
