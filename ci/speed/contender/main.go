// Contender is the engine's side of the benchmark: it declares a shape with
// package graph, runs it in the working directory, and says in its last line,
// as JSON, what it did (took.Run).
//
//	contender -shape layered -n 10000 -state .state -jobs 2
//
// With -dry it only plans, with -why NAME it only explains a task.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"sync/atomic"
	"syscall"
	"time"

	"roost/ci/speed/shape"
	"roost/ci/speed/took"
	"roost/graph"
	"roost/internal/ledger"
)

type flags struct {
	shape      string
	n, jobs    int
	dir, state string
	verify     bool
	dry        bool
	events     bool
	why        string
	how
}

func main() {
	var f flags
	flag.StringVar(&f.shape, "shape", "layered", "layered, fleet or probes")
	flag.IntVar(&f.n, "n", 1000, "tasks of layered, hosts of fleet and probes")
	flag.IntVar(&f.jobs, "jobs", 0, "tasks at work at once; 0 = the engine's default")
	flag.StringVar(&f.dir, "dir", ".", "the folder with the sources")
	flag.StringVar(&f.state, "state", "", "keep the state in this folder; empty = none is kept")
	flag.BoolVar(&f.verify, "verify", false, "believe no time stamp: hash every file")
	flag.BoolVar(&f.dry, "dry", false, "plan only")
	flag.BoolVar(&f.events, "events", false, "record the run, as roost does; wants -state")
	flag.BoolVar(&f.stamps, "stamps", false, "the stamp files are part of the results")
	flag.BoolVar(&f.inside, "inprocess", false, "make stamp files in Go")
	flag.BoolVar(&f.bare, "bare", false, "read and make no files: a task returns a value")
	flag.BoolVar(&f.limits, "limits", false, "give each task a lane, a pool, a time-out and retries")
	flag.StringVar(&f.why, "why", "", "explain this task, and nothing else")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := f.main(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "contender:", err)
		os.Exit(1)
	}
}

func (f *flags) main(ctx context.Context) error {
	if err := os.Chdir(f.dir); err != nil {
		return err
	}
	said, err := f.run(ctx)
	if err != nil {
		return err
	}
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		return err
	}
	said.Peak, said.Wall = usage.Maxrss<<10, since(time.Now())
	return json.NewEncoder(os.Stdout).Encode(said)
}

// since is how long after the start of this process a moment is.
func since(at time.Time) time.Duration {
	start, err := strconv.ParseInt(os.Getenv(took.StartEnv), 10, 64)
	if err != nil { // not launched by the benchmark
		return at.Sub(mainBegan)
	}
	return at.Sub(time.Unix(0, start))
}

var mainBegan = time.Now()

func (f *flags) run(ctx context.Context) (said took.Run, err error) {
	o := graph.Options{Jobs: f.jobs, Dry: f.dry, Verify: f.verify, NoPlan: !f.events}
	if f.state != "" {
		if o.Cache, err = graph.OpenCache(filepath.Join(f.state, "cache")); err != nil {
			return said, err
		}
	}
	if f.limits {
		o.Pools, o.MaxFailures = map[string]int{"pool": pool}, 10
	}
	if f.why != "" {
		return said, explain(o.Cache, f.why)
	}
	g := graph.New()
	g.KeepIn(o.Cache)
	var first atomic.Int64
	f.first = once(&first)
	if err := f.declare(g); err != nil {
		return said, err
	}
	result, err := f.recorded(ctx, g, o, &said)
	if err != nil {
		return said, err
	}
	said.Tasks, said.Ran, said.Cached = g.Len(), result.Counts[graph.StatusRan], result.Counts[graph.StatusCached]
	if f.dry {
		for range result.Ended(graph.StatusPlanned) {
			said.Ran++
		}
	}
	if at := first.Load(); at != 0 {
		said.First = since(time.Unix(0, at))
	}
	return said, nil
}

func (f *flags) declare(g *graph.Graph) error {
	if f.shape == "probes" {
		declareProbes(g, f.n)
		return nil
	}
	s, err := shape.New(f.shape, f.n)
	if err != nil {
		return err
	}
	return declare(g, s, f.how)
}

// recorded runs the graph, with its record on disk if that is wanted, of which a
// trace can be made.
func (f *flags) recorded(ctx context.Context, g *graph.Graph, o graph.Options, said *took.Run) (*graph.Result, error) {
	end := func() error { return nil }
	if f.events {
		if f.state == "" {
			return nil, errors.New("-events needs -state")
		}
		state := &ledger.State{Dir: f.state}
		if err := state.Make(); err != nil {
			return nil, err
		}
		record, err := state.NewRun(time.Now())
		if err != nil {
			return nil, err
		}
		count := func(graph.Event) { said.Events++ }
		o.Watch, o.LogTo = []func(graph.Event){record.Event, count}, record.LogTo
		end = func() error {
			return record.Close()
		}
	}
	result, err := g.Run(ctx, o)
	if err != nil {
		return nil, errors.Join(err, end())
	}
	return result, end()
}

func explain(cache *graph.Cache, task string) error {
	if cache == nil {
		return errors.New("-why needs -state")
	}
	e, ok := cache.Explain(task)
	if !ok {
		return fmt.Errorf("no success of %s is recorded", task)
	}
	_, err := fmt.Println(task, "depends on", e.Inputs)
	return err
}
