package remote

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"roost/internal/testneed"
)

func TestRun(t *testing.T) {
	s := startServer(t)
	c := s.dial(t)
	for _, fresh := range []bool{false, true} {
		t.Run(fmt.Sprint("fresh=", fresh), func(t *testing.T) {
			args := []string{"it's", `a\b`, "", "$HOME", "two  words", "a\nb", "*", "-n", "Ünï"}
			var out, log bytes.Buffer
			err := c.Run(t.Context(), Cmd{
				Args:  append([]string{"sh", "-c", `cat; printf '%s\0' "$@"; echo log >&2`, "sh"}, args...),
				Stdin: strings.NewReader("in\x00"), Stdout: &out, Stderr: &log, Fresh: fresh,
			})
			if err != nil {
				t.Fatal(err)
			}
			want := append([]string{"in"}, args...)
			if diff := cmp.Diff(want, strings.Split(strings.TrimSuffix(out.String(), "\x00"), "\x00")); diff != "" {
				t.Error(diff)
			}
			if log.String() != "log\n" {
				t.Errorf("stderr %q: nothing but the command's own", log.String())
			}
		})
	}
}

func TestExitCodes(t *testing.T) {
	s := startServer(t)
	c := s.dial(t)
	for _, fresh := range []bool{false, true} {
		for _, script := range []string{"exit 1", "exit 4", "exit 127", "exit 255", "echo ssh: connect to host x port 22: Connection refused; exit 255"} {
			t.Run(fmt.Sprintf("fresh=%t %s", fresh, script), func(t *testing.T) {
				err := c.Run(t.Context(), Cmd{Args: []string{"sh", "-c", "echo why >&2; " + script + " >&2"}, Fresh: fresh})
				var e *ExitError
				if !errors.As(err, &e) {
					t.Fatalf("got %T: %v", err, err)
				}
				if want := "exit " + fmt.Sprint(e.Code); !strings.HasSuffix(script, want) || e.Host != "malphas" || !strings.HasPrefix(e.Stderr, "why\n") {
					t.Errorf("got %+v", e)
				}
			})
		}
		t.Run(fmt.Sprintf("fresh=%t signal", fresh), func(t *testing.T) {
			err := c.Run(t.Context(), Cmd{Args: []string{"sh", "-c", "kill -9 $$"}, Fresh: fresh})
			var e *ExitError
			if !errors.As(err, &e) {
				t.Fatalf("got %T: %v", err, err)
			}
		})
	}
}

func TestHostKey(t *testing.T) {
	s := startServer(t)
	for _, fresh := range []bool{false, true} {
		t.Run(fmt.Sprint("fresh=", fresh), func(t *testing.T) {
			c := s.dial(t)
			var e *HostKeyError

			s.trust(t, "other")
			if err := c.Run(t.Context(), Cmd{Args: []string{"true"}, Fresh: fresh}); !errors.As(err, &e) {
				t.Fatalf("changed key: got %v", err)
			}
			known := fmt.Sprintf("[127.0.0.1]:%d", s.link.port)
			if !e.Changed || e.File != s.path("known_hosts") || e.Line != 2 || e.KnownAs != known || !strings.HasPrefix(e.Fingerprint, "SHA256:") {
				t.Errorf("changed key: got %+v", e)
			}
			if want := fmt.Sprintf("ssh-keygen -f %s -R '%s'", e.File, known); !strings.Contains(e.Error(), want) {
				t.Errorf("%q does not say %q", e.Error(), want)
			}

			s.write(t, "known_hosts", "")
			if err := c.Run(t.Context(), Cmd{Args: []string{"true"}, Fresh: fresh}); !errors.As(err, &e) {
				t.Fatalf("unknown key: got %v", err)
			}
			if e.Changed || e.File != "" || !strings.Contains(e.Error(), fmt.Sprintf("ssh -F %s -p %d %s@127.0.0.1", s.config, s.link.port, s.user)) {
				t.Errorf("unknown key: got %+v: %v", e, e)
			}
			if s.read(t, "known_hosts") != "" {
				t.Error("the key was accepted")
			}

			s.trust(t, "host")
			if err := c.Run(t.Context(), Cmd{Args: []string{"true"}, Fresh: fresh}); err != nil {
				t.Errorf("after the repair: %v", err)
			}
		})
	}
}

