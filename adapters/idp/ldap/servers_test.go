package ldap

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sallyport-gateway/sallyport/adapters/internal/ldapconn/ldaptest"
	"github.com/sallyport-gateway/sallyport/flows"
)

// certificate makes one for a name and the file that says it may be believed.
func certificate(t testing.TB, names ...string) (*tls.Config, string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "directory"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
	}
	for _, n := range names {
		if ip := net.ParseIP(n); ip != nil {
			c.IPAddresses = append(c.IPAddresses, ip)
		} else {
			c.DNSNames = append(c.DNSNames, n)
		}
	}
	der, err := x509.CreateCertificate(rand.Reader, c, c, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
	return &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}}, file
}

// Nothing is said to a server whose certificate is not believed, is another
// name's, or that speaks only old TLS.
func TestTLS(t *testing.T) {
	t.Parallel()
	good, ca := certificate(t, "127.0.0.1")
	other, otherCA := certificate(t, "other.example")
	old := good.Clone()
	old.MaxVersion = tls.VersionTLS11 //nolint:gosec // that is the point
	old.MinVersion = tls.VersionTLS10 //nolint:gosec // that is the point
	for _, tc := range []struct {
		name   string
		tls    *tls.Config
		secure bool
		more   string
		want   string
	}{
		{"ldaps", good, true, "ca " + ca, ""},
		{"start_tls", good, false, "start_tls\nca " + ca, ""},
		{"ldaps, unknown ca", good, true, "", "unknown authority"},
		{"start_tls, unknown ca", good, false, "start_tls", "unknown authority"},
		{"ldaps, another's ca", good, true, "ca " + otherCA, "unknown authority"},
		{"ldaps, another name", other, true, "ca " + otherCA, "127.0.0.1"},
		{"start_tls, another name", other, false, "start_tls\nca " + otherCA, "127.0.0.1"},
		{"ldaps, old TLS", old, true, "ca " + ca, "protocol version"},
		{"start_tls, old TLS", old, false, "start_tls\nca " + ca, "protocol version"},
		{"start_tls, refused", nil, false, "start_tls", "start_tls"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			s := &ldaptest.Server{Entries: []*ldaptest.Entry{reader(), alice()}, TLS: tc.tls, Secure: tc.secure}
			p := provider(t, lines(s.Start(t), tc.more))
			_, err := p.VerifyPassword(t.Context(), "alice", "alicepw")
			switch {
			case tc.want == "" && err != nil:
				t.Fatal(err)
			case tc.want == "":
			case flows.ReasonOf(err) != flows.ReasonProviderDown || !strings.Contains(err.Error(), tc.want):
				t.Errorf("got %v, want %q", err, tc.want)
			case s.Binds.Load() > 0 || s.Searches.Load() > 0:
				t.Errorf("something was said: %q", s.Log())
			}
		})
	}
}

// two runs two servers with the same people and a provider for both.
func two(t *testing.T) (one, other *ldaptest.Server, p *Provider) {
	t.Helper()
	one, other = start(t, alice()), start(t, alice())
	p = provider(t, lines(one, "url "+other.URL()))
	usual, alive := 300*time.Millisecond, 600*time.Millisecond
	p.client.Patience(time.Minute, alive)
	signIn(t, p, "alice", "alicepw")
	if other.Dials.Load() > 0 {
		t.Fatal("the second server is asked while the first answers")
	}
	p.client.Patience(usual, alive)
	return one, other, p
}

func TestC18SecondServer(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name  string
		fault func(s *ldaptest.Server)
	}{
		{"killed", (*ldaptest.Server).Kill},
		{"frozen", (*ldaptest.Server).Freeze},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			one, other, p := two(t)
			tc.fault(one)
			signIn(t, p, "alice", "alicepw")
			if other.Binds.Load() == 0 {
				t.Error("who answered?")
			}
			if _, err := p.VerifyPassword(t.Context(), "alice", "wrong"); !errors.Is(err, flows.ErrCredentials) {
				t.Errorf("wrong password: %v", err)
			}
			if err := p.Health(); err != nil {
				t.Errorf("one of two is there: %v", err)
			}
			other.Kill()
			if _, err := p.VerifyPassword(t.Context(), "alice", "alicepw"); flows.ReasonOf(err) != flows.ReasonProviderDown {
				t.Errorf("both gone: %v", err)
			}
			if err := p.Health(); err == nil {
				t.Error("both are gone, and it is well")
			}
		})
	}
}

