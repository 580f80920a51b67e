package parts

import (
	"crypto/rand"
	"database/sql"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/go-sql-driver/mysql"
	_ "github.com/jackc/pgx/v5/stdlib" // the driver pgx, for the administrator
)

// Database is PostgreSQL or MariaDB with a database hr and, in it, whatever SQL a
// test brings. The user gateway may do everything there: what it cannot do, it was
// kept from. TLS is spoken, and is not insisted on.
type Database struct {
	*Process
	// Scheme is postgres or mariadb, Addr host:port.
	Scheme, Addr string
	// Password is gateway's; it has characters that mean something in an address.
	Password string
	// CA is the file with the certificate that signed the server's.
	CA string

	t     testing.TB
	admin *sql.DB
	cmd   func() *exec.Cmd
}

// Postgres starts PostgreSQL; seed is SQL for the administrator.
func Postgres(t testing.TB, seed ...string) *Database {
	t.Helper()
	bin, err := filepath.EvalSymlinks(Need(t, "postgres"))
	if err != nil {
		t.Fatal(err)
	}
	d, dir, as := newDatabase(t, "postgres")
	data, password := filepath.Join(dir, "data"), filepath.Join(dir, "password")
	if err := os.WriteFile(password, []byte(d.Password), 0o600); err != nil {
		t.Fatal(err)
	}
	as.owns(t, password)
	as.run(t, exec.Command(filepath.Join(filepath.Dir(bin), "initdb"), "-D", data, "-U", "admin", "-A", "scram-sha-256", "--pwfile", password, "-N", "-E", "UTF8", "--locale=C.UTF-8"))
	_, port, _ := strings.Cut(d.Addr, ":")
	d.cmd = func() *exec.Cmd {
		args := []string{"-D", data, "-p", port}
		for _, set := range []string{"listen_addresses=127.0.0.1", "unix_socket_directories=", "fsync=off", "shared_buffers=16MB", "dynamic_shared_memory_type=mmap", "ssl=on", "ssl_cert_file=" + dir + "/cert.pem", "ssl_key_file=" + dir + "/key.pem"} {
			args = append(args, "-c", set)
		}
		return as.lend(exec.Command(bin, args...))
	}
	d.start()
	d.connect("pgx", d.url("admin", "postgres"))
	d.Exec("CREATE DATABASE hr", "CREATE USER gateway PASSWORD '"+d.Password+"'")
	d.connect("pgx", d.url("admin", "hr"))
	d.Exec(seed...)
	d.Exec("GRANT ALL ON SCHEMA public TO gateway", "GRANT ALL ON ALL TABLES IN SCHEMA public TO gateway")
	return d
}

// What the kernel gives a user for asynchronous I/O is shared by all their servers, and
// one that finds none left does not begin. A small log is quickly made.
const plainIO, smallLog = "--innodb-use-native-aio=0", "--innodb-log-file-size=8M"

// MariaDB starts MariaDB; seed is SQL for the administrator.
func MariaDB(t testing.TB, seed ...string) *Database {
	t.Helper()
	bin, install := Need(t, "mariadbd"), Need(t, "mariadb-install-db")
	d, dir, as := newDatabase(t, "mariadb")
	data := filepath.Join(dir, "data")
	as.run(t, exec.Command(install, "--no-defaults", "--datadir="+data, "--auth-root-authentication-method=normal", "--skip-test-db", "--skip-name-resolve", plainIO, smallLog))
	_, port, _ := strings.Cut(d.Addr, ":")
	d.cmd = func() *exec.Cmd {
		return as.lend(exec.Command(bin, "--no-defaults", "--datadir="+data, "--port="+port, "--bind-address=127.0.0.1", "--skip-name-resolve", "--socket="+dir+"/s", "--pid-file="+dir+"/pid",
			"--innodb-flush-log-at-trx-commit=0", "--innodb-buffer-pool-size=16M", plainIO, smallLog, "--performance-schema=off", "--skip-log-bin", "--character-set-server=utf8mb4", "--ssl-cert="+dir+"/cert.pem", "--ssl-key="+dir+"/key.pem"))
	}
	d.start()
	d.connect("mysql", "root@tcp("+d.Addr+")/")
	d.Exec("CREATE DATABASE hr", "CREATE USER gateway IDENTIFIED BY '"+d.Password+"'", "GRANT ALL ON hr.* TO gateway")
	d.connect("mysql", "root@tcp("+d.Addr+")/hr")
	d.Exec(seed...)
	return d
}

func newDatabase(t testing.TB, scheme string) (*Database, string, owner) {
	t.Helper()
	as := someone(t)
	dir, err := os.MkdirTemp("", "sallyport-"+scheme+"-") // t.TempDir is for the user of the test only
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	as.owns(t, dir)
	ca, cert, key := Certificate(t, "127.0.0.1")
	for name, from := range map[string]string{"cert.pem": cert, "key.pem": key} {
		text, err := os.ReadFile(from)
		if err != nil {
			t.Fatal(err)
		}
		as.owns(t, writeFile(t, dir, name, string(text)))
	}
	return &Database{Scheme: scheme, Addr: Addr(Port(t)), Password: "p@ss:w/o?r#d%41&" + rand.Text()[:6], CA: ca, t: t}, dir, as
}

