package verbs

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"
)

// roleEnv makes this test binary a process of a small family: a "parent" that
// starts a "child", which follows it and says how it went.
const roleEnv = "ROOST_VERBS_TEST_ROLE"

func TestMain(m *testing.M) {
	switch os.Getenv(roleEnv) {
	case "parent":
		child := exec.Command(os.Args[0])
		child.Env = append(os.Environ(), roleEnv+"=child")
		child.Stdout, child.Stderr = os.Stdout, os.Stderr
		child.Run()
	case "child":
		follow()
	case "other handler":
		otherHandler()
	default:
		goleak.VerifyTestMain(m)
	}
}

// follow is what a verb does under mage.
func follow() {
	ctx, s := NotifySignals(context.Background(), true)
	fmt.Println("ready", os.Getpid())
	select {
	case <-ctx.Done():
	case <-time.After(20 * time.Second):
		fmt.Println("nothing came")
		return
	}
	select {
	case <-s.Abort:
		fmt.Println("aborted", s.Code())
	case <-time.After(time.Second): // five looks at the parent
		fmt.Println("cancelled", s.Code())
	}
}

// otherHandler has a handler of SIGINT of its own, as the main that mage writes
// has: ours must be the only one.
func otherHandler() {
	other := make(chan os.Signal, 1)
	signal.Notify(other, os.Interrupt)
	ctx, s := NotifySignals(context.Background(), false)
	time.Sleep(3 * settle)
	fmt.Println("ready", os.Getpid())
	<-ctx.Done()
	s.Stop()
	select {
	case <-other:
		fmt.Println("both", s.Code())
	case <-time.After(100 * time.Millisecond):
		fmt.Println("ours", s.Code())
	}
}

// member starts a process of the family in a group of its own, and returns when
// it has said that it is ready. next reads its next line.
func member(t *testing.T, role string) (pid int, next func() string) {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), roleEnv+"="+role)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stdout, cmd.Stderr = w, os.Stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	w.Close()
	lines := bufio.NewReader(r)
	next = func() string {
		r.SetReadDeadline(time.Now().Add(20 * time.Second))
		line, err := lines.ReadString('\n')
		if err != nil && err != io.EOF {
			t.Fatal(err)
		}
		return strings.TrimSpace(line)
	}
	t.Cleanup(func() {
		syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
		cmd.Wait()
		r.Close()
	})
	if line := next(); !strings.HasPrefix(line, "ready ") {
		t.Fatalf("the process said %q", line)
	}
	return cmd.Process.Pid, next
}

func TestFollowParent(t *testing.T) {
	tests := []struct {
		name  string
		group bool
		sig   syscall.Signal
		want  string
	}{
		{"the parent is killed", false, syscall.SIGKILL, "cancelled 143"},
		{"SIGTERM to the parent alone", false, syscall.SIGTERM, "cancelled 143"},
		// The parent's end is no second signal: effects may still finish.
		{"SIGTERM to both", true, syscall.SIGTERM, "cancelled 143"},
		{"hang-up of both", true, syscall.SIGHUP, "cancelled 143"},
		{"Ctrl-C to both", true, syscall.SIGINT, "cancelled 130"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			pid, next := member(t, "parent")
			if test.group {
				pid = -pid
			}
			if err := syscall.Kill(pid, test.sig); err != nil {
				t.Fatal(err)
			}
			if got := next(); got != test.want {
				t.Errorf("the child said %q, want %q", got, test.want)
			}
		})
	}
}

func TestOnlyHandlerOfInterrupt(t *testing.T) {
	pid, next := member(t, "other handler")
	if err := syscall.Kill(pid, syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	if got := next(); got != "ours 130" {
		t.Errorf("the process said %q: another handler of SIGINT is still there", got)
	}
}

func TestSignals(t *testing.T) {
	for _, test := range []struct {
		sig  syscall.Signal
		code int
	}{{syscall.SIGINT, 130}, {syscall.SIGTERM, 143}, {syscall.SIGHUP, 143}} {
		t.Run(test.sig.String(), func(t *testing.T) {
			ctx, s := NotifySignals(t.Context(), false)
			defer s.Stop()
			raise(t, test.sig)
			within(t, ctx.Done(), "the first signal did not end the context")
			if got := s.Code(); got != test.code {
				t.Errorf("exit code %d, want %d", got, test.code)
			}
			select {
			case <-s.Abort:
				t.Fatal("the first signal aborted")
			default:
			}
			raise(t, test.sig)
			within(t, s.Abort, "the second signal did not abort")
			if got := s.Code(); got != test.code {
				t.Errorf("exit code %d after the second signal, want %d", got, test.code)
			}
		})
	}
}

func TestSignalsKeepTheFirstCode(t *testing.T) {
	ctx, s := NotifySignals(t.Context(), false)
	defer s.Stop()
	raise(t, syscall.SIGTERM)
	within(t, ctx.Done(), "the first signal did not end the context")
	raise(t, syscall.SIGINT)
	within(t, s.Abort, "the second signal did not abort")
	if s.Code() != 143 {
		t.Errorf("exit code %d, want that of the first signal, 143", s.Code())
	}
}

func TestStopGivesSignalsBack(t *testing.T) {
	ctx, s := NotifySignals(t.Context(), true)
	s.Stop()
	s.Stop()
	if ctx.Err() == nil {
		t.Error("the context outlives Stop")
	}
	got := make(chan os.Signal, 1)
	signal.Notify(got, syscall.SIGTERM) // else the signal would end the test
	defer signal.Stop(got)
	raise(t, syscall.SIGTERM)
	within(t, got, "no signal")
	select {
	case <-s.Abort:
		t.Error("aborted after Stop")
	default:
	}
}

func raise(t *testing.T, sig syscall.Signal) {
	t.Helper()
	if err := syscall.Kill(os.Getpid(), sig); err != nil {
		t.Fatal(err)
	}
}

func within[T any](t *testing.T, c <-chan T, what string) {
	t.Helper()
	select {
	case <-c:
	case <-time.After(10 * time.Second):
		t.Fatal(what)
	}
}