func TestUnreachable(t *testing.T) {
	s := startServer(t)
	closed := freePort(t)
	tests := []struct {
		name   string
		change func(*Target)
		words  string
	}{
		{"refused", func(g *Target) { g.Port = closed }, "Connection refused"},
		{"no such name", func(g *Target) { g.Address = "no-such-host.invalid" }, "resolve hostname"},
		{"jump host refused", func(g *Target) { g.Jump = fmt.Sprint("127.0.0.1:", closed) }, "Connection refused"},
	}
	for _, tt := range tests {
		for _, fresh := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s fresh=%t", tt.name, fresh), func(t *testing.T) {
				err := s.dial(t, tt.change).Run(t.Context(), Cmd{Args: []string{"true"}, Fresh: fresh})
				var e *UnreachableError
				if !errors.As(err, &e) {
					t.Fatalf("got %T: %v", err, err)
				}
				if e.Lost || e.Host != "malphas" || !strings.Contains(e.Reason, tt.words) {
					t.Errorf("got %+v", e)
				}
			})
		}
	}
}

func TestConnectTimeout(t *testing.T) {
	s := startServer(t)
	mute, err := net.Listen("tcp", "127.0.0.1:0") // it takes connections and says nothing
	if err != nil {
		t.Fatal(err)
	}
	defer mute.Close()
	port := mute.Addr().(*net.TCPAddr).Port
	c := Dial(Target{Name: "malphas", Address: "127.0.0.1", Port: port}, Options{RuntimeDir: runtimeDir(t), Config: s.config, ConnectTimeout: time.Second})
	var e *UnreachableError
	if err := c.Connect(t.Context()); !errors.As(err, &e) || e.Lost {
		t.Fatalf("got %T: %v", err, err)
	}
}

func TestAuth(t *testing.T) {
	s := startServer(t)
	s.write(t, "ssh_config", s.clientConfig("stranger"))
	for _, fresh := range []bool{false, true} {
		err := s.dial(t).Run(t.Context(), Cmd{Args: []string{"true"}, Fresh: fresh})
		var e *AuthError
		if !errors.As(err, &e) || !strings.Contains(e.Reason, "Permission denied (publickey") || !strings.Contains(e.Error(), "ssh -v -F ") {
			t.Fatalf("got %T: %v", err, err)
		}
	}
}

func TestBrokenConfigIsNotUnreachable(t *testing.T) {
	s := startServer(t)
	s.write(t, "ssh_config", "NoSuchOption yes\n")
	for _, fresh := range []bool{false, true} {
		err := s.dial(t).Run(t.Context(), Cmd{Args: []string{"true"}, Fresh: fresh})
		var e *UnreachableError
		if err == nil || errors.As(err, &e) || !strings.Contains(err.Error(), "line 1: Bad configuration option: nosuchoption") {
			t.Errorf("got %T: %v", err, err)
		}
	}
}

// held is an input that does not end before the test: a command that reads it
// runs until its connection ends, and not longer.
func held(t *testing.T) *os.File {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close(); w.Close() })
	return r
}

