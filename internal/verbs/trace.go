package verbs

import (
	"fmt"
	"io"
	"slices"
	"strings"

	"roost/internal/ledger"
	"roost/internal/trace"
)

// Trace writes the trace of a recorded run, for Perfetto or Chrome, to the file
// named to, or to stdout if that is empty. An empty run is the newest.
func Trace(o Options, run, to string) error {
	o.fill()
	state, err := openState(o)
	if err != nil {
		return err
	}
	if run, err = findRun(state, run); err != nil {
		return exit(CodeUsage, err)
	}
	path := state.EventsPath(run)
	if to == "" {
		return trace.Write(o.Stdout, path)
	}
	return writeFile(to, "the trace", func(w io.Writer) error { return trace.Write(w, path) })
}

// findRun is the id of a recorded run: the one given, or the newest.
func findRun(state *ledger.State, id string) (string, error) {
	ids, err := state.Runs()
	switch {
	case err != nil:
		return "", err
	case len(ids) == 0:
		return "", fmt.Errorf("no run of the fleet is recorded in %s", state.Path("runs"))
	case id == "":
		return ids[len(ids)-1], nil
	case slices.Contains(ids, id):
		return id, nil
	}
	last := slices.Clone(ids[max(0, len(ids)-5):])
	slices.Reverse(last)
	return "", fmt.Errorf("no run is called %q; the last ones:\n  %s", id, strings.Join(last, "\n  "))
}
