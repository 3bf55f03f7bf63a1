package verbs

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"roost/graph"
	"roost/internal/ledger"
	"roost/internal/report"
)

// A run with Verify says so in its record, and the run that resumes it verifies
// again. What it does is package graph's to show.
func TestVerify(t *testing.T) {
	o := emptyFleet(t)
	one := Verb{"one", func(_ context.Context, w *Work) error {
		graph.Pure(w.Graph, "fleet/one", func(*graph.Task) graph.Compute[int] {
			return graph.Compute[int]{Run: func(context.Context) (int, error) { return 1, nil }}
		})
		return nil
	}}
	ctx, signals := NotifySignals(t.Context(), false)
	defer signals.Stop()
	for _, want := range []bool{false, true, true} { // without, with, resumed
		var err error
		if resumed := o.Verify; resumed {
			o.Verify = false
			err = Resume(ctx, signals, o, "", one)
		} else {
			o.Verify = want
			err = Do(ctx, signals, o, one)
		}
		if err != nil {
			t.Fatal(err)
		}
		state, err := ledger.Open(o.Fleet)
		if err != nil {
			t.Fatal(err)
		}
		ids, err := state.Runs()
		if err != nil {
			t.Fatal(err)
		}
		info, err := report.LoadInfo(state.EventsPath(ids[len(ids)-1]))
		if err != nil || slices.Contains(info.Args, "--verify") != want {
			t.Errorf("%d runs: args %q (%v), want --verify: %v", len(ids), info.Args, err, want)
		}
	}
}

// emptyFleet makes a fleet of one host, with a state of its own.
func emptyFleet(t *testing.T) Options {
	t.Helper()
	fleet := t.TempDir()
	t.Setenv("XDG_STATE_HOME", t.TempDir())
	t.Setenv("STATE_DIRECTORY", "")
	host := filepath.Join(fleet, "hosts", "rook")
	if err := os.MkdirAll(host, 0o700); err != nil {
		t.Fatal(err)
	}
	for path, text := range map[string]string{
		filepath.Join(fleet, "flake.nix"): "{ }\n",
		filepath.Join(host, "host.toml"):  "system = \"x86_64-linux\"\nrole = \"server\"\n",
	} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	out, err := os.Create(filepath.Join(t.TempDir(), "out"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { out.Close() })
	return Options{Fleet: fleet, Stdout: out, Stderr: out}
}
