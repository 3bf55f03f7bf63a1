// Package command runs a local program under a context, and leaves no process
// behind when the context ends.
//
//	err := command.Run(ctx, command.Cmd{Name: "nix", Args: []string{"build", drv}, Stderr: log})
//
// The program gets a session of its own, so it has no terminal: what wants to
// ask a question (a password, an unknown host key) fails at once and cannot
// hang unseen behind the progress display. A Ctrl-C at the terminal does not
// reach it either: only the context stops it.
//
// When the context ends, the program and everything it started get SIGTERM,
// and SIGKILL after a grace period. A failure is an *Error.
package command

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"os/exec"
	"runtime"
	"sync/atomic"
	"syscall"
	"time"
)

// Grace is how long a program may take to end after SIGTERM where Cmd.Grace is
// zero.
const Grace = 5 * time.Second

// Cmd is one program with its arguments. No shell is involved.
type Cmd struct {
	Name string
	Args []string
	Dir  string   // working directory; empty: ours
	Env  []string // "KEY=value", added to our own environment, the last one wins
	// Environ, if not nil, is all of the program's environment, in place of ours.
	// Env must be nil then.
	Environ []string

	// A nil Stdin is empty. Run waits for a Read of another one to return.
	// A nil Stdout or Stderr is dropped. Both may be the same writer: writes
	// do not overlap.
	// An *os.File is handed to the program as it is; for Stderr this means
	// that Error.Stderr stays empty.
	// What a background process writes after the program has ended is lost:
	// Run does not wait for it.
	Stdin          io.Reader
	Stdout, Stderr io.Writer

	Grace time.Duration // from SIGTERM to SIGKILL; 0: the constant Grace
	Keep  int           // bytes kept of the end of stderr for Error; 0: 8 KiB

	Peak *int64 // if set: the most memory the program had resident, in bytes
}

// Run runs c and waits for it. It may be called by many goroutines.
func Run(ctx context.Context, c Cmd) error {
	if err := ctx.Err(); err != nil {
		return c.failure(ctx, err, "", false)
	}
	if c.Grace == 0 {
		c.Grace = Grace
	}
	if c.Keep == 0 {
		c.Keep = 8 << 10
	}
	// The kernel sends the parent-death signal (see isolate) when the thread
	// that started the child ends, not when the process does. Go ends a thread
	// when a goroutine exits that is locked to it. While we hold the lock no
	// other goroutine can run on this thread, so it lives until we return, and
	// by then the child has been waited for.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()

	cmd := exec.CommandContext(ctx, c.Name, c.Args...)
	cmd.Dir = c.Dir
	switch {
	case c.Environ != nil && c.Env != nil:
		return c.failure(ctx, errors.New("both Env and Environ are set"), "", false)
	case c.Environ != nil:
		cmd.Env = c.Environ
	case len(c.Env) > 0:
		cmd.Env = append(os.Environ(), c.Env...)
	}
	tail := &tail{limit: c.Keep}
	out := new(output)
	err := c.connect(cmd, out, tail)
	isolate(cmd)
	g := &group{grace: c.Grace}
	cmd.Cancel = func() error { return g.stop(cmd.Process.Pid) }
	// Longer than the grace period: the group is ours to kill, and only then
	// os/exec gives up on a stdin that somebody holds and does not read.
	cmd.WaitDelay = c.Grace + min(c.Grace, time.Second)

	if err == nil {
		err = cmd.Start()
	}
	out.started()
	if err == nil {
		err = cmd.Wait()
		if c.Peak != nil {
			*c.Peak = peak(cmd.ProcessState)
		}
		g.end()
	}
	if errors.Is(err, exec.ErrWaitDelay) && ctx.Err() == nil {
		err = nil // the program ended well without reading all of Stdin
	}
	if failed := out.finish(); err == nil {
		err = failed
	}
	if err == nil {
		return nil
	}
	return c.failure(ctx, err, tail.String(), g.stopped.Load())
}

// connect gives the program its input and outputs.
func (c Cmd) connect(cmd *exec.Cmd, out *output, tail *tail) (err error) {
	cmd.Stdin = c.Stdin
	switch w := c.Stdout.(type) {
	case nil:
	case *os.File:
		cmd.Stdout = w
	default:
		if cmd.Stdout, err = out.pipe(w); err != nil {
			return err
		}
	}
	var stderr io.Writer = tail
	switch w := c.Stderr.(type) {
	case nil:
	case *os.File:
		cmd.Stderr = w
		return nil
	default:
		stderr = io.MultiWriter(tail, w)
	}
	cmd.Stderr, err = out.pipe(stderr)
	return err
}

// Output runs c and returns what it wrote to stdout. c.Stdout must be nil.
func Output(ctx context.Context, c Cmd) ([]byte, error) {
	if c.Stdout != nil {
		return nil, errors.New("command.Output: Stdout is already set")
	}
	var out bytes.Buffer
	c.Stdout = &out
	err := Run(ctx, c)
	return out.Bytes(), err
}

// group is the process group of one program.
type group struct {
	grace   time.Duration
	stopped atomic.Bool
	pid     int
	killer  *time.Timer
	since   time.Time
}

// stop asks the group to end and arranges for its death.
func (g *group) stop(pid int) error {
	g.pid, g.since = pid, time.Now()
	g.stopped.Store(true)
	g.killer = time.AfterFunc(g.grace, func() { _ = syscall.Kill(-pid, syscall.SIGKILL) })
	if err := syscall.Kill(-pid, syscall.SIGTERM); errors.Is(err, syscall.ESRCH) {
		return os.ErrProcessDone
	} else if err != nil {
		return err
	}
	return nil
}

// end waits, after a stop, until the rest of the group is gone as well: the
// program may have obeyed SIGTERM before its children did.
func (g *group) end() {
	if !g.stopped.Load() {
		return
	}
	defer g.killer.Stop()
	// Longer than the grace period, for the kernel to carry out SIGKILL.
	for time.Since(g.since) < g.grace+min(g.grace, time.Second) {
		if syscall.Kill(-g.pid, 0) != nil {
			return
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// tail keeps the last limit bytes written to it. One goroutine writes; it is
// read when that one has ended.
type tail struct {
	limit int
	buf   []byte
	cut   bool
}

func (t *tail) Write(p []byte) (int, error) {
	t.buf = append(t.buf, p...)
	if len(t.buf) > 2*t.limit {
		t.shrink()
	}
	return len(p), nil
}

func (t *tail) shrink() {
	if extra := len(t.buf) - t.limit; extra > 0 {
		t.buf = append(t.buf[:0], t.buf[extra:]...)
		t.cut = true
	}
}

// String returns what was kept, from the start of a line.
func (t *tail) String() string {
	t.shrink()
	b := t.buf
	if t.cut {
		if i := bytes.IndexByte(b, '\n'); i >= 0 && i < len(b)-1 {
			b = b[i+1:]
		}
	}
	return string(bytes.ToValidUTF8(b, []byte("?")))
}
