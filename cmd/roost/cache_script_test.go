package main

import (
	"context"
	"os"
	"path/filepath"
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
	path, err := filepath.EvalSymlinks(ts.MkAbs("."))
	ts.Check(err)
	os.Setenv("XDG_STATE_HOME", ts.Getenv("XDG_STATE_HOME")) // no other script runs ledger code in this process
	defer os.Unsetenv("XDG_STATE_HOME")
	state, err := ledger.Open(path)
	ts.Check(err)
	ts.Check(state.Make())
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
