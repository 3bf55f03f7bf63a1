// Package verbs is what roost's verbs do, from their options to their exit
// code. Both front doors, mage and the roost binary, call it.
//
//	ctx, signals := verbs.NotifySignals(context.Background(), false)
//	defer signals.Stop()
//	err := verbs.Do(ctx, signals, verbs.Options{On: "@canary", DryRun: true}, verbs.UpdateAll)
//	os.Exit(verbs.Code(err))
package verbs

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"roost/graph"
	"roost/hosts"
	"roost/internal/ledger"
)

// Options are the flags that verbs share. FromEnv fills them for a door that
// has no flags.
type Options struct {
	Fleet   string   // the fleet folder; empty: $PWD or the nearest folder above it that is one
	On      string   // selector; empty: every host
	Args    []string // what follows the verb: tasks of run
	DryRun  bool
	Jobs    int // tasks at work at once; 0: the engine's default
	JSON    bool
	Yes     bool // answers every question
	NoCache bool
	Verify  bool // believe no time stamp: read every file again
	Verbose bool
	// MaxFailures stops a run when so many tasks have failed; 0: never, 1: at the first.
	MaxFailures int

	Version string // of the roost at work, for what it writes; empty: not known

	CacheURL      string // of a cache shared with other machines; empty: none
	CacheReadOnly bool   // take results from it, send none

	Stdout, Stderr *os.File // nil: the process's own
}

// FromEnv reads the options from ROOST_FLEET, ROOST_ON, ROOST_TASKS (separated by
// spaces), ROOST_DRY_RUN,
// ROOST_JOBS, ROOST_MAX_FAILURES, ROOST_JSON, ROOST_YES, ROOST_NO_CACHE, ROOST_VERIFY,
// ROOST_CACHE_URL, ROOST_CACHE_READ_ONLY and ROOST_VERBOSE. An empty variable is
// as good as none.
func FromEnv() (Options, error) {
	o := Options{Fleet: os.Getenv("ROOST_FLEET"), On: os.Getenv("ROOST_ON")}
	if tasks := strings.Fields(os.Getenv("ROOST_TASKS")); len(tasks) > 0 {
		o.Args = tasks
	}
	var errs []error
	flag := func(name string) bool {
		switch text := os.Getenv(name); strings.ToLower(text) { // the words that kong takes
		case "1", "true", "yes":
			return true
		case "", "0", "false", "no":
		default:
			errs = append(errs, fmt.Errorf("%s=%q: want true, 1, yes, false, 0 or no", name, text))
		}
		return false
	}
	o.DryRun, o.JSON, o.Yes = flag("ROOST_DRY_RUN"), flag("ROOST_JSON"), flag("ROOST_YES")
	o.NoCache, o.Verify, o.Verbose = flag("ROOST_NO_CACHE"), flag("ROOST_VERIFY"), flag("ROOST_VERBOSE")
	o.CacheURL, o.CacheReadOnly = os.Getenv("ROOST_CACHE_URL"), flag("ROOST_CACHE_READ_ONLY")
	number := func(name string) int {
		text := os.Getenv(name)
		if text == "" {
			return 0
		}
		n, err := strconv.Atoi(text)
		if err != nil || n < 1 {
			errs = append(errs, fmt.Errorf("%s=%q: want a number above 0", name, text))
		}
		return n
	}
	o.Jobs, o.MaxFailures = number("ROOST_JOBS"), number("ROOST_MAX_FAILURES")
	if err := errors.Join(errs...); err != nil {
		return o, exit(CodeUsage, err)
	}
	return o, nil
}

func (o *Options) fill() {
	if o.Stdout == nil {
		o.Stdout = os.Stdout
	}
	if o.Stderr == nil {
		o.Stderr = os.Stderr
	}
}

