package command

import (
	"errors"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// group is the process group of one program. Its number is the program's, so
// it is ours to signal until the program has been waited for: from then on the
// number may be given to a stranger. The lock keeps the two apart.
//
// After a stop the rest of the group may outlive the program. While one of
// them lives the kernel gives the number to nobody, and it hands numbers out in
// a circle: one that has become free does not come back within the few
// milliseconds between two looks.
type group struct {
	pid   int
	ended int // a descriptor: readable when the program has ended; -1: closed
	grace time.Duration
	kill  func(pid int, signal syscall.Signal) error // syscall.Kill

	mu      sync.Mutex
	waited  bool // for the program
	gone    bool // all of it, or as far as we can tell
	stopped bool // we have sent SIGTERM
	since   time.Time
	killer  *time.Timer
}

// stop asks the group to end and arranges for its death.
func (g *group) stop() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.waited {
		return
	}
	g.stopped, g.since = true, time.Now()
	_ = g.kill(-g.pid, syscall.SIGTERM)
	g.killer = time.AfterFunc(g.grace, g.expire)
}

// expire ends what is left of the group when its grace is over.
func (g *group) expire() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if !g.gone {
		_ = g.kill(-g.pid, syscall.SIGKILL)
	}
}

// wait waits for the program, which has ended or is about to.
func (g *group) wait() (syscall.WaitStatus, *syscall.Rusage) {
	g.mu.Lock()
	defer g.mu.Unlock()
	status, usage := reap(g.pid)
	g.waited, g.gone = true, !g.stopped
	_ = unix.Close(g.ended)
	g.ended = -1
	return status, usage
}

// rest reports, when the program has been waited for, whether some of a stopped
// group is still there: the program may have obeyed SIGTERM before its children
// did. It gives up some time after the grace period, which is for the kernel to
// carry out SIGKILL.
func (g *group) rest() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if !g.gone {
		g.gone = g.kill(-g.pid, 0) != nil || time.Since(g.since) > g.grace+min(g.grace, time.Second)
	}
	if g.gone && g.killer != nil {
		g.killer.Stop()
	}
	return !g.gone
}

// abandon is for a Writer that panics: nothing stays behind then either.
func (g *group) abandon() {
	if !g.waited {
		_ = g.kill(-g.pid, syscall.SIGKILL)
		g.wait()
	}
}

// reap waits for a child and frees its process id.
func reap(pid int) (syscall.WaitStatus, *syscall.Rusage) {
	var status syscall.WaitStatus
	usage := new(syscall.Rusage)
	for {
		if _, err := syscall.Wait4(pid, &status, 0, usage); !errors.Is(err, syscall.EINTR) {
			return status, usage
		}
	}
}
