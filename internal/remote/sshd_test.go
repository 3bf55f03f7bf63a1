package remote

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"roost/internal/testneed"
)

func TestMain(m *testing.M) {
	// sshd is for administrators, so it is often not on a user's PATH.
	os.Setenv("PATH", os.Getenv("PATH")+":/usr/sbin:/usr/local/sbin")
	os.Exit(m.Run())
}

// server is a real sshd on the loopback, with keys and files of its own, and
// a link in front of it that counts connections and can be cut.
type server struct {
	dir    string
	config string // ssh_config that reaches it
	user   string
	sshd   int // its real port
	link   *link
}

func startServer(t *testing.T) *server {
	t.Helper()
	testneed.Tool(t, "sshd", "ssh", "ssh-keygen")
	me, err := user.Current()
	if err != nil {
		t.Fatal(err)
	}
	s := &server{dir: t.TempDir(), user: me.Username}
	for _, key := range []string{"host", "other", "login", "stranger"} {
		run(t, "ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", s.path(key))
	}
	s.link = newLink(t)
	s.write(t, "authorized_keys", s.read(t, "login.pub"))
	s.config = s.path("ssh_config")
	s.write(t, "ssh_config", s.clientConfig("login"))
	if os.Geteuid() == 0 { // sshd wants its empty folder, as its service would make it
		if err := os.MkdirAll("/run/sshd", 0o755); err != nil {
			t.Fatal(err)
		}
	}
	// sshd cannot choose a free port, and somebody may take the one we found.
	for range 5 {
		if s.listen(t, freePort(t)) {
			s.link.to.Store(int32(s.sshd))
			s.trust(t, "host")
			return s
		}
	}
	t.Fatal("sshd does not listen: " + s.read(t, "sshd.log"))
	return nil
}

// listen starts sshd on a port and reports whether it listens there.
func (s *server) listen(t *testing.T, port int) bool {
	s.sshd = port
	s.write(t, "sshd_config", fmt.Sprintf(`
ListenAddress 127.0.0.1
Port %d
HostKey %s
AuthorizedKeysFile %s
StrictModes no
UsePAM no
PasswordAuthentication no
PermitRootLogin prohibit-password
PidFile none
MaxStartups 100
PrintMotd no
`, port, s.path("host"), s.path("authorized_keys")))
	path, err := exec.LookPath("sshd")
	if err != nil {
		t.Fatal(err)
	}
	if path, err = filepath.Abs(path); err != nil { // as sshd demands
		t.Fatal(err)
	}
	s.write(t, "sshd.log", "")
	d := exec.Command(path, "-D", "-f", s.path("sshd_config"), "-E", s.path("sshd.log"))
	if err := d.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = d.Process.Kill()
		_ = d.Wait()
		if t.Failed() {
			t.Logf("sshd: %s", s.read(t, "sshd.log"))
		}
	})
	for range 1000 {
		switch log := s.read(t, "sshd.log"); {
		case strings.Contains(log, "Server listening on "):
			return true
		case strings.Contains(log, "Cannot bind"):
			return false
		}
		time.Sleep(10 * time.Millisecond)
	}
	return false
}

func (s *server) clientConfig(key string) string {
	return fmt.Sprintf(`Host *
  IdentityFile %s
  IdentitiesOnly yes
  IdentityAgent none
  UserKnownHostsFile %s
  GlobalKnownHostsFile /dev/null
  StrictHostKeyChecking no
  NoHostAuthenticationForLocalhost yes
`, s.path(key), s.path("known_hosts"))
}

// trust lists a key as the server's in known_hosts, below another line.
func (s *server) trust(t *testing.T, key string) {
	fields := strings.Fields(s.read(t, key+".pub"))
	line := func(port int) string { return fmt.Sprintf("[127.0.0.1]:%d %s %s\n", port, fields[0], fields[1]) }
	s.write(t, "known_hosts", "# a comment\n"+line(s.link.port)+line(s.sshd))
}

func (s *server) path(name string) string { return filepath.Join(s.dir, name) }

func (s *server) write(t *testing.T, name, text string) {
	t.Helper()
	if err := os.WriteFile(s.path(name), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func (s *server) read(t *testing.T, name string) string {
	t.Helper()
	b, err := os.ReadFile(s.path(name))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func (s *server) target() Target {
	return Target{Name: "malphas", Address: "127.0.0.1", User: s.user, Port: s.link.port}
}

// runtimeDir is a short folder: the name of t.TempDir() is too long for a socket.
func runtimeDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "rs")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

func (s *server) dial(t *testing.T, change ...func(*Target)) *Conn {
	t.Helper()
	target := s.target()
	for _, f := range change {
		f(&target)
	}
	c := Dial(target, Options{RuntimeDir: runtimeDir(t), Config: s.config})
	t.Cleanup(func() {
		if err := c.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return c
}

// link forwards TCP connections to a port of the loopback. It listens before
// that port is chosen, so that it cannot be its own.
type link struct {
	port  int
	to    atomic.Int32 // the port behind it
	count atomic.Int32

	mu    sync.Mutex
	conns []net.Conn
}

func newLink(t *testing.T) *link {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	k := &link{port: l.Addr().(*net.TCPAddr).Port}
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			in, err := l.Accept()
			if err != nil {
				return
			}
			out, err := net.Dial("tcp", fmt.Sprint("127.0.0.1:", k.to.Load()))
			if err != nil {
				in.Close()
				continue
			}
			k.count.Add(1)
			k.mu.Lock()
			k.conns = append(k.conns, in, out)
			k.mu.Unlock()
			for _, pair := range [][2]net.Conn{{in, out}, {out, in}} {
				wg.Go(func() { _, _ = io.Copy(pair[0], pair[1]); pair[0].Close() })
			}
		}
	})
	t.Cleanup(func() { l.Close(); k.cut(); wg.Wait() })
	return k
}

// cut ends all connections at once, as a reboot of the host does.
func (k *link) cut() {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, c := range k.conns {
		c.Close()
	}
	k.conns = nil
}

func freePort(t *testing.T) int {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}

func run(t *testing.T, name string, args ...string) {
	t.Helper()
	if out, err := exec.Command(name, args...).CombinedOutput(); err != nil {
		t.Fatalf("%s %q: %v\n%s", name, args, err, out)
	}
}

// sshProcesses lists the ssh processes that use a runtime folder.
func sshProcesses(t *testing.T, dir string) []string {
	t.Helper()
	out, err := exec.Command("pgrep", "-f", "-a", "^ssh .*"+dir).Output()
	var none *exec.ExitError
	if err != nil && !(errors.As(err, &none) && none.ExitCode() == 1) {
		t.Fatal(err)
	}
	return strings.Fields(string(out))
}
