package graph

import (
	"context"
	"encoding/json"
	"fmt"
	"path/filepath"
	"slices"
	"time"
)

// Kind is what sort of work a task is; see the package comment.
type Kind string

// The kinds of tasks.
const (
	KindPure    Kind = "pure"
	KindObserve Kind = "observe"
	KindEffect  Kind = "effect"
)

// Task is a task while it is declared. Its methods are for the function that
// declares it; afterwards the task is frozen.
type Task struct {
	name    string
	id      int // its place in Graph.tasks
	kind    Kind
	version int
	values  []keyLine
	files   []file
	makes   []file

	uses   []int // their values are needed before it can be decided
	afters []int // they must have ended well before it may work
	lasts  []int // they must have ended, however, before it may work
	behind []int // if they work at all, then before it

	lanes         []string
	pools         []weight
	heavy         bool
	interruptible bool
	timeout       time.Duration
	retries       int

	work work
}

// work is a task's code with the type of its value taken away.
type work struct {
	run    func(context.Context) (any, error) // pure, observe
	valid  func(any) error                    // pure; may be nil
	check  func(context.Context) (checked, error)
	apply  func(context.Context) error
	prove  func(context.Context) (checked, error)
	decode func([]byte) (any, error)
}

type checked struct {
	done   bool
	value  any
	reason string
	record record // of a once-only task: what its deed is known by
}

type keyLine struct{ name, text string }
type file struct{ root, rel string }
type weight struct {
	pool     string
	n        int
	measured bool
}

// Version enters the key. Raise it when the code of a pure task changes what it
// returns for the same inputs.
func (t *Task) Version(n int) { t.version = n }

// Value declares a value that the result depends on. It enters the key in
// clear, so it must not be a secret.
func (t *Task) Value(name, text string) { t.values = append(t.values, keyLine{name, text}) }

// Files declares files the result depends on, as slash-separated paths below
// root. Their contents and executable bits enter the key, under their names
// relative to root. A file that does not exist is an input too: that it is missing.
func (t *Task) Files(root string, rels ...string) {
	for _, rel := range rels {
		t.files = append(t.files, file{root, filepath.ToSlash(filepath.Clean(rel))})
	}
}

// Lane names what this task changes: a host, a disk, a file. Tasks that share a
// lane never work at the same time.
func (t *Task) Lane(names ...string) {
	for _, name := range names {
		if !slices.Contains(t.lanes, name) {
			t.lanes = append(t.lanes, name)
		}
	}
	slices.Sort(t.lanes) // taken in one order by everybody
}

// Pool says that the task takes n units of a bounded resource while it works;
// see Options.Pools. A pool without a size is not bounded.
func (t *Task) Pool(name string, n int) { t.pools = append(t.pools, weight{pool: name, n: n}) }

// Measured is Pool for a resource whose use is not known before: the task takes
// n units until it has worked once, and then as many as it said with Used.
func (t *Task) Measured(name string, n int) {
	t.pools = append(t.pools, weight{pool: name, n: n, measured: true})
}

// Used says how many units of a Measured pool the task has really used. The next
// run takes as many. The last call counts; outside a task it does nothing.
func Used(ctx context.Context, pool string, n int) {
	if w, ok := ctx.Value(workingKey{}).(*working); ok {
		w.used[pool] = n
	}
}

// Heavy says that a pure task is too dear for a dry run, such as a build: there
// it is planned, and what uses its result is unknown.
func (t *Task) Heavy() { t.heavy = true }

// Interruptible says that an effect may be stopped in the middle without harm:
// a cancelled run does not wait for it. Other effects get Options.Grace to end.
func (t *Task) Interruptible() { t.interruptible = true }

// After makes the task wait until the other has ended well. Unlike Use it takes
// no value, so an effect that is satisfied never asks for it.
func (t *Task) After(h Handle) { t.afters = appendID(t.afters, h.taskID()) }

// Finally makes the task wait until the other has ended, well or not: for a
// clean-up, or a message that tells how it went. It is decided and run even if
// the other has failed, was blocked or deferred; not if the run was stopped.
func (t *Task) Finally(h Handle) { t.lasts = appendID(t.lasts, h.taskID()) }

// Behind orders two effects without need: if both work in this run, then this
// one works after the other, whether that went well or not. Neither asks for
// the other.
func (t *Task) Behind(h Handle) { t.behind = appendID(t.behind, h.taskID()) }

// Timeout bounds each attempt of the task's work. What it started must end with
// its context.
func (t *Task) Timeout(d time.Duration) { t.timeout = d }

