package parts

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

// App is an old application behind the gateway.
type App struct {
	*Process
	// Addr is host:port.
	Addr string
	// Dir holds its configuration and data.
	Dir string
}

// Radicale starts the CalDAV server of Debian, which believes X-Remote-User.
func Radicale(t testing.TB) *App {
	t.Helper()
	program := Need(t, "radicale")
	a := &App{Addr: Addr(Port(t)), Dir: t.TempDir()}
	config := fmt.Sprintf(`[server]
hosts = %s
[auth]
type = http_x_remote_user
[rights]
type = owner_only
[storage]
filesystem_folder = %s
[web]
type = none
`, a.Addr, filepath.Join(a.Dir, "data"))
	file := writeFile(t, a.Dir, "config", config)
	// The system's python: another one in PATH does not have Debian's modules.
	cmd := exec.Command("/usr/bin/python3", "-I", program, "--config", file)
	a.Process = Start(t, "radicale", cmd)
	a.AwaitTCP(a.Addr, 30*time.Second)
	return a
}

const tomcatServer = `<Server port="-1"><Service name="Catalina">
<Connector port="%d" address="127.0.0.1" protocol="HTTP/1.1" maxThreads="20"/>
<Engine name="Catalina" defaultHost="localhost"><Host name="localhost" appBase="webapps" unpackWARs="false" autoDeploy="false"/></Engine>
</Service></Server>
`

// Tomcat starts Debian's Tomcat with one web application at /, made of these
// files: path inside the application → text.
func Tomcat(t testing.TB, files map[string]string) *App {
	t.Helper()
	catalina := Need(t, "tomcat")
	port := Port(t)
	a := &App{Addr: Addr(port), Dir: t.TempDir()}
	for _, dir := range []string{"logs", "temp", "work"} {
		if err := os.MkdirAll(filepath.Join(a.Dir, dir), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	defaults, err := os.ReadFile("/etc/tomcat10/web.xml")
	if err != nil {
		t.Fatal(err)
	}
	writeFile(t, a.Dir, "conf/web.xml", string(defaults))
	writeFile(t, a.Dir, "conf/server.xml", fmt.Sprintf(tomcatServer, port))
	for name, text := range files {
		writeFile(t, a.Dir, filepath.Join("webapps/ROOT", name), text)
	}
	cmd := exec.Command(catalina, "run")
	cmd.Env = append(os.Environ(),
		"CATALINA_HOME="+filepath.Dir(filepath.Dir(catalina)), "CATALINA_BASE="+a.Dir, "CATALINA_TMPDIR="+filepath.Join(a.Dir, "temp"),
		"JAVA_OPTS=-Xmx128m -XX:TieredStopAtLevel=1 -XX:+UseSerialGC -Djava.awt.headless=true")
	a.Process = Start(t, "tomcat", cmd)
	a.AwaitTCP(a.Addr, 90*time.Second)
	return a
}

// IcingaWeb2 starts PHP's FastCGI server for Debian's Icinga Web 2, set to
// believe REMOTE_USER; alice may do everything, others nothing.
func IcingaWeb2(t testing.TB) *App {
	t.Helper()
	Need(t, "icingaweb2")
	php := Need(t, "php-cgi")
	a := &App{Addr: Addr(Port(t)), Dir: t.TempDir()}
	writeFile(t, a.Dir, "config.ini", fmt.Sprintf(`[global]
config_backend = "none"
module_path = "/usr/share/icingaweb2/modules"
[logging]
log = "file"
level = "WARNING"
file = "%s"
`, filepath.Join(a.Dir, "app.log")))
	writeFile(t, a.Dir, "authentication.ini", "[autologin]\nbackend = \"external\"\n")
	writeFile(t, a.Dir, "roles.ini", "[Administrators]\nusers = \"alice\"\npermissions = \"*\"\n")
	writeFile(t, a.Dir, "resources.ini", "")
	sessions := filepath.Join(a.Dir, "sessions")
	if err := os.Mkdir(sessions, 0o700); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(php, "-b", a.Addr, "-d", "session.save_path="+sessions, "-d", "error_reporting=0")
	cmd.Env = append(os.Environ(), "ICINGAWEB_CONFIGDIR="+a.Dir, "PHP_FCGI_CHILDREN=2")
	a.Process = Start(t, "php-cgi", cmd)
	a.AwaitTCP(a.Addr, 30*time.Second)
	return a
}

func writeFile(t testing.TB, dir, name, text string) string {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}
