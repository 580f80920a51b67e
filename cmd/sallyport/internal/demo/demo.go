// Package demo is `sallyport demo`: an identity provider, an old application
// and the gateway between them, in one process, on loopback only.
package demo

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/sallyport-gateway/sallyport/examples/quickstart"
)

// Options of a run.
type Options struct {
	// Check walks through the demo and ends it.
	Check bool
	// Port of the gateway; 0 chooses 8080 or another free one.
	Port int
	// Verbose prints the gateway's log.
	Verbose bool
	// Out is for people, Err for logs.
	Out, Err io.Writer
}

// site is what the three servers and those who visit them agree on.
type site struct {
	port     int
	address  string // of the gateway, http://localhost:port
	issuer   string
	app      string // host:port of the old application
	clientID string
	secret   string
	dir      string
}

// Run runs the demo until ctx ends, or with Check until the walk is done. The
// error of a failed walk is ErrCheck.
func Run(ctx context.Context, o Options) (err error) {
	dir, err := os.MkdirTemp("", "sallyport-demo-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	s := &site{dir: dir, clientID: "sallyport", secret: rand.Text()}
	if s.port, err = choosePort(o.Port); err != nil {
		return err
	}
	s.address = "http://localhost:" + strconv.Itoa(s.port)
	stop, err := s.startServers(o)
	defer stop()
	if err != nil {
		return err
	}
	if err := startGateway(s, o); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, stopGateway()) }()
	if o.Check {
		return check(ctx, s, o.Out)
	}
	s.welcome(o.Out)
	<-ctx.Done()
	fmt.Fprintln(o.Out, "\nThe demo is over; nothing is left behind.")
	return nil
}

// startServers starts the provider and the application. The stop function is
// never nil.
func (s *site) startServers(o Options) (stop func(), err error) {
	var servers []*http.Server
	stop = func() {
		for _, srv := range servers {
			_ = srv.Close()
		}
	}
	serve := func(l net.Listener, srv *http.Server) {
		srv.ReadHeaderTimeout = 10 * time.Second
		servers = append(servers, srv)
		go func() {
			if err := srv.Serve(l); err != nil && !errors.Is(err, http.ErrServerClosed) {
				fmt.Fprintln(o.Err, "demo:", err)
			}
		}()
	}
	idp, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return stop, err
	}
	s.issuer = "http://" + idp.Addr().String()
	p, err := newProvider(s.issuer, client{
		id: s.clientID, secret: s.secret,
		redirect:   s.address + "/.identity/callback/company",
		postLogout: s.address + "/.identity/logout",
	})
	if err != nil {
		return stop, errors.Join(err, idp.Close())
	}
	serve(idp, &http.Server{Handler: p.Handler()})

	app, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return stop, err
	}
	s.app = app.Addr().String()
	old := &http.Server{Handler: oldApp(), ConnContext: recordRaw}
	old.SetKeepAlivesEnabled(false)
	serve(recordingListener{app}, old)
	return stop, nil
}

func (s *site) welcome(w io.Writer) {
	fmt.Fprintf(w, "This is the configuration of the gateway, examples/quickstart/Caddyfile:\n\n")
	for line := range strings.Lines(string(quickstart.Caddyfile)) {
		fmt.Fprint(w, "    ", line)
	}
	fmt.Fprintf(w, "\nThe placeholders stand for:\n\n")
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, kv := range s.environment() {
		name, value, _ := strings.Cut(kv, "=")
		if name == "CLIENT_SECRET" {
			value = "(made for this run)"
		}
		fmt.Fprintf(t, "    %s\t%s\n", name, value)
	}
	_ = t.Flush()
	fmt.Fprintf(w, "\nThe people:\n\n")
	for _, p := range people {
		fmt.Fprintf(t, "    %s\tpassword %s\t%s\n", p.Name, p.Password, strings.Join(p.Groups, ", "))
	}
	_ = t.Flush()
	fmt.Fprintf(w, "\nOpen %s/ and sign in. Try /admin/ as bob. Ctrl-C ends it.\n", s.address)
}

func (s *site) environment() []string {
	return []string{
		"SITE=" + s.address, "ISSUER=" + s.issuer, "CLIENT_ID=" + s.clientID,
		"CLIENT_SECRET=" + s.secret, "APP=" + s.app,
	}
}

// choosePort answers want if it is free, else an error; for 0 it looks from
// 8080 upwards. Ports from 32768 are left to the kernel's outgoing connections.
func choosePort(want int) (int, error) {
	if want != 0 {
		if err := free(want); err != nil {
			return 0, fmt.Errorf("port %d: %w", want, err)
		}
		return want, nil
	}
	for port := 8080; port < 32768; port += 101 {
		if free(port) == nil {
			return port, nil
		}
	}
	return 0, errors.New("no free port between 8080 and 32767")
}

func free(port int) error {
	l, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
	if err != nil {
		return err
	}
	return l.Close()
}