// The server may freeze between the search and the bind: the password is checked
// by the other, and by each once at most.
func TestC18FrozenBeforeTheBind(t *testing.T) {
	t.Parallel()
	one, other, p := two(t)
	p.client.Patience(time.Minute, 600*time.Millisecond)
	thaw := make(chan struct{})
	defer close(thaw)
	one.OnBind = func(dn, _ string) *ldaptest.Answer {
		if strings.HasPrefix(dn, "uid=alice") {
			one.Freeze()
			<-thaw
		}
		return nil
	}
	ctx, cancel := context.WithTimeout(t.Context(), 4*time.Second) // less than a call may take
	defer cancel()
	if _, err := p.VerifyPassword(ctx, "alice", "alicepw"); err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, l := range other.Log() {
		if strings.HasPrefix(l, "bind uid=alice") {
			n++
		}
	}
	if n != 1 {
		t.Errorf("the other server was asked %d times", n)
	}
}

// A server that takes its time over a password is not taken for a frozen one, and
// is not asked twice: a wrong password would count twice.
func TestSlowBindIsWaitedFor(t *testing.T) {
	t.Parallel()
	one, other, p := two(t)
	p.client.Patience(time.Minute, time.Minute)
	hold := make(chan struct{})
	one.OnBind = func(dn, _ string) *ldaptest.Answer {
		if strings.HasPrefix(dn, "uid=alice") {
			<-hold
		}
		return nil
	}
	done := make(chan error, 1)
	go func() {
		_, err := p.VerifyPassword(t.Context(), "alice", "wrong")
		done <- err
	}()
	dials := one.Dials.Load()
	for one.Dials.Load() < dials+2 { // the bind, and the question beside it
		select {
		case err := <-done:
			t.Fatalf("it ended with %v", err)
		case <-time.After(time.Millisecond):
		}
	}
	close(hold)
	if err := <-done; !errors.Is(err, flows.ErrCredentials) {
		t.Errorf("got %v", err)
	}
	if other.Binds.Load() > 0 {
		t.Errorf("the other server was asked, too: %q", other.Log())
	}
}

// A pooled connection that died unseen costs nobody a login.
func TestDeadConnectionsAreReplaced(t *testing.T) {
	t.Parallel()
	s := start(t, alice())
	p := provider(t, lines(s, ""))
	signIn(t, p, "alice", "alicepw")
	s.Hang()
	signIn(t, p, "alice", "alicepw")
}

// What is bound as a person is closed; what is pooled is the reader's, and few.
func TestNoConnectionLeaks(t *testing.T) {
	t.Parallel()
	s := start(t, alice())
	p := provider(t, lines(s, ""))
	var wg sync.WaitGroup
	for i := range 20 {
		wg.Go(func() {
			for range 50 {
				password := "alicepw"
				if i%2 == 0 {
					password = "wrong"
				}
				if _, err := p.VerifyPassword(t.Context(), "alice", password); err != nil && !errors.Is(err, flows.ErrCredentials) {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	if n := settled(s, 8); n > 8 {
		t.Errorf("%d connections are open", n)
	}
	readers := 0
	for _, l := range s.Log() {
		if l == "bind cn=reader,dc=example,dc=test" {
			readers++
		}
	}
	if readers > 200 {
		t.Errorf("%d connections were bound as the reader for 1,000 logins", readers)
	}
	if err := p.Cleanup(); err != nil {
		t.Fatal(err)
	}
	if n := settled(s, 0); n > 0 {
		t.Errorf("%d connections outlive the configuration", n)
	}
	signIn(t, p, "alice", "alicepw") // a request that is still under way (I17)
	if n := settled(s, 0); n > 0 {
		t.Errorf("%d connections are pooled after the end", n)
	}
}

// settled waits a little for the far side to notice what was closed.
func settled(s *ldaptest.Server, want int64) int64 {
	for range 500 {
		if s.Open.Load() <= want {
			break
		}
		time.Sleep(10 * time.Millisecond)
	}
	return s.Open.Load()
}

// A wrong bind_dn is our trouble and nobody's password.
func TestReaderRefused(t *testing.T) {
	t.Parallel()
	s := start(t, alice())
	s.Entries[0].Password = "changed"
	_, err := provider(t, lines(s, "")).VerifyPassword(t.Context(), "alice", "alicepw")
	if errors.Is(err, flows.ErrCredentials) || flows.ReasonOf(err) != flows.ReasonProviderDown || !strings.Contains(err.Error(), "bind_dn") {
		t.Errorf("got %v", err)
	}
	if strings.Contains(err.Error(), "readerpw") || strings.Contains(err.Error(), "alicepw") {
		t.Errorf("the error shows a password: %v", err)
	}
}

// No provision touches the network (I17).
func TestI17ProvisionOpensNothing(t *testing.T) {
	t.Parallel()
	s := start(t, alice())
	provider(t, lines(s, ""))
	if s.Dials.Load() > 0 {
		t.Error("the directory was asked")
	}
}
