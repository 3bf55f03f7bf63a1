package verbs

import (
	"context"
	"fmt"
	"slices"
	"strconv"

	"roost/internal/report"
)

// Resume runs again what a recorded run (empty: the newest) was asked to do.
// There is nothing to restore: what that run did is seen on the hosts and in
// the cache, and is not done again.
func Resume(ctx context.Context, signals *Signals, o Options, run string) error {
	o.fill()
	state, err := openState(o)
	if err != nil {
		return err
	}
	if run, err = findRun(state, run); err != nil {
		return exit(CodeUsage, err)
	}
	info, err := report.LoadInfo(state.EventsPath(run))
	if err != nil {
		return exit(CodeFailed, err)
	}
	if info.Verb != "update:all" {
		return exit(CodeUsage, fmt.Errorf("run %s does not say what it was asked to do: its record ends too early; give the verb again", run))
	}
	o.On = argument(info.Args, "--on")
	if n, err := strconv.Atoi(argument(info.Args, "--max-failures")); err == nil && o.MaxFailures == 0 {
		o.MaxFailures = n
	}
	o.NoCache = slices.Contains(info.Args, "--no-cache")
	fmt.Fprintf(o.Stderr, "Again: update:all %s\n", orAll(o.On))
	return UpdateAll(ctx, signals, o)
}

func argument(args []string, name string) string {
	if i := slices.Index(args, name); i >= 0 && i+1 < len(args) {
		return args[i+1]
	}
	return ""
}

func orAll(selector string) string {
	if selector == "" {
		return "on every host"
	}
	return "--on " + selector
}
