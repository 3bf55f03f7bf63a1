package command

import (
	"bytes"
	"errors"
	"os"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// watched is the group of a program that runs until it is signalled, with a
// record of the signals.
func watched(t *testing.T, script string) (*group, func() []syscall.Signal) {
	t.Helper()
	c := sh(script)
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer null.Close()
	pid, ended, err := c.program([]uintptr{null.Fd(), null.Fd(), null.Fd()})
	if err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	var sent []syscall.Signal
	g := &group{pid: pid, ended: ended, grace: time.Hour}
	g.kill = func(pid int, signal syscall.Signal) error {
		mu.Lock()
		defer mu.Unlock()
		sent = append(sent, signal)
		return syscall.Kill(pid, signal)
	}
	t.Cleanup(g.abandon)
	return g, func() []syscall.Signal {
		mu.Lock()
		defer mu.Unlock()
		return sent
	}
}

// A number that has been given back may belong to a stranger by now.
func TestNoSignalAfterWait(t *testing.T) {
	g, sent := watched(t, "exit 3")
	if status, _ := g.wait(); status.ExitStatus() != 3 {
		t.Errorf("status %v", status)
	}
	g.stop()
	g.abandon()
	if g.rest() || g.stopped || len(sent()) > 0 {
		t.Errorf("stopped %v, signals %v", g.stopped, sent())
	}
}

func TestNoKillAfterTheGroupIsGone(t *testing.T) {
	for _, fired := range []bool{false, true} {
		g, sent := watched(t, "exec sleep 100")
		g.stop()
		g.wait()
		var killer sync.WaitGroup
		if fired { // the killer waits for the lock while we see the end
			g.mu.Lock()
			killer.Go(g.expire)
			g.gone = true
			g.mu.Unlock()
		}
		if g.rest() {
			t.Fatal("there was but one process")
		}
		killer.Wait()
		if g.killer.Stop() {
			t.Error("the killer would still come")
		}
		if slices.Contains(sent(), syscall.SIGKILL) {
			t.Error("SIGKILL was sent to a number that was free")
		}
	}
}

// While a program that has ended is not waited for, its number is its own.
func TestEndIsSeenBeforeTheNumberIsFree(t *testing.T) {
	g, _ := watched(t, "exit 0")
	for {
		n, err := unix.Poll([]unix.PollFd{{Fd: int32(g.ended), Events: unix.POLLIN}}, 60_000)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if n != 1 {
			t.Fatalf("the end was not seen: %v", err)
		}
		break
	}
	if err := syscall.Kill(g.pid, 0); err != nil {
		t.Errorf("the number is free already: %v", err)
	}
}

// A stop at the very moment of the end: either the program had the number still,
// or nothing was sent.
func TestStopAndEndAtOnce(t *testing.T) {
	for range 100 {
		g, _ := watched(t, "exit 0")
		inner := g.kill
		g.kill = func(pid int, signal syscall.Signal) error {
			if g.waited && !g.stopped { // the lock is held here
				t.Error("a signal after the wait")
			}
			return inner(pid, signal)
		}
		var both sync.WaitGroup
		both.Go(g.stop)
		g.wait()
		both.Wait()
		for g.rest() {
			time.Sleep(time.Millisecond)
		}
	}
}

type panics struct{}

func (panics) Write([]byte) (int, error) { panic("the log is broken") }

// An engine may survive the panic; the program must not.
func TestWriterPanics(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	func() {
		defer func() {
			if recover() == nil {
				t.Error("no panic")
			}
		}()
		c := sh("echo x >&2; exec sleep 100")
		c.Stdout, c.Stderr = w, panics{}
		_ = Run(t.Context(), c)
	}()
	w.Close()
	if n, err := r.Read(make([]byte, 1)); n != 0 || err == nil { // the program holds the other end
		t.Errorf("read %d, %v", n, err)
	}
}

func TestSame(t *testing.T) {
	type odd struct{ *bytes.Buffer }
	var a, b bytes.Buffer
	var none *strings.Builder
	if !same(&a, &a) || same(&a, &b) || same(nil, nil) || same(&a, nil) || same(&a, none) || !same(odd{&a}, odd{&a}) || same(list{}, list{}) {
		t.Error("wrong")
	}
}

type list []byte

func (list) Write(p []byte) (int, error) { return len(p), nil }
