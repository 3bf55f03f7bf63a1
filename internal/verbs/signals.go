package verbs

import (
	"context"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// Signals turns Ctrl-C and SIGTERM into a context that ends. The first one ends
// the context: effects in flight may finish. The second one closes Abort.
type Signals struct {
	Abort chan struct{}

	code atomic.Int64
	stop func()
}

// NotifySignals takes over SIGINT, SIGTERM and SIGHUP until Stop. With
// followParent it also ends when the parent process is gone: mage does not pass
// SIGTERM on to the targets it runs (1.17.2).
func NotifySignals(parent context.Context, followParent bool) (context.Context, *Signals) {
	ctx, cancel := context.WithCancel(parent)
	s := &Signals{Abort: make(chan struct{})}
	got := make(chan os.Signal, 2)
	signal.Notify(got, syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP)
	done := make(chan struct{})
	var owner sync.WaitGroup
	owner.Go(func() { s.watch(cancel, got, done, followParent) })
	s.stop = sync.OnceFunc(func() {
		signal.Stop(got)
		close(done)
		owner.Wait()
		cancel()
	})
	return ctx, s
}

func (s *Signals) watch(cancel func(), got chan os.Signal, done chan struct{}, followParent bool) {
	var orphaned <-chan time.Time
	parent := os.Getppid()
	if followParent {
		ticker := time.NewTicker(200 * time.Millisecond)
		defer ticker.Stop()
		orphaned = ticker.C
	}
	first := true
	for {
		code := codeTerminated
		select {
		case <-done:
			return
		case <-orphaned:
			if os.Getppid() == parent {
				continue
			}
			orphaned = nil
		case sig := <-got:
			if sig == os.Interrupt {
				code = CodeInterrupted
			}
		}
		if !first {
			close(s.Abort)
			return
		}
		first = false
		s.code.Store(int64(code))
		cancel()
	}
}

// Code is the exit code of a verb that a signal has stopped.
func (s *Signals) Code() int {
	if code := s.code.Load(); code != 0 {
		return int(code)
	}
	return CodeInterrupted
}

// Stop gives the signals back.
func (s *Signals) Stop() { s.stop() }

// UnderMage says that this process was started by mage, so that its parent's
// end must be its own. A target compiled with `mage -compile` has no such parent.
func UnderMage() bool {
	comm, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(os.Getppid()), "comm"))
	return err == nil && strings.TrimSpace(string(comm)) == "mage"
}
