package graph

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/hashicorp/go-multierror"
)

// DeferredError says that what a task concerns cannot be reached now, and that
// this is no failure: a laptop that is closed. Its users are deferred with it.
type DeferredError struct{ Err error }

func (e *DeferredError) Error() string { return e.Err.Error() }
func (e *DeferredError) Unwrap() error { return e.Err }

// Defer wraps an error as a DeferredError.
func Defer(err error) error { return &DeferredError{err} }

// RefusedError says that a guard forbids the task. Nothing was changed.
type RefusedError struct{ Err error }

func (e *RefusedError) Error() string { return e.Err.Error() }
func (e *RefusedError) Unwrap() error { return e.Err }

// Refuse wraps an error as a RefusedError.
func Refuse(err error) error { return &RefusedError{err} }

// TransientError says that to try again may help: a link that broke.
type TransientError struct{ Err error }

func (e *TransientError) Error() string { return e.Err.Error() }
func (e *TransientError) Unwrap() error { return e.Err }

// Transient wraps an error as a TransientError.
func Transient(err error) error { return &TransientError{err} }

// ExhaustedError says that the task died because a pool's resource ran out,
// although the pool had room: it needed more than was thought.
type ExhaustedError struct {
	Pool string
	Err  error
}

func (e *ExhaustedError) Error() string { return e.Err.Error() }
func (e *ExhaustedError) Unwrap() error { return e.Err }

// Exhausted wraps an error as an ExhaustedError: the task works once more, with
// the whole pool to itself.
func Exhausted(pool string, err error) error { return &ExhaustedError{pool, err} }

// TaskError is one root cause of a failed run.
type TaskError struct {
	Task    string
	Status  Status   // StatusFailed or StatusRefused
	Blocked []string // the tasks that could not run because of it, sorted
	Err     error
}

func (e *TaskError) Error() string {
	text := fmt.Sprintf("%s: %v", e.Task, e.Err)
	if n := len(e.Blocked); n > 0 {
		text += fmt.Sprintf("\n  blocked by it: %s", strings.Join(e.Blocked[:min(n, 5)], ", "))
		if n > 5 {
			text += fmt.Sprintf(" and %d more", n-5)
		}
	}
	return text
}

func (e *TaskError) Unwrap() error { return e.Err }

// RunError collects every root cause of a run, once, in the order of the plan.
// errors.As and errors.Is reach into each.
type RunError struct{ causes *multierror.Error }

func (e *RunError) Error() string {
	e.causes.ErrorFormat = func(errs []error) string {
		lines := make([]string, len(errs))
		for i, err := range errs {
			lines[i] = err.Error()
		}
		return strings.Join(lines, "\n")
	}
	return e.causes.Error()
}

func (e *RunError) Unwrap() []error { return e.causes.Errors }

// Causes returns the root causes, in the order of the plan.
func (e *RunError) Causes() []*TaskError {
	causes := make([]*TaskError, 0, e.causes.Len())
	for _, err := range e.causes.Errors {
		causes = append(causes, err.(*TaskError))
	}
	return causes
}

// OnlyRefused says that nothing failed: guards forbade something.
func (e *RunError) OnlyRefused() bool {
	return !slices.ContainsFunc(e.Causes(), func(c *TaskError) bool { return c.Status != StatusRefused })
}

// ErrStopped is the error of a run that was cancelled before it was done.
var ErrStopped = errors.New("the run was stopped before it was done")

// statusOf sorts a task's error into how the task ended.
func statusOf(err error) statusCode {
	if _, ok := errors.AsType[*DeferredError](err); ok {
		return codeDeferred
	}
	if _, ok := errors.AsType[*RefusedError](err); ok {
		return codeRefused
	}
	return codeFailed
}