// The exit codes of every verb.
const (
	CodeOK          = 0
	CodeFailed      = 1   // some task failed
	CodeUsage       = 2   // usage or invalid fleet: nothing was run
	CodeRefused     = 3   // by a guard, a plan that no longer holds, a held lock
	CodeInterrupted = 130 // by Ctrl-C; 143 by SIGTERM
	codeTerminated  = 143
)

// Exit is an error with the exit code it means. A nil Err has been told already.
type Exit struct {
	Code int
	Err  error
}

func (e *Exit) Error() string {
	if e.Err == nil {
		return fmt.Sprintf("it did not end well, as told above (exit code %d)", e.Code)
	}
	return e.Err.Error()
}

func (e *Exit) Unwrap() error { return e.Err }

// ExitCode is what kong asks an error for.
func (e *Exit) ExitCode() int { return e.Code }

// ExitStatus is what mage asks an error for.
func (e *Exit) ExitStatus() int { return e.Code }

func exit(code int, err error) error { return &Exit{code, err} }

// Code returns the exit code an error means.
func Code(err error) int {
	if err == nil {
		return CodeOK
	}
	if e, ok := errors.AsType[*Exit](err); ok {
		return e.Code
	}
	return CodeFailed
}

// Tell prints an error for the reader, unless that was done already.
func Tell(w io.Writer, err error) {
	if err == nil {
		return
	}
	if e, ok := errors.AsType[*Exit](err); ok && e.Err == nil {
		return
	}
	fmt.Fprintf(w, "roost: %v\n", err)
}

// codeOf is the exit code of a run.
func codeOf(err error, s *Signals) int {
	if errors.Is(err, graph.ErrStopped) {
		return s.Code()
	}
	run, ok := errors.AsType[*graph.RunError](err)
	_, stale := errors.AsType[*graph.StaleError](err)
	switch {
	case err == nil:
		return CodeOK
	case stale:
		return CodeRefused
	case ok && run.OnlyRefused():
		return CodeRefused
	}
	return CodeFailed
}

// FleetDir finds the fleet folder: the one given, or the nearest from the
// working directory upwards that has hosts/ and flake.nix.
func FleetDir(given string) (string, error) {
	if given != "" {
		dir, err := filepath.Abs(given)
		if err == nil {
			_, err = os.Stat(dir)
		}
		if err != nil {
			return "", exit(CodeUsage, fmt.Errorf("the fleet folder: %w", err))
		}
		return dir, nil
	}
	start, err := os.Getwd()
	if err != nil {
		return "", exit(CodeUsage, err)
	}
	for dir := start; ; dir = filepath.Dir(dir) {
		_, errHosts := os.Stat(filepath.Join(dir, "hosts"))
		_, errFlake := os.Stat(filepath.Join(dir, "flake.nix"))
		if errHosts == nil && errFlake == nil {
			return dir, nil
		}
		if dir == filepath.Dir(dir) {
			return "", exit(CodeUsage, fmt.Errorf("%s is in no fleet: no folder from here upwards has hosts/ and flake.nix\n  Go to your fleet, or name it: --fleet DIR (ROOST_FLEET)", start))
		}
	}
}

// openState opens the state of the fleet that the options name.
func openState(o Options) (*ledger.State, error) {
	dir, err := FleetDir(o.Fleet)
	if err != nil {
		return nil, err
	}
	state, err := ledger.Open(dir)
	if err != nil {
		return nil, exit(CodeUsage, err)
	}
	return state, nil
}

// load loads the fleet and selects hosts of it.
func load(o Options) (*hosts.Fleet, []*hosts.Host, error) {
	dir, err := FleetDir(o.Fleet)
	if err != nil {
		return nil, nil, err
	}
	fleet, err := hosts.Load(dir)
	if err != nil {
		return nil, nil, exit(CodeUsage, err)
	}
	selected, err := fleet.Select(o.On)
	if err != nil {
		return nil, nil, exit(CodeUsage, err)
	}
	return fleet, selected, nil
}
