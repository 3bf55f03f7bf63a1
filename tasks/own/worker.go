package own

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"slices"

	"roost/graph"
	"roost/internal/command"
	"roost/internal/remote"
)

// worker runs the programs of one task.
type worker struct {
	*instance
	fleetDir string
	conn     *remote.Conn // nil: here
}

// FailedError says with which exit code a program ended. What it said is in the
// task's log.
type FailedError struct {
	Argv []string
	Code int
}

func (e *FailedError) Error() string {
	return fmt.Sprintf("%s: exit code %d", command.Line(e.Argv), e.Code)
}

// isSo asks the check. Exit codes 126 and 127 are what a shell, env and ssh say of
// a program that cannot be run: they are no answer.
func (w *worker) isSo(ctx context.Context) (graph.State[Done], error) {
	if d := w.Timeout.Duration; d > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeoutCause(ctx, d, fmt.Errorf("it took longer than %s", d))
		defer cancel()
	}
	err := w.program(ctx, w.Check)
	no, answered := errors.AsType[*FailedError](err)
	switch {
	case err == nil:
		return graph.State[Done]{Done: true, Reason: "its check says so"}, nil
	case answered && no.Code != 126 && no.Code != 127:
		return graph.State[Done]{Reason: "check: " + no.Error()}, nil
	}
	if errors.Is(ctx.Err(), context.DeadlineExceeded) {
		err = fmt.Errorf("%w: %w", context.Cause(ctx), err)
	}
	return graph.State[Done]{}, fmt.Errorf("the check: %w", err)
}

// run runs the task's own program, once. Whether to try again is the engine's to
// decide.
func (w *worker) run(ctx context.Context, argv []string) error {
	err := w.program(ctx, argv)
	if failed, ok := errors.AsType[*FailedError](err); ok && slices.Contains(w.Retries.Codes, failed.Code) {
		return graph.Transient(err)
	}
	return err
}

// program runs a program where the task says. What it writes goes to the log.
func (w *worker) program(ctx context.Context, argv []string) error {
	var stdin *os.File
	if w.Stdin != "" {
		var err error
		if stdin, err = openBelow(w.fleetDir, w.Stdin); err != nil {
			return fmt.Errorf("stdin: %w", err)
		}
		defer stdin.Close()
	}
	log := graph.Log(ctx)
	if w.conn == nil || w.host.IsLocal() {
		c := command.Cmd{Name: argv[0], Args: argv[1:], Dir: w.dir(), Environ: w.environ(), Stdout: log, Stderr: log}
		if stdin != nil {
			c.Stdin = stdin
		}
		err := command.Run(ctx, c)
		failed, ok := errors.AsType[*command.Error](err)
		switch {
		case !ok:
			return err
		case ctx.Err() != nil:
			return fmt.Errorf("%s: was stopped: %w", command.Line(argv), ctx.Err()) // the cause is the engine's to say
		case failed.ExitCode > 0:
			return &FailedError{argv, failed.ExitCode}
		}
		failed.Stderr = "" // it is in the log
		return failed
	}
	c := remote.Cmd{Args: append(w.variables(), argv...), Stdout: log, Stderr: log}
	if stdin != nil {
		c.Stdin = stdin
	}
	err := w.conn.Run(ctx, c)
	if failed, ok := errors.AsType[*remote.ExitError](err); ok {
		return &FailedError{argv, failed.Code}
	}
	if lost, ok := errors.AsType[*remote.UnreachableError](err); ok && lost.Lost {
		return err // it may have done its work, or a part: not "deferred"
	}
	return remote.ForTask(err)
}

func openBelow(dir, file string) (*os.File, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, err
	}
	defer root.Close()
	return root.Open(file)
}

// dir is where a program on this machine works.
func (w *worker) dir() string {
	if w.At == OnHost { // the host is this machine; ssh would begin there, too
		if home, err := os.UserHomeDir(); err == nil {
			return home
		}
		return "/"
	}
	return filepath.Join(w.fleetDir, filepath.FromSlash(w.Dir))
}

// inherited are the variables of our environment that a program needs to run at
// all. Nothing else of ours reaches it, so that it works the same by hand, from
// a timer and in CI.
var inherited = []string{"PATH", "HOME", "TMPDIR"}

// environ is the whole environment of a program on this machine.
func (w *worker) environ() []string {
	environ := []string{"LANG=C.UTF-8"} // of a name given twice the last counts
	for _, name := range append(slices.Clone(inherited), w.Pass...) {
		if value, ok := os.LookupEnv(name); ok {
			environ = append(environ, name+"="+value)
		}
	}
	for name, value := range w.Env {
		environ = append(environ, name+"="+value)
	}
	return environ
}

// variables make a program on a host see the variables of env.
func (w *worker) variables() []string {
	if len(w.Env) == 0 {
		return nil
	}
	var args []string
	for name, value := range w.Env {
		args = append(args, name+"="+value)
	}
	slices.Sort(args)
	return append([]string{"env"}, args...)
}

// makeFolders makes the folders in which outputs are to be.
func makeFolders(root *os.Root, outputs []string) error {
	for _, file := range outputs {
		if err := root.MkdirAll(path.Dir(file), 0o777); err != nil {
			return fmt.Errorf("make the folder of %s: %w", file, err)
		}
	}
	return nil
}