func TestLost(t *testing.T) {
	s := startServer(t)
	for _, fresh := range []bool{false, true} {
		t.Run(fmt.Sprint("fresh=", fresh), func(t *testing.T) {
			c := s.dial(t)
			r, w := io.Pipe()
			done := make(chan error, 1)
			go func() {
				err := c.Run(t.Context(), Cmd{Args: []string{"sh", "-c", "echo up; exec cat"}, Stdin: held(t), Stdout: w, Fresh: fresh})
				w.CloseWithError(err)
				done <- err
			}()
			if _, err := io.ReadFull(r, make([]byte, 3)); err != nil {
				t.Fatal(err)
			}
			s.link.cut()
			err := <-done
			var e *UnreachableError
			if !errors.As(err, &e) || !e.Lost {
				t.Fatalf("got %T: %v", err, err)
			}
			t.Log(err)
			if err := c.Run(t.Context(), Cmd{Args: []string{"true"}, Fresh: fresh}); err != nil {
				t.Errorf("afterwards: %v", err)
			}
		})
	}
}

func TestCancel(t *testing.T) {
	s := startServer(t)
	for _, fresh := range []bool{false, true} {
		t.Run(fmt.Sprint("fresh=", fresh), func(t *testing.T) {
			c := s.dial(t)
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			r, w := io.Pipe()
			done := make(chan error, 1)
			go func() {
				err := c.Run(ctx, Cmd{Args: []string{"sh", "-c", "echo up; exec cat"}, Stdin: held(t), Stdout: w, Fresh: fresh})
				w.CloseWithError(err)
				done <- err
			}()
			if _, err := io.ReadFull(r, make([]byte, 3)); err != nil {
				t.Fatal(err)
			}
			cancel()
			err := <-done
			if !errors.Is(err, context.Canceled) || strings.Contains(err.Error(), "BatchMode") {
				t.Errorf("got %v", err)
			}
			if err := c.Run(t.Context(), Cmd{Args: []string{"true"}, Fresh: fresh}); err != nil {
				t.Errorf("afterwards: %v", err)
			}
		})
	}
}

func TestOneConnection(t *testing.T) {
	testneed.Tool(t, "pgrep")
	s := startServer(t)
	c := s.dial(t)
	var wg sync.WaitGroup
	for i := range 20 { // none of them finds the connection made
		wg.Go(func() {
			out, err := c.Output(t.Context(), "sh", "-c", fmt.Sprintf("sleep 0.2; echo %d", i)) // more at once than sshd allows
			if err != nil || string(out) != fmt.Sprintln(i) {
				t.Errorf("%d: got %q, %v", i, out, err)
			}
		})
	}
	wg.Wait()
	if n := s.link.count.Load(); n != 1 {
		t.Errorf("%d connections for 20 commands, want 1", n)
	}
	for range 2 {
		if err := c.Run(t.Context(), Cmd{Args: []string{"true"}, Fresh: true}); err != nil {
			t.Fatal(err)
		}
	}
	if n := s.link.count.Load(); n != 3 {
		t.Errorf("%d connections after two fresh commands, want 3", n)
	}

	dir := c.opts.RuntimeDir
	if len(sshProcesses(t, dir)) == 0 {
		t.Error("no master process before Close: the search below proves nothing")
	}
	if err := c.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	for i := 0; len(sshProcesses(t, dir)) > 0; i++ { // the socket goes an instant before the process
		if i == 3000 {
			t.Fatalf("still there: %v", sshProcesses(t, dir))
		}
		time.Sleep(10 * time.Millisecond)
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) != 0 {
		t.Errorf("left in the runtime folder: %v, %v", left, err)
	}
	if err := c.Run(t.Context(), Cmd{Args: []string{"true"}}); err != nil {
		t.Errorf("after Close: %v", err)
	}
}

// The background master must not hold the pipes of the first command.
func TestFirstCommandDoesNotWaitForMaster(t *testing.T) {
	s := startServer(t)
	c := s.dial(t)
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second) // the master lives 15 s
	defer cancel()
	var log bytes.Buffer
	if err := c.Run(ctx, Cmd{Args: []string{"true"}, Stdout: &log, Stderr: &log}); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(c.socket); err != nil {
		t.Errorf("the master is not up: %v", err)
	}
}

