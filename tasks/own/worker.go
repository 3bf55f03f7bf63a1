package own

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

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
		environ := w.environ()
		program, err := lookUp(argv[0], environ)
		if err != nil {
			return err
		}
		c := command.Cmd{Name: program, Args: argv[1:], Dir: w.dir(), Environ: environ, Stdout: log, Stderr: log}
		if stdin != nil {
			c.Stdin = stdin
		}
		err = command.Run(ctx, c)
		failed, ok := errors.AsType[*command.Error](err)
		switch {
		case !ok:
			return err
		case ctx.Err() != nil:
			return fmt.Errorf("%s: was stopped: %w", command.Line(argv), ctx.Err()) // the cause is the engine's to say
		case failed.ExitCode > 0:
			return &FailedError{argv, failed.ExitCode}
		}
		failed.Argv, failed.Stderr = argv, "" // what it said is in the log
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
	values := map[string]string{"LANG": "C.UTF-8"}
	for _, name := range slices.Concat(inherited, w.Pass) {
		if value, ok := os.LookupEnv(name); ok {
			values[name] = value
		}
	}
	maps.Copy(values, w.Env)
	return assignments(values)
}

// assignments are NAME=VALUE, in the order of names.
func assignments(values map[string]string) []string {
	list := make([]string, 0, len(values))
	for _, name := range slices.Sorted(maps.Keys(values)) {
		list = append(list, name+"="+values[name])
	}
	return list
}

// lookUp finds a program on the PATH that it will have, which may be another than
// ours. A name with a slash is taken as it is, from the folder it works in.
func lookUp(name string, environ []string) (string, error) {
	if strings.Contains(name, "/") {
		return name, nil
	}
	path := ""
	for _, entry := range environ {
		if value, ok := strings.CutPrefix(entry, "PATH="); ok {
			path = value
		}
	}
	for _, dir := range filepath.SplitList(path) {
		file := filepath.Join(dir, name)
		info, err := os.Stat(file)
		if filepath.IsAbs(dir) && err == nil && info.Mode().IsRegular() && info.Mode()&0o111 != 0 {
			return file, nil
		}
	}
	return "", fmt.Errorf("%s: there is no such program on its PATH, which is %q", name, path)
}

// variables make a program on a host see the variables of env.
func (w *worker) variables() []string {
	if len(w.Env) == 0 {
		return nil
	}
	return append([]string{"env"}, assignments(w.Env)...)
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
