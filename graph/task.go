package graph

import (
	"context"
	"encoding/json"
	"slices"
	"strconv"
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
	g  *Graph
	id int32
}

// code is the working code of one task, or of many, with the type of its value
// taken away. at is the task's number among those that share it.
type code struct {
	kind   Kind
	run    func(ctx context.Context, at int) (any, error) // pure, observe
	valid  func(any) error                                // pure; may be nil
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

// rare is what few tasks have.
type rare struct {
	lanes   []string
	pools   []weight
	timeout time.Duration
	retries int
}

type weight struct {
	pool     string
	n        int
	measured bool
}

// row is the task's row in the graph.
func (t *Task) row() *row {
	if t.id != int32(len(t.g.rows))-1 {
		panic("graph: task " + t.g.name(t.id) + " is declared already")
	}
	return &t.g.rows[t.id]
}

// rare is the task's own record of what few have.
func (t *Task) rare() *rare {
	r := t.row()
	if r.rare == 0 {
		t.g.rares = append(t.g.rares, rare{})
		r.rare = int32(len(t.g.rares))
	}
	return &t.g.rares[r.rare-1]
}

// Version enters the key. Raise it when the code of a pure task changes what it
// returns for the same inputs.
func (t *Task) Version(n int) { t.row().version = int32(n) }

// Value declares a value that the result depends on. It enters the key in
// clear, so it must not be a secret.
func (t *Task) Value(name, text string) {
	t.row()
	t.g.text = append(appendLine(t.g.text, "value", name, text), '\n')
}

// Files declares files the result depends on, as slash-separated paths below
// root. Their contents and executable bits enter the key, under their names
// relative to root. A file that does not exist is an input too: that it is missing.
func (t *Task) Files(root string, rels ...string) { t.file(root, rels, reads) }

// Makes declares files that a pure task makes. They are a part of its result:
// they must be there when it has worked, their contents enter the keys of the
// tasks that use it, and one that was changed or removed by somebody else makes
// the task work again.
func (t *Task) Makes(root string, rels ...string) { t.file(root, rels, makes) }

func (t *Task) file(root string, rels []string, how fileUse) {
	t.row()
	for _, rel := range rels {
		t.use(t.g.files.add(root, cleanRel(rel)), how)
	}
}

// mostRoots is how many folders the files of a graph may lie below.
const mostRoots = 1 << 16

func (t *Task) use(file int32, how fileUse) {
	t.g.fileUses = append(t.g.fileUses, uint32(file)<<1|uint32(how))
	if len(t.g.files.roots) > mostRoots {
		panic("graph: files below more than 65,536 folders; name them below a common one")
	}
}

// Lane names what this task changes: a host, a disk, a file. Tasks that share a
// lane never work at the same time.
func (t *Task) Lane(names ...string) {
	r := t.rare()
	r.lanes = append(r.lanes, names...)
	slices.Sort(r.lanes)
	r.lanes = slices.Compact(r.lanes)
}

// Pool says that the task takes n units of a bounded resource while it works;
// see Options.Pools. A pool without a size is not bounded.
func (t *Task) Pool(name string, n int) {
	r := t.rare()
	r.pools = append(r.pools, weight{pool: name, n: n})
}

// Measured is Pool for a resource whose use is not known before: the task takes
// n units until it has worked once, and then as many as it said with Used.
func (t *Task) Measured(name string, n int) {
	r := t.rare()
	r.pools = append(r.pools, weight{pool: name, n: n, measured: true})
}

// Used says how many units of a Measured pool the task has really used. The next
// run takes as many. The last call counts; outside a task it does nothing.
func Used(ctx context.Context, pool string, n int) {
	if w, ok := ctx.Value(workingKey{}).(*working); ok {
		if w.used == nil {
			w.used = map[string]int{}
		}
		w.used[pool] = n
	}
}

// Heavy says that a pure task is too dear for a dry run, such as a build: there
// it is planned, and what uses its result is unknown.
func (t *Task) Heavy() { t.row().heavy = true }

// Interruptible says that an effect may be stopped in the middle without harm:
// a cancelled run does not wait for it. Other effects get Options.Grace to end.
func (t *Task) Interruptible() { t.row().interruptible = true }

// After makes the task wait until the other has ended well. Unlike Use it takes
// no value, so an effect that is satisfied never asks for it.
func (t *Task) After(h Handle) { t.edge(h.taskID(), afters) }

// Finally makes the task wait until the other has ended, well or not: for a
// clean-up, or a message that tells how it went. It is decided and run even if
// the other has failed, was blocked or deferred; not if the run was stopped.
func (t *Task) Finally(h Handle) { t.edge(h.taskID(), lasts) }

// Behind orders two effects without need: if both work in this run, then this
// one works after the other, whether that went well or not. Neither asks for
// the other. The plan counts: one that it had as unneeded, and that is asked for
// only by what was unknown then, is not waited for.
func (t *Task) Behind(h Handle) { t.edge(h.taskID(), behind) }

// edge declares an edge, once. A gate over thousands of tasks is not searched
// for an edge that is there twice, which does no harm.
func (t *Task) edge(need int32, kind edgeKind) {
	r := t.row()
	if need < 0 || need >= t.id {
		panic("graph: task " + t.g.name(t.id) + " needs a task of another graph, or none")
	}
	e := makeEdge(need, kind)
	if own := t.g.edges[r.edges:]; len(own) > 64 || !slices.Contains(own, e) {
		t.g.edges = append(t.g.edges, e)
	}
}

// Timeout bounds each attempt of the task's work. What it started must end with
// its context.
func (t *Task) Timeout(d time.Duration) { t.rare().timeout = d }

// Retries lets the task work up to n times more, if its error is Transient and
// the run's budget lasts. An effect is checked again before: it may be done.
func (t *Task) Retries(n int) { t.rare().retries = n }

// Handle is any Ref.
type Handle interface{ taskID() int32 }

// Ref stands for the result of a task, of type T. The zero Ref is not valid.
type Ref[T any] struct{ id int32 } // the task's id + 1

func (r Ref[T]) taskID() int32 { return r.id - 1 }

// Input is a result that a task has declared it needs.
type Input[T any] struct{ id, user int32 }

// Use declares that t needs the result of r. The returned Input is the only way
// to read it, so no dependency can be forgotten.
func Use[T any](t *Task, r Ref[T]) Input[T] {
	if r.id == 0 {
		panic("graph: task " + t.g.name(t.id) + " uses the zero Ref")
	}
	t.edge(r.taskID(), uses)
	return Input[T]{r.taskID(), t.id}
}

// Get returns the value. It is for the working functions of the task that
// declared the input; anywhere else it panics.
func (in Input[T]) Get(ctx context.Context) T {
	w, ok := ctx.Value(workingKey{}).(*working)
	if !ok || w.id != in.user {
		panic("graph: Input.Get outside the task that declared it")
	}
	v, _ := w.run.value(in.id)
	value, _ := v.(T) // a nil interface is the zero value of its type
	return value
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
	return Ref[T]{g.declare(name, KindPure, func(t *Task) code {
		c := declare(t)
		w := code{decode: decode[T], run: erase(c.Run)}
		if c.Valid != nil {
			w.valid = func(v any) error { return c.Valid(v.(T)) }
		}
		return w
	})}
}

// Observe declares a task that reads the world.
func Observe[T any](g *Graph, name string, declare func(*Task) func(context.Context) (T, error)) Ref[T] {
	return Ref[T]{g.declare(name, KindObserve, func(t *Task) code {
		return code{decode: decode[T], run: erase(declare(t))}
	})}
}

// Effect declares a task that changes the world.
func Effect[T any](g *Graph, name string, declare func(*Task) Change[T]) Ref[T] {
	return Ref[T]{g.declare(name, KindEffect, func(t *Task) code {
		c := declare(t)
		if c.Prove == nil {
			c.Prove = c.Check
		}
		return code{decode: decode[T], check: eraseCheck(c.Check), apply: c.Apply, prove: eraseCheck(c.Prove)}
	})}
}

func erase[T any](f func(context.Context) (T, error)) func(context.Context, int) (any, error) {
	return func(ctx context.Context, _ int) (any, error) { return f(ctx) }
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

// appendLine appends one line of a record. Names and texts are quoted, so no
// line can pass for another.
func appendLine[S, T ~string | ~[]byte](b []byte, kind string, name S, text T) []byte {
	b = append(append(b, kind...), ' ')
	b = appendQuoted(b, name)
	return appendQuoted(append(b, " = "...), text)
}

// appendQuoted is strconv.AppendQuote, with a short way for plain text.
func appendQuoted[S ~string | ~[]byte](b []byte, text S) []byte {
	for i := range len(text) {
		if c := text[i]; c < ' ' || c > '~' || c == '"' || c == '\\' {
			return strconv.AppendQuote(b, string(text))
		}
	}
	return append(append(append(b, '"'), text...), '"')
}

// line is appendLine as a string.
func line(kind, name, text string) string { return string(appendLine(nil, kind, name, text)) }