// start runs the server; it is awake again before it is stopped.
func (d *Database) start() {
	d.t.Helper()
	d.Process = Start(d.t, d.Scheme, d.cmd())
	d.t.Cleanup(func() {
		d.Thaw()
		d.signal(syscall.SIGINT) // PostgreSQL waits for its clients after SIGTERM
	})
	d.AwaitTCP(d.Addr, 60*time.Second)
}

func (d *Database) url(user, name string) string {
	return (&url.URL{Scheme: "postgres", User: url.UserPassword(user, d.Password), Host: d.Addr, Path: name, RawQuery: "sslmode=disable"}).String()
}

// The driver's logger is the process's, and it says of each ping that a server which is
// only starting does not answer.
func init() { _ = mysql.SetLogger(&mysql.NopLogger{}) }

func (d *Database) connect(driver, dsn string) {
	d.t.Helper()
	db, err := sql.Open(driver, dsn)
	if err != nil {
		d.t.Fatal(err)
	}
	db.SetMaxIdleConns(0)
	d.t.Cleanup(func() { _ = db.Close() })
	d.await(d.Addr, 60*time.Second, db.Ping)
	d.admin = db
}

// Exec runs SQL as the administrator.
func (d *Database) Exec(all ...string) {
	d.t.Helper()
	for _, text := range all {
		if _, err := d.admin.Exec(text); err != nil {
			d.t.Fatalf("%s: %v", text, err)
		}
	}
}

// Count is the number that a query of the administrator answers.
func (d *Database) Count(query string) (n int) {
	d.t.Helper()
	if err := d.admin.QueryRow(query).Scan(&n); err != nil {
		d.t.Fatalf("%s: %v", query, err)
	}
	return n
}

// Again starts it after Crash.
func (d *Database) Again() {
	d.t.Helper()
	d.run(d.cmd())
	d.await(d.Addr, 60*time.Second, d.admin.Ping)
}

// Crash ends it with kill -9, with its workers.
func (d *Database) Crash() {
	workers := d.workers()
	d.Kill()
	for _, pid := range workers {
		_ = syscall.Kill(pid, syscall.SIGKILL)
	}
	Await(d.t, "its workers are gone", 10*time.Second, func() error {
		for _, pid := range workers {
			if syscall.Kill(pid, 0) == nil && parent(pid) > 1 {
				return fmt.Errorf("%d lives", pid)
			}
		}
		return nil
	})
}

// Freeze stops all of it where it is (SIGSTOP). Thaw lets it go on.
func (d *Database) Freeze() {
	d.signal(syscall.SIGSTOP)
	d.stopped(d.Pid())
	for _, pid := range d.workers() {
		_ = syscall.Kill(pid, syscall.SIGSTOP)
		d.stopped(pid)
	}
}

// Thaw is SIGCONT.
func (d *Database) Thaw() {
	for _, pid := range d.workers() {
		_ = syscall.Kill(pid, syscall.SIGCONT)
	}
	d.signal(syscall.SIGCONT)
}

// workers are the processes PostgreSQL has for its clients, each a group of its own.
func (d *Database) workers() (pids []int) {
	all, _ := filepath.Glob("/proc/[0-9]*")
	for _, p := range all {
		if pid, err := strconv.Atoi(filepath.Base(p)); err == nil && parent(pid) == d.Pid() {
			pids = append(pids, pid)
		}
	}
	return pids
}

func parent(pid int) int {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0
	}
	_, rest, _ := strings.Cut(string(stat), ") ")
	f := strings.Fields(rest)
	if len(f) < 2 {
		return 0
	}
	n, _ := strconv.Atoi(f[1])
	return n
}

// owner is whom a server runs as: databases refuse to be root.
type owner struct{ credential *syscall.Credential }

func someone(t testing.TB) owner {
	t.Helper()
	if os.Geteuid() != 0 {
		return owner{}
	}
	for _, name := range []string{"postgres", "nobody"} {
		u, err := user.Lookup(name)
		if err != nil {
			continue
		}
		uid, err1 := strconv.ParseUint(u.Uid, 10, 32)
		gid, err2 := strconv.ParseUint(u.Gid, 10, 32)
		if err1 == nil && err2 == nil {
			return owner{&syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}}
		}
	}
	t.Fatal("there is neither a user postgres nor nobody to run a database as")
	return owner{}
}

func (o owner) owns(t testing.TB, path string) {
	t.Helper()
	if o.credential == nil {
		return
	}
	if err := os.Chown(path, int(o.credential.Uid), int(o.credential.Gid)); err != nil {
		t.Fatal(err)
	}
}

func (o owner) lend(cmd *exec.Cmd) *exec.Cmd {
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: o.credential}
	cmd.Dir = "/"
	cmd.Env = append(slices.Clone(os.Environ()), "LC_ALL=C.UTF-8")
	return cmd
}

func (o owner) run(t testing.TB, cmd *exec.Cmd) {
	t.Helper()
	if out, err := o.lend(cmd).CombinedOutput(); err != nil {
		t.Fatalf("%s: %v\n%s", cmd.Path, err, out)
	}
}
