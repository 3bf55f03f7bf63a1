package verbs

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"roost/graph"
	"roost/internal/ledger"
)

// TestSettleWaitsForNoRun: a run at work may be about to end what is unknown.
func TestSettleWaitsForNoRun(t *testing.T) {
	fleet := t.TempDir()
	t.Setenv("XDG_STATE_HOME", t.TempDir())
	t.Setenv("STATE_DIRECTORY", "")
	state, err := ledger.Open(fleet)
	if err != nil {
		t.Fatal(err)
	}
	if err := state.Make(); err != nil {
		t.Fatal(err)
	}
	g := graph.New()
	graph.Once(g, "rook/mail", func(*graph.Task) graph.OnceOnly[string] {
		return graph.OnceOnly[string]{Run: func(context.Context) (string, error) { return "", errors.New("no answer") }}
	})
	intents, err := graph.OpenIntents(state.Path("intents"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := g.Run(t.Context(), graph.Options{Intents: intents}); err == nil {
		t.Fatal("it ended well")
	}
	out, err := os.Create(filepath.Join(t.TempDir(), "out"))
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	o := Options{Fleet: fleet, Stdout: out, Stderr: out}
	lock, err := state.Lock("update:all", time.Now())
	if err != nil {
		t.Fatal(err)
	}
	err = SettleIntent(o, Settlement{Task: "rook/mail", Done: true})
	if Code(err) != CodeRefused || !strings.Contains(err.Error(), "another run is at work") {
		t.Errorf("while a run is at work: %v", err)
	}
	if err := lock.Release(); err != nil {
		t.Fatal(err)
	}
	if got := UnsettledTasks(fleet); len(got) != 1 {
		t.Errorf("unsettled: %v", got)
	}
	if err := SettleIntent(o, Settlement{Task: "rook/mail", Done: true}); err != nil {
		t.Error(err)
	}
	if got := UnsettledTasks(fleet); len(got) != 0 {
		t.Errorf("unsettled: %v", got)
	}
}

func TestParseSettlement(t *testing.T) {
	for how, want := range map[string]bool{"done": true, "again": false} {
		if s, err := ParseSettlement("h/a", how); err != nil || s.Done != want || s.Task != "h/a" {
			t.Errorf("%s: %+v, %v", how, s, err)
		}
	}
	if _, err := ParseSettlement("h/a", "yes"); Code(err) != CodeUsage {
		t.Error(err)
	}
}
