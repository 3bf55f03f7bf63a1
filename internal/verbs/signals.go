package verbs

import (
	"context"
	"errors"
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

// settle is when the main that mage writes has surely taken SIGINT.
const settle = 100 * time.Millisecond

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
	parentPID := 0
	if followParent {
		parentPID = os.Getppid() // now: it may be gone when the goroutine starts
	}
	owner.Go(func() { s.watch(cancel, got, done, parentPID) })
	s.stop = sync.OnceFunc(func() {
		signal.Stop(got)
		close(done)
		owner.Wait()
		cancel()
	})
	return ctx, s
}

// watch ends the context when the process with parentPID is no longer our
// parent; with 0 it does not look.
func (s *Signals) watch(cancel func(), got chan os.Signal, done chan struct{}, parentPID int) {
	var orphaned <-chan time.Time
	if parentPID != 0 {
		ticker := time.NewTicker(200 * time.Millisecond)
		defer ticker.Stop()
		orphaned = ticker.C
	}
	settled := time.NewTimer(settle)
	defer settled.Stop()
	first := true
	for {
		code := codeTerminated
		select {
		case <-done:
			return
		case <-settled.C:
			// mage's main takes SIGINT as well, just after it has started the
			// target, and ends the process five seconds later. We are its heir.
			signal.Reset(os.Interrupt)
			signal.Notify(got, os.Interrupt)
			continue
		case <-orphaned:
			if os.Getppid() == parentPID {
				continue
			}
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
		orphaned = nil // a parent that ends by the same signal is no second one
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

// Ended gives the error of a verb that a signal has stopped the exit code of the
// signal, wherever the verb was just then.
func (s *Signals) Ended(err error) error {
	if s.code.Load() != 0 && errors.Is(err, context.Canceled) {
		return exit(s.Code(), err)
	}
	return err
}

// Stop gives the signals back.
func (s *Signals) Stop() { s.stop() }

// UnderMage says that this process was started by mage, so that its parent's
// end must be its own. A target compiled with `mage -compile` has no such parent.
func UnderMage() bool {
	comm, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(os.Getppid()), "comm"))
	return err == nil && strings.TrimSpace(string(comm)) == "mage"
}
