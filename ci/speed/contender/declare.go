package main

import (
	"context"
	"errors"
	"os"
	"strconv"
	"sync/atomic"
	"time"

	"roost/ci/speed/shape"
	"roost/graph"
	"roost/internal/command"
)

// how says what tasks do, and what of it is kept.
type how struct {
	stamps bool // the stamp file is part of the result: one that is gone is made again
	inside bool // stamp files are made by Go, without a process
	bare   bool // no files at all: a task returns a value
	limits bool // each task has a lane, a pool, a time-out and retries
	first  func()
}

// errNoStamps is told until tasks can say which files they make.
var errNoStamps = errors.New("-stamps: the engine does not know files that tasks make")

// declare puts a shape into the graph.
func declare(g *graph.Graph, s shape.Shape, h how) error {
	if h.stamps {
		return errNoStamps
	}
	refs := make([]graph.Ref[string], s.Len())
	var needs []int
	for i := range refs {
		needs = s.Needs(needs[:0], i)
		refs[i] = graph.Pure(g, s.Name(i), func(t *graph.Task) graph.Compute[string] {
			for _, need := range needs {
				graph.Use(t, refs[need])
			}
			if source := s.Source(i); source != "" && !h.bare {
				t.Files(".", source)
			}
			if !h.bare {
				t.Heavy() // a dry run must not make files
			}
			if h.limits {
				limit(t, i)
			}
			return graph.Compute[string]{Run: func(ctx context.Context) (string, error) {
				return "", h.work(ctx, s, i)
			}}
		})
	}
	return nil
}

// With limits, tasks change so many things, and share so large a pool: enough
// that nothing waits, for what is measured is the book-keeping.
const (
	lanes = 1024
	pool  = 1024
)

func limit(t *graph.Task, i int) {
	t.Lane("lane" + strconv.Itoa(i%lanes))
	t.Pool("pool", 1)
	t.Timeout(time.Minute)
	t.Retries(1)
}

// work is one task's work.
func (h how) work(ctx context.Context, s shape.Shape, i int) error {
	h.first()
	switch {
	case h.bare:
		return nil
	case h.inside:
		return os.WriteFile(s.Out(i), nil, 0o644)
	}
	argv := shape.Argv(shape.Command(s.Out(i)))
	return command.Run(ctx, command.Cmd{Name: argv[0], Args: argv[1:]})
}

// once returns a function that notes when it is called first.
func once(at *atomic.Int64) func() {
	return func() {
		if at.Load() == 0 {
			at.CompareAndSwap(0, time.Now().UnixNano())
		}
	}
}
