//go:build mage

// The magefile of a fleet with a verb of its own.
package main

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"

	"roost/graph"
	"roost/tasks"
)

// Notes writes down what it is told.
func Notes(ctx context.Context, text string) error { return tasks.Run(ctx, notes, text) }

// Plan saves the plan of notes.
func Plan(ctx context.Context, file, text string) error { return tasks.Plan(ctx, file, notes, text) }

// Apply carries it out.
func Apply(ctx context.Context, file string) error { return tasks.Apply(ctx, file, notes) }

// Resume goes on with the last run.
func Resume(ctx context.Context) error { return tasks.Resume(ctx, "", notes) }

// Draw draws the tasks of notes.
func Draw(ctx context.Context) error { return tasks.Graph(ctx, "mermaid", notes, "x") }

// Update takes a name that is roost's.
func Update(ctx context.Context) error {
	return tasks.Run(ctx, tasks.Verb{Name: "update:all", Declare: notes.Declare})
}

var notes = tasks.Verb{Name: "notes", Declare: func(f *tasks.Fleet, g *graph.Graph) error {
	if len(f.Args) != 1 || f.Args[0] == "nothing" {
		return errors.New("notes wants something to write down")
	}
	text, file := f.Args[0], filepath.Join(f.Dir, "note")
	f.Pool("pens", 1)
	graph.Effect(g, "fleet/write", func(t *graph.Task) graph.Change[string] {
		t.Pool("pens", 1)
		return graph.Change[string]{
			Check: func(context.Context) (graph.State[string], error) {
				have, err := os.ReadFile(file)
				if errors.Is(err, fs.ErrNotExist) {
					return graph.State[string]{Reason: "there is no note"}, nil
				}
				return graph.State[string]{Done: string(have) == text+"\n", Reason: "the note is about " + string(have)}, err
			},
			Apply: func(ctx context.Context) error {
				if text == "for ever" {
					if err := f.Run(ctx, nil, "touch", "begun"); err != nil {
						return err
					}
					return f.Run(ctx, nil, "sleep", "1000")
				}
				out, err := f.Output(ctx, nil, "echo", text)
				if err == nil {
					err = os.WriteFile(file, out, 0o600)
				}
				return err
			},
		}
	})
	for _, host := range f.Hosts {
		graph.Observe(g, host.Name+"/uptime", func(*graph.Task) func(context.Context) (string, error) {
			return func(ctx context.Context) (string, error) {
				out, err := f.Output(ctx, host, "uptime")
				return string(out), err
			}
		})
	}
	if text == "wrong" {
		graph.Observe(g, "fleet/wrong", func(*graph.Task) func(context.Context) (int, error) {
			return func(ctx context.Context) (int, error) {
				err := f.Run(ctx, nil, "sh", "-c", "exit 9")
				return tasks.ExitCode(err), err
			}
		})
	}
	return nil
}}
