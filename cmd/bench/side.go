package main

import (
	"crypto/rand"
	"errors"
	"fmt"
	"math/big"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/crypto/bcrypt"

	"github.com/sallyport-gateway/sallyport/examples/browser"
)

// child is one of our own processes.
type child struct {
	cmd     *exec.Cmd
	address string
	log     string
}

// start runs this program in a role and waits until it listens; took is how
// long that was.
func start(role, dir, address string, env ...string) (c *child, took time.Duration, err error) {
	self, err := os.Executable()
	if err != nil {
		return nil, 0, err
	}
	c = &child{cmd: exec.Command(self), address: address, log: filepath.Join(dir, role+".log")}
	c.cmd.Env = append([]string{
		"PATH=" + os.Getenv("PATH"), "HOME=" + dir, "XDG_DATA_HOME=" + dir, "XDG_CONFIG_HOME=" + dir,
		roleVariable + "=" + role,
	}, env...)
	c.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	out, err := os.OpenFile(c.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, 0, err
	}
	defer out.Close()
	c.cmd.Stdout, c.cmd.Stderr = out, out
	begin := time.Now()
	if err := c.cmd.Start(); err != nil {
		return nil, 0, err
	}
	for time.Since(begin) < 20*time.Second {
		conn, err := net.DialTimeout("tcp", address, time.Second)
		if err == nil {
			return c, time.Since(begin), conn.Close()
		}
		time.Sleep(time.Millisecond)
	}
	c.stop()
	text, _ := os.ReadFile(c.log)
	return nil, 0, fmt.Errorf("%s does not listen on %s:\n%s", role, address, text)
}

func (c *child) stop() {
	_ = c.cmd.Process.Signal(syscall.SIGTERM)
	done := make(chan struct{})
	go func() { _ = c.cmd.Wait(); close(done) }()
	select {
	case <-done:
	case <-time.After(5 * time.Second):
		_ = c.cmd.Process.Kill()
		<-done
	}
}

func startUpstream(dir string) (*child, error) {
	address, err := freeAddress()
	if err != nil {
		return nil, err
	}
	c, _, err := start("upstream", dir, address, "LISTEN="+address)
	return c, err
}

// side is one of the two proxies that are compared.
type side struct {
	*child
	name        string
	request     []byte
	starts      []float64 // milliseconds
	connections []*keepAlive
}

const plainSite = `{
	admin off
	auto_https off
}
http://%s {
	reverse_proxy %s
}
`

const protectSite = `{
	admin off
	auto_https off
	identity {
		provider people local {
			user alice %s {
				email  alice@example.test
				groups admins staff
			}
		}
	}
}
http://%s {
	protect {
		header X-User   {user.name}
		header X-Email  {user.email}
		header X-Groups {user.groups}
%s	}
	reverse_proxy %s
}
`

// policy is a line that every request is judged by.
const policy = "\t\trequire `\"staff\" in user.groups && request.path.startsWith(\"/\")`\n"

const password = "a password for the bench"

// neighbours are other sites of the proxy, one for each dialect: what they send
// is stripped from the requests of the measured site as well. Plain Caddy gets
// the sites without a protect: finding one among many costs both the same.
func neighbours(address string, protect bool) string {
	_, port, _ := net.SplitHostPort(address)
	var b strings.Builder
	for _, dialect := range []string{
		"siteminder", "oam", "webseal", "shibboleth", "mellon", "remote_user", "x_forwarded",
		"openam {\n attribute X-Openam name\n }", "f5 {\n attribute X-F5 name\n }", "okta_ag {\n attribute X-Okta name\n }",
	} {
		name, _, _ := strings.Cut(dialect, " ")
		fmt.Fprintf(&b, "http://%s.localhost:%s {\n", strings.ReplaceAll(name, "_", "-"), port)
		if protect {
			fmt.Fprintf(&b, " protect {\n headers %s\n }\n", dialect)
		}
		b.WriteString(" respond ok\n}\n")
	}
	return b.String()
}

func startSide(name, dir, upstream string, o options) (*side, error) {
	address, err := freeAddress()
	if err != nil {
		return nil, err
	}
	home := filepath.Join(dir, name)
	if err := os.Mkdir(home, 0o700); err != nil {
		return nil, err
	}
	text := fmt.Sprintf(plainSite, address, upstream)
	if name == "protect" {
		hash, err := bcrypt.GenerateFromPassword([]byte(password), bcrypt.DefaultCost)
		if err != nil {
			return nil, err
		}
		rule := ""
		if o.policy {
			rule = policy
		}
		text = fmt.Sprintf(protectSite, hash, address, rule, upstream)
	}
	if o.dialects {
		text += neighbours(address, name == "protect")
	}
	config := filepath.Join(home, "Caddyfile")
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		return nil, err
	}
	s := &side{name: name}
	for i := range max(1, o.starts) {
		if i > 0 {
			s.stop()
		}
		c, took, err := start("proxy", home, address, "CONFIG="+config, "GOGC="+o.gogc)
		if err != nil {
			return nil, err
		}
		s.child = c
		s.starts = append(s.starts, float64(took.Microseconds())/1000)
	}
	return s, nil
}

// signIn walks the gateway's own sign-in page and answers the Cookie header.
func signIn(site string) (string, error) {
	b := browser.New()
	defer b.Close()
	p, err := b.Open(site + "/")
	if err != nil {
		return "", err
	}
	if p, err = p.Fill("username", "alice", "password", password); err != nil {
		return "", err
	}
	if p.Status != http.StatusOK || len(p.Body) != 1024 {
		return "", fmt.Errorf("signing in: %d %.300s", p.Status, p.Text())
	}
	var pairs []string
	for _, c := range b.Jar.Cookies(site + "/") {
		pairs = append(pairs, c.Name+"="+c.Value)
	}
	if len(pairs) == 0 {
		return "", errors.New("signed in without a cookie")
	}
	return strings.Join(pairs, "; "), nil
}

// freeAddress is a free port of 127.0.0.1 below those of outgoing connections.
func freeAddress() (string, error) {
	for range 100 {
		n, err := rand.Int(rand.Reader, big.NewInt(12000))
		if err != nil {
			return "", err
		}
		address := net.JoinHostPort("127.0.0.1", strconv.Itoa(20000+int(n.Int64())))
		if l, err := net.Listen("tcp", address); err == nil {
			return address, l.Close()
		}
	}
	return "", errors.New("no free port between 20000 and 32000")
}
