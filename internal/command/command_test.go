package command

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

func sh(script string) Cmd { return Cmd{Name: "/bin/sh", Args: []string{"-c", script}} }

func TestOutput(t *testing.T) {
	c := sh(`cat; pwd; echo "$A"; echo log >&2`)
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	var log bytes.Buffer
	c.Dir, c.Env, c.Stdin, c.Stderr = dir, []string{"A=1", "A=two"}, strings.NewReader("in\n"), &log
	out, err := Output(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := string(out), "in\n"+dir+"\ntwo\n"; got != want {
		t.Errorf("stdout %q, want %q", got, want)
	}
	if log.String() != "log\n" {
		t.Errorf("stderr %q", log.String())
	}
}

func TestStdinIsEmptyAndThereIsNoTerminal(t *testing.T) {
	out, err := Output(t.Context(), sh(`cat; if (: </dev/tty) 2>/dev/null; then echo terminal; fi`))
	if err != nil || len(out) != 0 {
		t.Errorf("got %q, %v", out, err)
	}
}

func TestSameWriterTwice(t *testing.T) {
	// A plain buffer: the race detector speaks up if both streams write at once.
	var both bytes.Buffer
	c := sh(`i=0; while [ $i -lt 200 ]; do echo out; echo err >&2; i=$((i+1)); done`)
	c.Stdout, c.Stderr = &both, &both
	if err := Run(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(both.String(), "\n"); n != 400 {
		t.Errorf("%d lines, want 400", n)
	}
}

func TestErrors(t *testing.T) {
	tests := []struct {
		name   string
		cmd    Cmd
		code   int
		signal syscall.Signal
		words  string
	}{
		{"exit code", sh("echo a >&2; echo b >&2; exit 7"), 7, 0, "exit code 7\n  a\n  b"},
		{"killed", sh("kill -9 $$"), -1, syscall.SIGKILL, "was killed (signal 9): the kernel's memory killer, most likely"},
		{"other signal", sh("kill -ABRT $$"), -1, syscall.SIGABRT, "ended by signal 6 (aborted"},
		{"arguments", Cmd{Name: "false", Args: []string{"a b", ""}}, 1, 0, `false "a b" "": exit code 1`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			err := Run(t.Context(), tt.cmd)
			var e *Error
			if !errors.As(err, &e) {
				t.Fatalf("got %v", err)
			}
			if e.ExitCode != tt.code || e.Signal != tt.signal {
				t.Errorf("code %d signal %v", e.ExitCode, e.Signal)
			}
			if !strings.Contains(err.Error(), tt.words) {
				t.Errorf("message %q does not contain %q", err, tt.words)
			}
		})
	}
}

func TestNotFound(t *testing.T) {
	err := Run(t.Context(), Cmd{Name: "no-such-program-here"})
	if !errors.Is(err, exec.ErrNotFound) {
		t.Fatalf("got %v", err)
	}
	if n := strings.Count(err.Error(), "no-such-program-here"); n != 1 {
		t.Errorf("names the program %d times: %v", n, err)
	}
}

func TestStderrTail(t *testing.T) {
	c := sh(`i=0; while [ $i -lt 3000 ]; do echo "line $i" >&2; i=$((i+1)); done; exit 1`)
	c.Keep = 1000
	var e *Error
	if err := Run(t.Context(), c); !errors.As(err, &e) {
		t.Fatalf("got %v", err)
	}
	if len(e.Stderr) > 1000 || len(e.Stderr) < 900 || !strings.HasSuffix(e.Stderr, "line 2999\n") || !strings.HasPrefix(e.Stderr, "line 29") {
		t.Errorf("kept %d bytes: %q", len(e.Stderr), e.Stderr)
	}
	if n := strings.Count(e.Error(), "\n"); n != shownLines {
		t.Errorf("message shows %d lines", n)
	}
}

// alive reports whether a process exists and is no zombie.
func alive(pid int) bool {
	if syscall.Kill(pid, 0) != nil {
		return false
	}
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	return err != nil || !strings.Contains(string(stat), ") Z ")
}

// started runs c until it has written count process ids to stdout, cancels it
// with a cause, and returns them with the error.
func started(t *testing.T, c Cmd, count int) ([]int, error) {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	ctx, cancel := context.WithCancelCause(t.Context())
	defer cancel(nil)
	c.Stdout = w
	done := make(chan error, 1)
	go func() { done <- Run(ctx, c); w.Close() }()
	pids := make([]int, count)
	for i := range pids {
		if _, err := fmt.Fscanln(r, &pids[i]); err != nil {
			t.Fatal(err)
		}
	}
	cancel(errors.New("the test has seen enough"))
	return pids, <-done
}

func TestCancel(t *testing.T) {
	tests := []struct{ name, script string }{
		{"obeys", `sleep 100 & echo $!; echo $$; wait`},
		{"child ignores SIGTERM", `sh -c 'trap "" TERM; echo $$; while :; do sleep 0.05; done' & echo $$; trap 'exit 0' TERM; while :; do sleep 0.05; done`},
		{"all ignore SIGTERM", `trap "" TERM; sh -c 'echo $$; while :; do sleep 0.05; done' & echo $$; while :; do sleep 0.05; done`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			c := sh(tt.script)
			c.Grace = 300 * time.Millisecond
			var log bytes.Buffer
			c.Stderr = &log // a pipe that the grandchild holds as well
			pids, err := started(t, c, 2)
			if !errors.Is(err, context.Canceled) || !strings.Contains(err.Error(), "was stopped: ") || !strings.Contains(err.Error(), "seen enough") {
				t.Errorf("got %v", err)
			}
			for _, pid := range pids {
				if alive(pid) {
					t.Errorf("process %d is still there", pid)
				}
			}
		})
	}
}

