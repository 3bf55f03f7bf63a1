package verbs

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"roost/internal/report"
)

// Resume runs again what a recorded run (empty: the newest) was asked to do.
// There is nothing to restore: what that run did is seen on the hosts and in
// the cache, and is not done again. own are verbs of the fleet's own.
func Resume(ctx context.Context, signals *Signals, o Options, run string, own ...Verb) error {
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
	if info.Verb == "" {
		return exit(CodeUsage, fmt.Errorf("run %s does not say what it was asked to do: its record ends too early; give the verb again", run))
	}
	v, err := Find(info.Verb, own...)
	if err != nil {
		return err
	}
	args := info.Args
	flags := len(args)
	if i := slices.IndexFunc(args, func(a string) bool { return strings.HasPrefix(a, "-") }); i >= 0 {
		flags = i
	}
	o.Args, args = args[:flags:flags], args[flags:]
	o.On = argument(args, "--on")
	if n, err := strconv.Atoi(argument(args, "--max-failures")); err == nil && o.MaxFailures == 0 {
		o.MaxFailures = n
	}
	o.NoCache = slices.Contains(args, "--no-cache")
	o.Verify = o.Verify || slices.Contains(args, "--verify")
	fmt.Fprintf(o.Stderr, "Again: %s %s\n", strings.Join(append([]string{v.Name}, o.Args...), " "), orAll(o.On))
	return Do(ctx, signals, o, v)
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
