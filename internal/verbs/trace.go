package verbs

import (
	"fmt"
	"slices"
	"strings"

	"github.com/google/renameio/v2"

	"roost/internal/ledger"
	"roost/internal/trace"
)

// Trace writes the trace of a recorded run, for Perfetto or Chrome, to the file
// named to, or to stdout if that is empty. An empty run is the newest.
func Trace(o Options, run, to string) error {
	o.fill()
	dir, err := FleetDir(o.Fleet)
	if err != nil {
		return err
	}
	state, err := ledger.Open(dir)
	if err != nil {
		return exit(CodeUsage, err)
	}
	if run, err = findRun(state, run); err != nil {
		return exit(CodeUsage, err)
	}
	path := state.Path("runs", run, "events.jsonl")
	if to == "" {
		return trace.Write(o.Stdout, path)
	}
	f, err := renameio.NewPendingFile(to, renameio.WithPermissions(0o600))
	if err != nil {
		return fmt.Errorf("write the trace: %w", err)
	}
	defer f.Cleanup()
	if err := trace.Write(f, path); err != nil {
		return err
	}
	if err := f.CloseAtomicallyReplace(); err != nil {
		return fmt.Errorf("write the trace: %w", err)
	}
	return nil
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