// Retries lets the task work up to n times more, if its error is Transient and
// the run's budget lasts. An effect is checked again before: it may be done.
func (t *Task) Retries(n int) { t.retries = n }

// Handle is any Ref.
type Handle interface{ taskID() int }

// Ref stands for the result of a task, of type T. The zero Ref is not valid.
type Ref[T any] struct{ id int } // the task's id + 1

func (r Ref[T]) taskID() int { return r.id - 1 }

// Input is a result that a task has declared it needs.
type Input[T any] struct {
	id   int
	user *Task
}

// Use declares that t needs the result of r. The returned Input is the only way
// to read it, so no dependency can be forgotten.
func Use[T any](t *Task, r Ref[T]) Input[T] {
	if r.id == 0 {
		panic(fmt.Sprintf("graph: task %s uses the zero Ref", t.name))
	}
	t.uses = appendID(t.uses, r.taskID())
	return Input[T]{id: r.taskID(), user: t}
}

// Get returns the value. It is for the working functions of the task that
// declared the input; anywhere else it panics.
func (in Input[T]) Get(ctx context.Context) T {
	w, ok := ctx.Value(workingKey{}).(*working)
	if !ok || w.task != in.user {
		panic("graph: Input.Get outside the task that declared it: " + in.user.name)
	}
	return w.value(in.id).(T)
}

// Compute is the code of a pure task.
type Compute[T any] struct {
	Run func(context.Context) (T, error)
	// Valid may say that a cached value can no longer be used, because what it
	// names is gone (a path that was garbage-collected). It must be quick.
	Valid func(T) error
}

// State is what a check found.
type State[T any] struct {
	Done   bool   // the world is as it should be
	Value  T      // the effect's result; counts only where Done
	Reason string // in words: why it must be applied, or why not
}

// Change is the code of an effect.
type Change[T any] struct {
	// Check reads reality, and changes nothing.
	Check func(context.Context) (State[T], error)
	// Apply changes the world. It is called at most once a run.
	Apply func(context.Context) error
	// Prove reads reality again after Apply; nil means Check. If it does not
	// find the effect done, the task has failed, whatever Apply returned.
	Prove func(context.Context) (State[T], error)
}

// Pure declares a pure task. T must be a JSON value: it is kept in the cache.
func Pure[T any](g *Graph, name string, declare func(*Task) Compute[T]) Ref[T] {
	return Ref[T]{add(g, name, KindPure, func(t *Task) work {
		c := declare(t)
		w := work{decode: decode[T], run: erase(c.Run)}
		if c.Valid != nil {
			w.valid = func(v any) error { return c.Valid(v.(T)) }
		}
		return w
	})}
}

// Observe declares a task that reads the world.
func Observe[T any](g *Graph, name string, declare func(*Task) func(context.Context) (T, error)) Ref[T] {
	return Ref[T]{add(g, name, KindObserve, func(t *Task) work {
		return work{decode: decode[T], run: erase(declare(t))}
	})}
}

// Effect declares a task that changes the world.
func Effect[T any](g *Graph, name string, declare func(*Task) Change[T]) Ref[T] {
	return Ref[T]{add(g, name, KindEffect, func(t *Task) work {
		c := declare(t)
		if c.Prove == nil {
			c.Prove = c.Check
		}
		return work{decode: decode[T], check: eraseCheck(c.Check), apply: c.Apply, prove: eraseCheck(c.Prove)}
	})}
}

func add(g *Graph, name string, kind Kind, declare func(*Task) work) int {
	t := &Task{name: name, id: len(g.tasks), kind: kind}
	g.tasks = append(g.tasks, t) // before declare, so that ids stay dense if it panics
	t.work = declare(t)
	g.hold(t)
	return t.id + 1
}

func erase[T any](f func(context.Context) (T, error)) func(context.Context) (any, error) {
	return func(ctx context.Context) (any, error) { return f(ctx) }
}

func eraseCheck[T any](f func(context.Context) (State[T], error)) func(context.Context) (checked, error) {
	return func(ctx context.Context) (checked, error) {
		s, err := f(ctx)
		return checked{done: s.Done, value: s.Value, reason: s.Reason}, err
	}
}

func decode[T any](data []byte) (any, error) {
	var v T
	err := json.Unmarshal(data, &v)
	return v, err
}

func appendID(ids []int, id int) []int {
	if slices.Contains(ids, id) {
		return ids
	}
	return append(ids, id)
}
