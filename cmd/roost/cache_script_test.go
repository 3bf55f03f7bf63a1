package main

import (
	"context"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"roost/graph"
	"roost/internal/ledger"
)

// fillCache makes the state of a fleet that ran twice: first on rook and heron,
// then on rook, where one result was known.
func fillCache(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) > 0 {
		ts.Fatalf("usage: fillcache, in the folder of a fleet")
	}
	state := stateHere(ts)
	for i, step := range []string{"one", "two"} {
		cache, err := graph.OpenCache(state.Path("cache"))
		ts.Check(err)
		run, err := state.NewRun(time.Date(2026, 1, 1, 0, i, 0, 0, time.UTC))
		ts.Check(err)
		_, err = fillGraph(i == 0, step).Run(context.Background(), graph.Options{Cache: cache, Watch: []func(graph.Event){run.Event}})
		ts.Check(err)
		ts.Check(run.Close())
	}
}

var stateHome sync.Mutex // guards the variable: scripts run at once

// stateHere makes the state of the fleet in the script's folder.
func stateHere(ts *testscript.TestScript) *ledger.State {
	path, err := filepath.EvalSymlinks(ts.MkAbs("."))
	ts.Check(err)
	stateHome.Lock()
	defer stateHome.Unlock()
	os.Setenv("XDG_STATE_HOME", ts.Getenv("XDG_STATE_HOME"))
	defer os.Unsetenv("XDG_STATE_HOME")
	state, err := ledger.Open(path)
	ts.Check(err)
	ts.Check(state.Make())
	return state
}

func fillGraph(first bool, word string) *graph.Graph {
	g := graph.New()
	pure := func(name, value string) {
		graph.Pure(g, name, func(t *graph.Task) graph.Compute[string] {
			t.Value("word", value)
			return graph.Compute[string]{Run: func(context.Context) (string, error) { return value, nil }}
		})
	}
	pure("rook/eval", "hello")
	if first {
		pure("heron/eval", word)
	} else {
		pure("rook/build", word)
	}
	graph.Observe(g, "rook/probe", func(*graph.Task) func(context.Context) (int, error) {
		return func(context.Context) (int, error) { return 1, nil }
	})
	return g
}