func TestBackgroundProcessDoesNotHang(t *testing.T) {
	c := sh(`sleep 100 & echo $! ; echo kept >&2`)
	out, err := Output(t.Context(), c)
	pid, perr := strconv.Atoi(strings.TrimSpace(string(out)))
	if err != nil || perr != nil {
		t.Fatalf("got %q, %v", out, err)
	}
	if !alive(pid) {
		t.Error("a program that ended well may leave a daemon, but it was killed")
	}
	_ = syscall.Kill(pid, syscall.SIGKILL)
}

// A background process that never falls silent.
func TestBackgroundProcessThatWrites(t *testing.T) {
	c := sh("while echo background; do :; done & echo $! >&2; echo own")
	var pid bytes.Buffer
	c.Stderr = &pid
	out, err := Output(t.Context(), c)
	if err != nil || !strings.Contains(string(out), "own\n") {
		t.Errorf("got %d bytes, %v", len(out), err)
	}
	if n, err := strconv.Atoi(strings.TrimSpace(pid.String())); err == nil {
		_ = syscall.Kill(n, syscall.SIGKILL)
	}
}

// slow takes its time for each write.
type slow struct{ n int }

func (s *slow) Write(p []byte) (int, error) {
	time.Sleep(30 * time.Millisecond)
	s.n += len(p)
	return len(p), nil
}

// Nothing the program wrote may be lost, however slowly it is taken, and
// though a background process holds the pipe.
func TestSlowWriter(t *testing.T) {
	const size = 300_000
	w := new(slow)
	c := sh(fmt.Sprintf("sleep 100 & echo $! >&2; head -c %d /dev/zero", size))
	var pid bytes.Buffer
	c.Stdout, c.Stderr = w, &pid
	if err := Run(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	if w.n != size {
		t.Errorf("%d bytes arrived, want %d", w.n, size)
	}
	if n, err := strconv.Atoi(strings.TrimSpace(pid.String())); err == nil {
		_ = syscall.Kill(n, syscall.SIGKILL)
	}
}

type broken struct{}

func (broken) Write([]byte) (int, error) { return 0, errors.New("the log is full") }

func TestWriterFails(t *testing.T) {
	c := sh("echo x; exit 0")
	c.Stdout = broken{}
	if err := Run(t.Context(), c); err == nil || !strings.Contains(err.Error(), "the log is full") {
		t.Errorf("got %v", err)
	}
	c = sh("while echo x; do :; done") // must not run on for ever
	c.Stdout = broken{}
	if err := Run(t.Context(), c); err == nil {
		t.Error("no error")
	}
}

// A background process holds stdin and does not read the rest of it.
func TestStdinThatIsNotRead(t *testing.T) {
	c := sh("exec 3<&0; sleep 100 <&3 & echo $!")
	c.Stdin = bytes.NewReader(make([]byte, 1<<20))
	c.Grace = 20 * time.Millisecond
	out, err := Output(t.Context(), c)
	if err != nil {
		t.Error(err)
	}
	if n, err := strconv.Atoi(strings.TrimSpace(string(out))); err == nil {
		_ = syscall.Kill(n, syscall.SIGKILL)
	}
}

func TestCancelledBefore(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	file := filepath.Join(t.TempDir(), "ran")
	if err := Run(ctx, Cmd{Name: "touch", Args: []string{file}}); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	if _, err := os.Stat(file); err == nil {
		t.Error("the program ran")
	}
}

// The child must survive the end of other threads, and must not survive us.
func TestParentDeath(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("only Linux has a parent-death signal")
	}
	if os.Getenv("ROOST_TEST_PARENT") == "1" {
		for range 20 { // threads that end: a goroutine exits while locked
			go runtime.LockOSThread()
		}
		_ = Run(context.Background(), Cmd{Name: "sh", Args: []string{"-c", "echo $$; exec sleep 100"}, Stdout: os.Stdout})
		return
	}
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	parent := exec.Command(os.Args[0], "-test.run=^TestParentDeath$")
	parent.Env = append(os.Environ(), "ROOST_TEST_PARENT=1")
	parent.Stdout = w
	if err := parent.Start(); err != nil {
		t.Fatal(err)
	}
	w.Close()
	var pid int
	if _, err := fmt.Fscanln(r, &pid); err != nil {
		t.Fatal(err)
	}
	time.Sleep(50 * time.Millisecond)
	if !alive(pid) {
		t.Error("the child died while its parent lived")
	}
	_ = parent.Process.Kill()
	_ = parent.Wait()
	for range 200 {
		if !alive(pid) {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	_ = syscall.Kill(pid, syscall.SIGKILL)
	t.Error("the child outlived its killed parent")
}

func TestPeakAndKilled(t *testing.T) {
	var peak int64
	if err := Run(t.Context(), Cmd{Name: "sh", Args: []string{"-c", ":"}, Peak: &peak}); err != nil {
		t.Fatal(err)
	}
	if peak < 100<<10 || peak > 1<<30 {
		t.Errorf("a shell had %d bytes", peak)
	}
	err := Run(t.Context(), Cmd{Name: "sh", Args: []string{"-c", "kill -9 $$"}})
	var failed *Error
	if !errors.As(err, &failed) || !failed.Killed() {
		t.Errorf("killed by another: %v", err)
	}
	err = Run(t.Context(), Cmd{Name: "sh", Args: []string{"-c", "exit 9"}})
	if !errors.As(err, &failed) || failed.Killed() {
		t.Errorf("not killed: %v", err)
	}
}
