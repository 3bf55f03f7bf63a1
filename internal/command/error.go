package command

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
)

// shownLines is how much of stderr a message shows.
const shownLines = 20

// Error says how a program failed. errors.Is(err, context.Canceled) and the
// like hold when its context stopped it, errors.Is(err, exec.ErrNotFound) when
// there is no such program.
type Error struct {
	Argv     []string       // program and arguments
	ExitCode int            // -1: it did not start, or a signal ended it
	Signal   syscall.Signal // 0: none
	Stderr   string         // the end of what it wrote there
	Err      error          // why it did not start or was stopped; nil: it failed by itself

	ours bool // we sent the signal
}

// failed is for what is not the program's doing: it did not start, or what it
// wrote could not be handed on.
func (c *Cmd) failed(err error, stderr string) *Error {
	return &Error{Argv: append([]string{c.Name}, c.Args...), ExitCode: -1, Stderr: stderr, Err: err}
}

// exited is for a program that ended by itself, and not well.
func (c *Cmd) exited(status syscall.WaitStatus, stderr string) *Error {
	e := c.failed(nil, stderr)
	switch {
	case status.Signaled():
		e.Signal = status.Signal()
	default:
		e.ExitCode = status.ExitStatus()
	}
	return e
}

// stopped is for a program that the context ended, however it went.
func (c *Cmd) stopped(ctx context.Context, status syscall.WaitStatus, stderr string) *Error {
	e := c.failed(nil, stderr)
	if status != 0 {
		e = c.exited(status, stderr)
	}
	e.ours, e.Err = true, context.Cause(ctx)
	if !errors.Is(e.Err, ctx.Err()) {
		e.Err = fmt.Errorf("%w: %w", ctx.Err(), e.Err)
	}
	return e
}

func (e *Error) Unwrap() error { return e.Err }

// Killed says that somebody else killed the program with SIGKILL: the kernel's
// memory killer, most likely.
func (e *Error) Killed() bool { return e.Signal == syscall.SIGKILL && !e.ours }

func (e *Error) Error() string {
	msg := Line(e.Argv) + ": " + e.reason()
	if tail := LastLines(e.Stderr, shownLines); tail != "" {
		msg += "\n" + Indent(tail)
	}
	return msg
}

func (e *Error) reason() string {
	switch {
	case e.ours:
		return "was stopped: " + e.Err.Error()
	case e.Signal == syscall.SIGKILL:
		return "was killed (signal 9): the kernel's memory killer, most likely"
	case e.Signal != 0:
		return fmt.Sprintf("was ended by signal %d (%s)", int(e.Signal), e.Signal)
	case e.ExitCode >= 0:
		return "exit code " + strconv.Itoa(e.ExitCode)
	default:
		// exec.Error repeats the program's name, which the line starts with.
		var notStarted *exec.Error
		if errors.As(e.Err, &notStarted) {
			return notStarted.Err.Error()
		}
		return e.Err.Error()
	}
}

// Line shows an argument vector on one line. It is for people: to send one
// through a shell, use remote.Quote.
func Line(argv []string) string {
	shown := make([]string, len(argv))
	for i, a := range argv {
		if a == "" || strings.ContainsFunc(a, func(r rune) bool { return r <= ' ' || r == '"' || r == '\\' || r == 0x7f }) {
			a = strconv.Quote(a)
		}
		shown[i] = a
	}
	return strings.Join(shown, " ")
}

// LastLines returns the last n lines of s, without space around them.
func LastLines(s string, n int) string {
	lines := strings.Split(strings.TrimSpace(s), "\n")
	return strings.Join(lines[max(0, len(lines)-n):], "\n")
}

// Indent puts a program's words below a message of ours.
func Indent(s string) string {
	return "  " + strings.ReplaceAll(s, "\n", "\n  ")
}