func TestStaleSocket(t *testing.T) {
	s := startServer(t)
	c := s.dial(t)
	if err := c.ready(); err != nil {
		t.Fatal(err)
	}
	fd, err := syscall.Socket(syscall.AF_UNIX, syscall.SOCK_STREAM, 0)
	if err != nil {
		t.Fatal(err)
	}
	if err := syscall.Bind(fd, &syscall.SockaddrUnix{Name: c.socket}); err != nil {
		t.Fatal(err)
	}
	syscall.Close(fd) // the file stays, as after a kill -9 of the master
	for range 2 {
		if err := c.Run(t.Context(), Cmd{Args: []string{"true"}}); err != nil {
			t.Fatal(err)
		}
	}
	if n := s.link.count.Load(); n != 1 {
		t.Errorf("%d connections, want 1", n)
	}
}

func TestJump(t *testing.T) {
	s := startServer(t)
	hop := fmt.Sprintf("%s@127.0.0.1:%d", s.user, s.link.port)
	behind := func(g *Target) { g.Port, g.Jump = s.sshd, hop+","+hop }
	c := s.dial(t, behind)
	for _, fresh := range []bool{false, true} {
		before := s.link.count.Load()
		if err := c.Run(t.Context(), Cmd{Args: []string{"true"}, Fresh: fresh}); err != nil {
			t.Fatal(err)
		}
		if n := s.link.count.Load() - before; n != 2 {
			t.Errorf("fresh=%t: %d connections over the jump host, want 2", fresh, n)
		}
	}
	// The jump host's key counts as much, though ssh_config says "no".
	s.write(t, "known_hosts", "")
	var e *HostKeyError
	if err := c.Run(t.Context(), Cmd{Args: []string{"true"}, Fresh: true}); !errors.As(err, &e) || e.KnownAs != fmt.Sprintf("[127.0.0.1]:%d", s.link.port) {
		t.Errorf("got %T: %v", err, err)
	}
}

// A jump host that only ssh_config knows must be heard as well.
func TestJumpOfConfig(t *testing.T) {
	s := startServer(t)
	closed := freePort(t)
	s.write(t, "ssh_config", fmt.Sprintf("Host inner\n  HostName 127.0.0.1\n  ProxyJump gate\nHost gate\n  HostName 127.0.0.1\n  Port %d\n", closed)+s.clientConfig("login"))
	for _, fresh := range []bool{false, true} {
		err := s.dial(t, func(g *Target) { g.Address = "inner" }).Run(t.Context(), Cmd{Args: []string{"true"}, Fresh: fresh})
		var e *UnreachableError
		if !errors.As(err, &e) || !strings.Contains(e.Reason, "Connection refused") {
			t.Errorf("got %T: %v", err, err)
		}
	}
}

