package demo

import (
	"bytes"
	"context"
	"net"
	"net/http"
	"strings"
	"sync"
)

// The old application. It was written in 2004, runs behind whatever stands in
// front, believes SM_USER, and will not be changed. It folds header names as
// CGI does, so that SM_USER and SM-USER are the same variable to it: exactly
// why a gateway has to strip every spelling.

type header struct{ Name, Value string }

type oldPage struct {
	User, Path string
	Headers    []header
}

// oldApp serves it. The server that runs it must have recordRaw as ConnContext
// and no keep-alive.
func oldApp() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) { serveOld(w, r, "app") })
	mux.HandleFunc("/admin/", func(w http.ResponseWriter, r *http.Request) { serveOld(w, r, "admin") })
	return mux
}

func serveOld(w http.ResponseWriter, r *http.Request, page string) {
	headers := rawHeaders(r)
	user := cgi(headers, "SM_USER")
	if user == "" {
		page, user = "nobody", ""
	}
	status := http.StatusOK
	if page == "nobody" {
		status = http.StatusForbidden
	}
	writePage(w, status, page, oldPage{User: user, Path: r.URL.RequestURI(), Headers: headers})
}

// cgi is the variable HTTP_<name> of RFC 3875 §4.1.18: case and the difference
// of dash and underscore are lost, and repeated headers become one list.
func cgi(headers []header, name string) string {
	fold := strings.NewReplacer("-", "_", ".", "_")
	var values []string
	for _, h := range headers {
		if strings.EqualFold(fold.Replace(h.Name), name) {
			values = append(values, h.Value)
		}
	}
	return strings.Join(values, ",")
}

// recorder keeps the first bytes of a connection: net/http spells header names
// its own way, and this application shows what was really sent.
type recorder struct {
	net.Conn
	mu    sync.Mutex
	bytes []byte
}

const maxRecorded = 64 << 10

func (c *recorder) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	c.mu.Lock()
	defer c.mu.Unlock()
	if room := maxRecorded - len(c.bytes); room > 0 {
		c.bytes = append(c.bytes, b[:min(n, room)]...)
	}
	return n, err
}

type recordingListener struct{ net.Listener }

func (l recordingListener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return &recorder{Conn: c}, nil
}

type recorderKey struct{}

func recordRaw(ctx context.Context, c net.Conn) context.Context {
	return context.WithValue(ctx, recorderKey{}, c)
}

// rawHeaders are the headers as they stood on the wire, in their order.
func rawHeaders(r *http.Request) []header {
	c, ok := r.Context().Value(recorderKey{}).(*recorder)
	if !ok {
		return nil
	}
	c.mu.Lock()
	head, _, _ := bytes.Cut(c.bytes, []byte("\r\n\r\n"))
	c.mu.Unlock()
	var out []header
	for i, line := range strings.Split(string(head), "\r\n") {
		name, value, found := strings.Cut(line, ":")
		if i > 0 && found {
			out = append(out, header{name, strings.TrimSpace(value)})
		}
	}
	return out
}

// Identity marks what the old system's agent used to add.
func (h header) Identity() bool { return strings.HasPrefix(strings.ToUpper(h.Name), "SM") }
