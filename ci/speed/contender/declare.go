package main

import (
	"context"
	"fmt"
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

// declare puts a shape into the graph: tasks of one code, in bulk.
func declare(g *graph.Graph, s shape.Shape, h how) error {
	var needs []int
	var text []byte
	graph.Many(g, graph.Batch[graph.None]{
		N: s.Len(), Key: fmt.Sprint(s, h.stamps, h.bare, h.limits), // as the digest of a file of tasks would be
		Name: s.AppendName,
		Declare: func(t *graph.Task, i int, all graph.Refs[graph.None]) {
			needs = s.Needs(needs[:0], i)
			for _, need := range needs {
				graph.Use(t, all.At(need))
			}
			if !h.bare {
				h.files(t, s, i, &text)
			}
			if h.limits {
				limit(t, i)
			}
		},
		Run: func(ctx context.Context, i int) (graph.None, error) { return graph.None{}, h.work(ctx, s, i) },
	})
	return nil
}

// files declares what a task reads, makes and runs.
func (h how) files(t *graph.Task, s shape.Shape, i int, text *[]byte) {
	t.Heavy() // a dry run must not make files
	if *text = s.AppendSource((*text)[:0], i); len(*text) > 0 {
		t.FileBytes(".", *text)
	}
	*text = s.AppendOut((*text)[:0], i)
	if h.stamps {
		t.MakesBytes(".", *text)
	}
	t.ValueBytes("makes", *text)
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

// environ is all of every command's environment.
var environ = []string{"PATH=/usr/bin:/bin"}

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
	log := graph.Log(ctx)
	return command.Run(ctx, command.Cmd{Name: argv[0], Args: argv[1:], Environ: environ, Stdout: log, Stderr: log})
}

// once returns a function that notes when it is called first.
func once(at *atomic.Int64) func() {
	return func() {
		if at.Load() == 0 {
			at.CompareAndSwap(0, time.Now().UnixNano())
		}
	}
}
