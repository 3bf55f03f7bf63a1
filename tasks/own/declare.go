package own

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"runtime"
	"slices"

	"roost/graph"
	"roost/hosts"
	"roost/internal/remote"
)

// Connect gives the connection to a host, the same each time.
type Connect func(*hosts.Host) *remote.Conn

// Done is the result of a task: that it ended well. The files it made are part
// of it by graph.Task.Makes.
type Done struct{}

// commandPool bounds the pure tasks, which work on this machine.
const commandPool = "commands"

// Pools are the sizes of the pools that the tasks take from.
func Pools() map[string]int { return map[string]int{commandPool: max(2, runtime.NumCPU())} }

// Declare adds the chosen tasks to the graph.
func (c *Chosen) Declare(g *graph.Graph, connect Connect) {
	d := &declaring{fleetDir: c.tasks.fleet.Dir, refs: map[*instance]graph.Ref[Done]{}}
	for _, in := range c.all {
		w := &worker{instance: in, fleetDir: d.fleetDir}
		if in.At == OnHost {
			w.conn = connect(in.host)
		}
		if in.isEffect() {
			d.refs[in] = d.effect(g, w)
		} else {
			d.refs[in] = d.pure(g, w)
		}
	}
}

type declaring struct {
	fleetDir string
	refs     map[*instance]graph.Ref[Done]
}

// after makes a task wait for what it needs. What it reads is made before it is
// decided; a pure task is also decided by the results of the pure ones it needs.
func (d *declaring) after(t *graph.Task, in *instance) {
	for _, other := range in.reads {
		graph.Use(t, d.refs[other])
	}
	for _, other := range in.programs {
		t.After(d.refs[other])
	}
	for _, n := range in.needs {
		ref, chosen := d.refs[n.instance]
		switch {
		case !chosen: // on a host that is not selected
		case in.isEffect() || n.isEffect():
			t.After(ref)
		default:
			graph.Use(t, ref)
		}
	}
	t.Timeout(in.Timeout.Duration)
	t.Retries(in.Retries.Times)
	if in.Lane != "" {
		t.Lane("task/" + in.Lane)
	}
}

// pure is a task that runs when something of what it depends on has changed.
func (d *declaring) pure(g *graph.Graph, w *worker) graph.Ref[Done] {
	return graph.Pure(g, w.name, func(t *graph.Task) graph.Compute[Done] {
		t.Heavy() // it makes files, which a dry run must not
		t.Pool(commandPool, 1)
		d.after(t, w.instance)
		argv, err := json.Marshal(w.Run)
		if err != nil {
			panic(err) // strings are JSON values
		}
		t.Value("run", string(argv))
		for name, value := range w.Env {
			t.Value("env "+name, value)
		}
		if w.Dir != "" {
			t.Value("dir", w.Dir)
		}
		t.Files(d.fleetDir, w.files...)
		t.Makes(d.fleetDir, w.Outputs...)
		return graph.Compute[Done]{Run: w.make}
	})
}

// effect is a task whose check says whether it must run, or that always does.
func (d *declaring) effect(g *graph.Graph, w *worker) graph.Ref[Done] {
	return graph.Effect(g, w.name, func(t *graph.Task) graph.Change[Done] {
		d.after(t, w.instance)
		if w.host != nil {
			t.Lane("host/" + w.host.Name)
		}
		if w.Always {
			return w.always()
		}
		return graph.Change[Done]{
			Check: w.isSo,
			Apply: func(ctx context.Context) error { return w.run(ctx, w.Run) },
		}
	})
}

// always is an effect that nothing but its own end can prove.
func (w *worker) always() graph.Change[Done] {
	ended := false
	return graph.Change[Done]{
		Check: func(ctx context.Context) (graph.State[Done], error) {
			ended = false
			state := graph.State[Done]{Reason: "it runs in every run"}
			if w.conn == nil {
				return state, nil
			}
			return state, remote.ForTask(w.conn.Connect(ctx)) // a host that is away is so in the plan already
		},
		Apply: func(ctx context.Context) error {
			err := w.run(ctx, w.Run)
			ended = err == nil
			return err
		},
		Prove: func(context.Context) (graph.State[Done], error) {
			return graph.State[Done]{Done: ended, Reason: "it did not end well"}, nil
		},
	}
}

// make runs a pure task. A file that appeared meanwhile may have been read, or
// not: the result would be kept under a key that does not say.
func (w *worker) make(ctx context.Context) (Done, error) {
	root, err := os.OpenRoot(w.fleetDir)
	if err != nil {
		return Done{}, fmt.Errorf("the fleet folder: %w", err)
	}
	defer root.Close()
	if err := makeFolders(root, w.Outputs); err != nil {
		return Done{}, err
	}
	if err := w.run(ctx, w.Run); err != nil {
		return Done{}, err
	}
	for _, pattern := range w.Inputs {
		if !isGlob(pattern) {
			continue
		}
		files, err := match(root, pattern)
		if err != nil {
			return Done{}, fmt.Errorf("input %q: %w", pattern, err)
		}
		for _, file := range files {
			if _, known := slices.BinarySearch(w.files, file); !known {
				return Done{}, fmt.Errorf("%s, which its input %q matches, appeared while it was at work; run again", file, pattern)
			}
		}
	}
	return Done{}, nil
}
