package module_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/http2/hpack"
)

// doors is a gateway with one site behind four doors: HTTP/1.1 and h2c on g.port,
// HTTP/2 over TLS and HTTP/3 on secure. All are one origin, by `url`.
type doors struct {
	*gateway
	secure int
	conns  map[string]framing
}

// framing is a connection on which requests are written frame by frame.
type framing interface {
	// send begins a request, or ends it with trailers; more says that something follows.
	send(more bool, fields ...hpack.HeaderField)
	data([]byte)
	// answer is the status, 0 if the request was not taken; alive says whether the
	// connection can be used for another.
	answer() (status int, alive bool)
	close()
}

// openDoors starts one; rules are what stands in its protect, head stands before it.
func openDoors(t *testing.T, global, head, rules string) *doors {
	t.Helper()
	g := start(t, global, "respond ok") // for its folder
	g.protocols = "h1 h2 h2c h3"
	d := &doors{gateway: g, secure: freePort(t), conns: map[string]framing{}}
	t.Cleanup(func() {
		for _, c := range d.conns {
			c.close()
		}
	})
	if err := d.reload(global, head, rules); err != nil {
		t.Fatal(err)
	}
	return d
}

func (d *doors) reload(global, head, rules string) error {
	cert, key := ownCertificate(d.t, d.dir)
	site := "bind 127.0.0.1\n" + head + "\nprotect {\nurl http://127.0.0.1:{PORT}\n" + rules + "\n}\nreverse_proxy {APP}\n}\n"
	return d.load(global, "http://127.0.0.1:{PORT} {\n"+site+fmt.Sprintf("https://127.0.0.1:%d {\ntls %s %s\n", d.secure, cert, key)+site)
}

// ownCertificate writes a certificate for 127.0.0.1 that signed itself.
func ownCertificate(t testing.TB, dir string) (cert, key string) {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	tmpl := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IPAddresses: []net.IP{{127, 0, 0, 1}}}
	c, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, k.Public(), k)
	if err != nil {
		t.Fatal(err)
	}
	b, err := x509.MarshalPKCS8PrivateKey(k)
	if err != nil {
		t.Fatal(err)
	}
	cert, key = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	for name, block := range map[string]*pem.Block{cert: {Type: "CERTIFICATE", Bytes: c}, key: {Type: "PRIVATE KEY", Bytes: b}} {
		if err := os.WriteFile(name, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return cert, key
}

// ways are the protocols a request can come in.
var ways = []string{"HTTP/1.1", "h2c", "h2", "h3"}

func secure(way string) bool { return way == "h2" || way == "h3" }

// get asks for a target as it is; 0 means that the request was not taken at all.
func (d *doors) get(way, target, cookie string, more ...hpack.HeaderField) int {
	d.t.Helper()
	if way == "HTTP/1.1" {
		req := fmt.Sprintf("GET %s HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nAccept: text/html\r\n", target, d.port)
		if cookie != "" {
			req += "Cookie: " + cookie + "\r\n"
		}
		for _, f := range more {
			req += f.Name + ": " + f.Value + "\r\n"
		}
		return d.sendRaw(req + "\r\n")
	}
	fields := append(d.pseudo(way, "GET", target), hpack.HeaderField{Name: "accept", Value: "text/html"})
	if cookie != "" {
		fields = append(fields, hpack.HeaderField{Name: "cookie", Value: cookie})
	}
	return d.stream(way, append(fields, more...)...)
}

func (d *doors) pseudo(way, method, target string) []hpack.HeaderField {
	scheme, port := "http", d.port
	if secure(way) {
		scheme, port = "https", d.secure
	}
	return []hpack.HeaderField{{Name: ":method", Value: method}, {Name: ":scheme", Value: scheme}, {Name: ":authority", Value: fmt.Sprintf("127.0.0.1:%d", port)}, {Name: ":path", Value: target}}
}

// conn is the way's connection, a new one if the last was closed.
func (d *doors) conn(way string) framing {
	d.t.Helper()
	c := d.conns[way]
	if c != nil {
		return c
	}
	switch way {
	case "h3":
		c = dialH3(d.t, d.secure)
	case "h2":
		c = dialH2(d.t, d.secure, true)
	default:
		c = dialH2(d.t, d.port, false)
	}
	d.conns[way] = c
	return c
}

// stream sends a request without a body.
func (d *doors) stream(way string, fields ...hpack.HeaderField) int {
	d.t.Helper()
	c := d.conn(way)
	c.send(false, fields...)
	return d.finish(way, c)
}

func (d *doors) finish(way string, c framing) int {
	status, alive := c.answer()
	if !alive {
		c.close()
		delete(d.conns, way)
	}
	return status
}

// TestWaysAreWhatTheySay: each door really speaks its protocol.
func TestWaysAreWhatTheySay(t *testing.T) {
	d := openDoors(t, people(t), "header X-Way {http.request.proto}", "header X-User {user.name}\npublic /public/*")
	cookie := d.aliceCookie()
	for _, way := range ways {
		for path, want := range map[string]string{"/a": "alice", "/public/x": ""} {
			mark := d.app.count()
			if s := d.get(way, path, cookie); s != 200 {
				t.Fatalf("%s %s: %d", way, path, s)
			}
			got := d.app.since(mark)
			if len(got) != 1 || strings.Join(header(got[0], "X-User"), "|") != want {
				t.Errorf("%s %s: the application saw %q", way, path, got)
			}
			if proto := strings.Join(header(got[0], "X-Forwarded-Proto"), "|"); (proto == "https") != secure(way) {
				t.Errorf("%s came by %s", way, proto)
			}
		}
		if s := d.get(way, "/a", ""); s != 303 {
			t.Errorf("%s: a stranger got %d", way, s)
		}
	}
}
