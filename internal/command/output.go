package command

import (
	"errors"
	"io"
	"reflect"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// output hands on what a program writes, and notices its end: one thread waits
// for both at once, so a program costs no goroutine and no switch between
// threads.
//
// A background process may keep a pipe open for ever. But what the program
// wrote is in the pipe when it ends, so that much is handed on, and no more.
type output struct {
	streams []stream
	theirs  []int // ends of the pipes for the program
	err     error // the first of a writer
}

// stream is one pipe from the program.
type stream struct {
	fd   int       // our end; -1: closed
	tail *tail     // may be nil
	w    io.Writer // may be nil
}

// buffers are as large as a pipe. They are held for a read only, so that
// thousands of quiet programs need none.
var buffers = sync.Pool{New: func() any { return new(buffer) }}

type buffer [64 << 10]byte

// pipe returns the descriptor to give the program in place of w.
func (o *output) pipe(t *tail, w io.Writer) (uintptr, error) {
	r, theirs, err := pipe()
	if err != nil {
		return 0, err
	}
	o.streams, o.theirs = append(o.streams, stream{r, t, w}), append(o.theirs, theirs)
	return uintptr(theirs), nil
}

// started closes the program's ends: it has its own copies, or none.
func (o *output) started() {
	for _, fd := range o.theirs {
		_ = unix.Close(fd)
	}
	o.theirs = nil
}

func (o *output) close() {
	o.started()
	for i := range o.streams {
		o.streams[i].close()
	}
}

func (s *stream) close() {
	if s.fd >= 0 {
		_ = unix.Close(s.fd)
		s.fd = -1
	}
}

// follow hands on what the program writes until it has ended, and after a stop
// its group as well.
func (o *output) follow(g *group) (status syscall.WaitStatus, usage *syscall.Rusage) {
	var waiting [3]unix.PollFd
	timeout, running := -1, true
	for running || g.rest() {
		fds := append(waiting[:0], unix.PollFd{Fd: int32(g.ended), Events: unix.POLLIN})
		for _, s := range o.streams {
			fds = append(fds, unix.PollFd{Fd: int32(s.fd), Events: unix.POLLIN})
		}
		if _, err := unix.Poll(fds, timeout); err != nil {
			if !errors.Is(err, unix.EINTR) { // the kernel is short of memory
				time.Sleep(time.Millisecond)
			}
			continue
		}
		for i := range o.streams {
			if fds[i+1].Revents != 0 {
				o.read(&o.streams[i], len(buffer{}))
			}
		}
		if fds[0].Revents != 0 {
			status, usage = g.wait()
			running, timeout = false, 5 // milliseconds between two looks at the rest of the group
		}
	}
	for i := range o.streams {
		o.drain(&o.streams[i])
	}
	return status, usage
}

// drain hands on what is in the pipe now.
func (o *output) drain(s *stream) {
	if s.fd < 0 {
		return
	}
	rest, err := unix.IoctlGetInt(s.fd, fionread)
	for err == nil && rest > 0 && s.fd >= 0 {
		rest -= o.read(s, rest)
	}
	s.close()
}

// read takes up to limit bytes from a pipe that has some, or is at its end.
func (o *output) read(s *stream, limit int) int {
	buf := buffers.Get().(*buffer)
	defer buffers.Put(buf)
	n, err := unix.Read(s.fd, buf[:min(limit, len(buf))])
	switch {
	case errors.Is(err, unix.EINTR):
		return 0
	case n <= 0:
		s.close()
		return 0
	}
	if s.tail != nil {
		s.tail.write(buf[:n])
	}
	if s.w != nil {
		if _, err := s.w.Write(buf[:n]); err != nil {
			if o.err == nil {
				o.err = err
			}
			s.close()
		}
	}
	return n
}

// same reports whether two writers are one.
func same(a, b io.Writer) bool {
	return a != nil && reflect.ValueOf(a).Comparable() && a == b
}