func TestAddress(t *testing.T) {
	testneed.Tool(t, "ssh")
	config := filepath.Join(t.TempDir(), "config")
	if err := os.WriteFile(config, []byte("Host malphas\n  HostName 10.9.8.7\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	c := Dial(Target{Name: "m", Address: "malphas"}, Options{RuntimeDir: "/tmp/x", Config: config})
	for range 2 {
		if got, err := c.Address(t.Context()); err != nil || got != "10.9.8.7" {
			t.Errorf("got %q, %v", got, err)
		}
		os.Remove(config) // the second answer is the remembered one
	}
}

func TestBadTargets(t *testing.T) {
	good := Target{Name: "malphas", Address: "h"}
	dir := Options{RuntimeDir: "/run/r"}
	tests := []struct {
		name string
		t    Target
		o    Options
		want string
	}{
		{"no address", Target{Name: "malphas"}, dir, "has no address"},
		{"an option", Target{Name: "malphas", Address: "-oProxyCommand=x"}, dir, "is no ssh address"},
		{"an option as jump", Target{Name: "malphas", Address: "h", Jump: "-J"}, dir, "is no ssh jump"},
		{"space", Target{Name: "malphas", Address: "h", User: "a b"}, dir, "is no ssh user"},
		{"port", Target{Name: "malphas", Address: "h", Port: 70000}, dir, "no port"},
		{"relative folder", good, Options{RuntimeDir: "r"}, "absolute"},
		{"long folder", good, Options{RuntimeDir: "/" + strings.Repeat("x", 70)}, "2 bytes too many"},
		{"expanded", good, Options{RuntimeDir: "/run/%h"}, "would expand"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c := Dial(tt.t, tt.o)
			err := c.Run(t.Context(), Cmd{Args: []string{"true"}})
			if err == nil || !strings.HasPrefix(err.Error(), "malphas: ") || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v", err)
			}
			if _, nerr := c.NixOpts(); nerr == nil {
				t.Error("NixOpts says nothing")
			}
		})
	}
	open := runtimeDir(t)
	if err := os.Chmod(open, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := Dial(good, Options{RuntimeDir: open}).Connect(t.Context()); err == nil || !strings.Contains(err.Error(), "chmod 700 "+open) {
		t.Errorf("open runtime folder: got %v", err)
	}
}

func TestNixOpts(t *testing.T) {
	c := Dial(Target{Name: "m", Address: "fe80::1", User: "root", Port: 2222, Jump: "gate"}, Options{RuntimeDir: "/run/r", Config: "/etc/cfg"})
	opts, err := c.NixOpts()
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"-F /etc/cfg", "-p 2222", "-J gate", "-o ControlPath=" + c.socket, "-o StrictHostKeyChecking=yes", "-o BatchMode=yes"} {
		if !strings.Contains(opts, want) {
			t.Errorf("%q lacks %q", opts, want)
		}
	}
	if got := c.StoreURL(); got != "ssh-ng://root@[fe80::1]" {
		t.Errorf("got %s", got)
	}
	_, err = Dial(Target{Name: "m", Address: "h"}, Options{RuntimeDir: "/run/r", Config: "/my files/cfg"}).NixOpts()
	if err == nil || !strings.Contains(err.Error(), "/my files/cfg") {
		t.Errorf("got %v", err)
	}
}

// What NixOpts returns must be good ssh options that use the shared connection.
func TestNixOptsReachTheHost(t *testing.T) {
	s := startServer(t)
	c := s.dial(t)
	if err := c.Connect(t.Context()); err != nil {
		t.Fatal(err)
	}
	opts, err := c.NixOpts()
	if err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command("ssh", append(strings.Fields(opts), "127.0.0.1", "echo there")...).CombinedOutput()
	if err != nil || string(out) != "there\n" {
		t.Errorf("got %q, %v", out, err)
	}
	if n := s.link.count.Load(); n != 1 {
		t.Errorf("%d connections, want the shared one only", n)
	}
}

func TestLocal(t *testing.T) {
	c := Dial(Target{Name: "here", Local: true}, Options{})
	out, err := c.Output(t.Context(), "echo", "$HOME", "a b")
	if err != nil || string(out) != "$HOME a b\n" {
		t.Errorf("got %q, %v", out, err)
	}
	var e *ExitError
	if err := c.Run(t.Context(), Cmd{Args: []string{"sh", "-c", "echo no >&2; exit 255"}, Fresh: true}); !errors.As(err, &e) || e.Code != 255 || e.Host != "here" {
		t.Errorf("got %v", err)
	}
	if err := c.Run(t.Context(), Cmd{Args: []string{"no-such-program-here"}}); !errors.Is(err, exec.ErrNotFound) {
		t.Errorf("got %v", err)
	}
	if err := errors.Join(c.Connect(t.Context()), c.Close(t.Context())); err != nil {
		t.Error(err)
	}
}

func TestNul(t *testing.T) {
	c := Dial(Target{Name: "here", Local: true}, Options{})
	if err := c.Run(t.Context(), Cmd{Args: []string{"echo", "a\x00b"}}); err == nil || !strings.Contains(err.Error(), "NUL") {
		t.Errorf("got %v", err)
	}
}
