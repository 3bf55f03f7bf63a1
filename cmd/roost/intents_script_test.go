package main

import (
	"context"
	"errors"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"roost/graph"
)

// fillIntents runs once-only tasks of a fleet, one run a word: heron/mail and
// rook/flash with that word declared. heron/mail ends well but for the word
// "cut"; nobody knows how rook/flash ends.
func fillIntents(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) == 0 {
		ts.Fatalf("usage: fillintents WORD..., in the folder of a fleet")
	}
	state := stateHere(ts)
	for i, word := range args {
		intents, err := graph.OpenIntents(state.Path("intents"))
		ts.Check(err)
		g := graph.New()
		once := func(name string, ends error) {
			graph.Once(g, name, func(t *graph.Task) graph.OnceOnly[string] {
				t.Value("word", word)
				return graph.OnceOnly[string]{Run: func(context.Context) (string, error) { return word, ends }}
			})
		}
		var ends error
		if word == "cut" {
			ends = errors.New("cut off")
		}
		once("heron/mail", ends)
		once("rook/flash", errors.New("no answer"))
		now := func() time.Time { return time.Date(2026, 1, 2, 3, i, 0, 0, time.UTC) }
		_, err = g.Run(context.Background(), graph.Options{Intents: intents, Info: graph.RunInfo{ID: "run-" + word}, Now: now})
		if err == nil {
			ts.Fatalf("the run of %s ended well", word)
		}
	}
}
