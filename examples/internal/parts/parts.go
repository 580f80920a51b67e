// Package parts starts the real things that the tests of the examples talk to:
// the gateway itself as a process, OpenID providers, old applications. All of
// them listen on 127.0.0.1 only, and every wait has an end.
package parts

import (
	"context"
	"crypto/rand"
	"fmt"
	"math/big"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/sallyport-gateway/sallyport/flows/flowstest"
)

// need says what brings a part: the files or commands it is known by, any of them.
type need struct {
	install string
	paths   []string
}

var needs = map[string]need{
	"radicale":           {"apt-get install radicale", []string{"/usr/bin/radicale"}},
	"tomcat":             {"apt-get install tomcat10", []string{"/usr/share/tomcat10/bin/catalina.sh"}},
	"icingaweb2":         {"apt-get install icingaweb2 php-xml php-intl php-mbstring", []string{"/usr/share/icingaweb2/public/index.php"}},
	"simplesamlphp":      {"apt-get install simplesamlphp php-xml php-mbstring", []string{"/usr/share/simplesamlphp/www/index.php"}},
	"php":                {"apt-get install php-cli", []string{"php"}},
	"php-cgi":            {"apt-get install php-cgi", []string{"php-cgi"}},
	"slapd":              {"apt-get install slapd", []string{"/usr/sbin/slapd"}},
	"slapadd":            {"apt-get install slapd", []string{"/usr/sbin/slapadd"}},
	"krb5kdc":            {"apt-get install krb5-kdc", []string{"/usr/sbin/krb5kdc"}},
	"kdb5_util":          {"apt-get install krb5-kdc", []string{"/usr/sbin/kdb5_util"}},
	"kadmin.local":       {"apt-get install krb5-admin-server", []string{"/usr/sbin/kadmin.local"}},
	"kinit":              {"apt-get install krb5-user", []string{"kinit"}},
	"samba":              {"apt-get install samba samba-ad-provision samba-dsdb-modules samba-vfs-modules", []string{"/usr/sbin/samba"}},
	"samba-tool":         {"apt-get install samba samba-ad-provision samba-dsdb-modules samba-vfs-modules", []string{"/usr/bin/samba-tool"}},
	"curl":               {"apt-get install curl", []string{"curl"}},
	"postgres":           {"apt-get install postgresql", append(newest("/usr/lib/postgresql/*/bin/postgres"), "postgres")},
	"mariadbd":           {"apt-get install mariadb-server-core", []string{"/usr/sbin/mariadbd"}},
	"mariadb-install-db": {"apt-get install mariadb-server-core mariadb-client-core", []string{"/usr/bin/mariadb-install-db"}},
	"chromium":           {"apt-get install chromium", []string{"chromium", "chromium-browser", "google-chrome"}},
	"node":               {"make parts (npm install node@" + nodeVersion + ")", []string{filepath.Join(Cache(), "npm/node_modules/node/bin/node")}},
	"axe-core":           {"make parts (npm install axe-core@" + axeVersion + ")", []string{filepath.Join(Cache(), "npm/node_modules/axe-core/axe.min.js")}},
	"oidc-provider":      {"make parts (npm install oidc-provider@" + oidcProviderVersion + ")", []string{filepath.Join(Cache(), "npm/node_modules/oidc-provider/package.json")}},
	"smtp-server":        {"make parts (npm install smtp-server@" + smtpServerVersion + ")", []string{filepath.Join(Cache(), "npm/node_modules/smtp-server/package.json")}},
}

// newest are the files that a pattern matches, the last one first.
func newest(pattern string) []string {
	all, _ := filepath.Glob(pattern)
	slices.Reverse(all)
	return all
}

// axeVersion and nodeVersion are what .ci/parts.sh installs: not every Debian has a Node.js
// on which oidc-provider runs.
const axeVersion, nodeVersion = "4.14.1", "22.23.3"

// Need returns where a part is. If it is not there the test is skipped, and the
// skip names what would bring it; with CI=true a missing part is a failure.
func Need(t testing.TB, part string) string {
	t.Helper()
	n, ok := needs[part]
	if !ok {
		t.Fatalf("no part is called %q", part)
	}
	for _, p := range n.paths {
		if filepath.IsAbs(p) {
			if _, err := os.Stat(p); err == nil {
				return p
			}
		} else if found, err := exec.LookPath(p); err == nil {
			return found
		}
	}
	flowstest.Skip(t, "%s is missing: %s", part, n.install)
	return ""
}

// Cache is the folder outside of the tree where .ci/parts.sh keeps what npm brings.
func Cache() string {
	if dir := os.Getenv("SALLYPORT_PARTS"); dir != "" {
		return dir
	}
	dir, err := os.UserCacheDir()
	if err != nil {
		dir = os.TempDir()
	}
	return filepath.Join(dir, "sallyport-parts")
}

// Root is the folder of go.mod.
func Root() string {
	_, file, _, _ := runtime.Caller(0)
	return filepath.Join(filepath.Dir(file), "..", "..", "..")
}

var (
	portsMu sync.Mutex
	given   = map[int]bool{}
)

// Port finds a free port on 127.0.0.1 between 20000 and 32700: above 32767 the
// kernel gives ports to outgoing connections, and one may be gone before its
// server starts.
func Port(t testing.TB) int {
	t.Helper()
	portsMu.Lock()
	defer portsMu.Unlock()
	for range 200 {
		n, err := rand.Int(rand.Reader, big.NewInt(12700))
		if err != nil {
			t.Fatal(err)
		}
		p := 20000 + int(n.Int64())
		if given[p] {
			continue
		}
		l, err := net.Listen("tcp", Addr(p))
		if err != nil {
			continue
		}
		_ = l.Close()
		given[p] = true
		return p
	}
	t.Fatal("no free port between 20000 and 32700")
	return 0
}

// Addr is 127.0.0.1:port.
func Addr(port int) string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(port)) }

// Await asks check every 20 ms until it answers nil; after limit the test fails
// with its last error.
func Await(t testing.TB, what string, limit time.Duration, check func() error) {
	t.Helper()
	if err := poll(limit, check); err != nil {
		t.Fatalf("%s: not after %s: %v", what, limit, err)
	}
}

func poll(limit time.Duration, check func() error) error {
	end := time.NewTimer(limit)
	defer end.Stop()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		err := check()
		if err == nil {
			return nil
		}
		select {
		case <-end.C:
			return err
		case <-tick.C:
		}
	}
}

// answers checks that something listens on address.
func answers(address string) error {
	c, err := net.DialTimeout("tcp", address, time.Second)
	if err != nil {
		return err
	}
	return c.Close()
}

// speaks checks that url answers a GET with anything below 500.
func speaks(url string) error {
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Second)
	defer cancel()
	q, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	res, err := client.Do(q)
	if err != nil {
		return err
	}
	_ = res.Body.Close()
	if res.StatusCode >= 500 {
		return fmt.Errorf("%s answers %d", url, res.StatusCode)
	}
	return nil
}

// client is for the helpers themselves; it follows nothing and keeps nothing.
var client = &http.Client{
	Timeout:       30 * time.Second,
	Transport:     &http.Transport{DisableKeepAlives: true},
	CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
}
