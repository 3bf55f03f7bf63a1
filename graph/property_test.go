package graph

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"sync"
	"testing"

	"pgregory.net/rapid"
)

// worldTask is one task of a random graph, and the world it works on.
type worldTask struct {
	name         string
	kind         Kind
	heavy        bool
	uses, afters []int
	fails        bool
	away         bool // an observation that is deferred
	source       string
	lane         string
	pool         int

	world string // an effect's place in the world
}

// world runs random graphs and watches what the engine promises.
type world struct {
	tasks []*worldTask

	mu     sync.Mutex
	ran    map[string]int
	ended  map[string]bool
	broken []string
	lanes  map[string]string
	taken  int
}

const worldPool = 3

func drawWorld(t *rapid.T) *world {
	w := &world{}
	for i := range rapid.IntRange(1, 14).Draw(t, "tasks") {
		x := &worldTask{
			name:   fmt.Sprintf("h%d/t%02d", rapid.IntRange(0, 2).Draw(t, "host"), i),
			kind:   rapid.SampledFrom([]Kind{KindPure, KindPure, KindObserve, KindEffect, KindEffect}).Draw(t, "kind"),
			heavy:  rapid.Bool().Draw(t, "heavy"),
			fails:  rapid.IntRange(0, 9).Draw(t, "fails") == 0,
			away:   rapid.IntRange(0, 9).Draw(t, "away") == 0,
			source: rapid.StringMatching("[ab]").Draw(t, "source"),
			lane:   rapid.SampledFrom([]string{"", "l1", "l2"}).Draw(t, "lane"),
			pool:   rapid.IntRange(0, 4).Draw(t, "pool"),
			world:  "as it was",
		}
		for need := range i {
			switch rapid.IntRange(0, 5).Draw(t, "edge") {
			case 0:
				x.uses = append(x.uses, need)
			case 1:
				x.afters = append(x.afters, need)
			}
		}
		w.tasks = append(w.tasks, x)
	}
	return w
}

// value is what a task makes of what it uses.
func (x *worldTask) value(inputs []string) string { return x.source + fmt.Sprint(inputs) }

func (w *world) graph() *Graph {
	w.ran, w.ended, w.lanes = map[string]int{}, map[string]bool{}, map[string]string{}
	g := New()
	refs := make([]Ref[string], len(w.tasks))
	for i, x := range w.tasks {
		declare := func(t *Task) func(ctx context.Context) []string {
			t.Value("source", x.source)
			if x.lane != "" {
				t.Lane(x.lane)
			}
			if x.pool > 0 {
				t.Pool("p", x.pool)
			}
			var ins []Input[string]
			for _, u := range x.uses {
				ins = append(ins, Use(t, refs[u]))
			}
			for _, a := range x.afters {
				t.After(refs[a])
			}
			return func(ctx context.Context) []string {
				var got []string
				for _, in := range ins {
					got = append(got, in.Get(ctx))
				}
				return got
			}
		}
		switch x.kind {
		case KindPure:
			refs[i] = Pure(g, x.name, func(t *Task) Compute[string] {
				inputs := declare(t)
				if x.heavy {
					t.Heavy()
				}
				return Compute[string]{Run: func(ctx context.Context) (string, error) {
					return x.value(inputs(ctx)), w.work(x, x.fails)
				}}
			})
		case KindObserve:
			refs[i] = Observe(g, x.name, func(t *Task) func(context.Context) (string, error) {
				inputs := declare(t)
				return func(ctx context.Context) (string, error) {
					err := w.work(x, x.fails)
					if x.away {
						err = Defer(errors.New("away"))
					}
					return x.value(inputs(ctx)), err
				}
			})
		case KindEffect:
			refs[i] = Effect(g, x.name, func(t *Task) Change[string] {
				inputs := declare(t)
				return Change[string]{
					Check: func(ctx context.Context) (State[string], error) {
						return State[string]{Done: x.world == x.value(inputs(ctx)), Value: x.world, Reason: x.world}, nil
					},
					Apply: func(ctx context.Context) error {
						err := w.work(x, x.fails)
						if err == nil {
							x.world = x.value(inputs(ctx))
						}
						return err
					},
				}
			})
		}
	}
	return g
}

// work is what every working function calls: it checks order, lanes and pools.
func (w *world) work(x *worldTask, fails bool) error {
	w.mu.Lock()
	w.ran[x.name]++
	for _, need := range slices.Concat(x.uses, x.afters) {
		if !w.ended[w.tasks[need].name] {
			w.broken = append(w.broken, x.name+" ran before "+w.tasks[need].name+" had ended")
		}
	}
	if other := w.lanes[x.lane]; x.lane != "" && other != "" {
		w.broken = append(w.broken, x.name+" shares its lane with "+other)
	}
	w.lanes[x.lane] = x.name
	if w.taken += x.pool; x.pool > 0 && w.taken > worldPool && w.taken != x.pool {
		w.broken = append(w.broken, fmt.Sprintf("%s takes %d units, %d are taken", x.name, x.pool, w.taken))
	}
	w.mu.Unlock()
	w.mu.Lock()
	defer w.mu.Unlock()
	w.lanes[x.lane] = ""
	w.taken -= x.pool
	if fails {
		return errors.New("fails")
	}
	return nil
}

func (w *world) options(cache *Cache) Options {
	return Options{Cache: cache, Jobs: 4, Pools: map[string]int{"p": worldPool}, Watch: []func(Event){func(e Event) {
		if e.Kind == TaskFinished && e.Status.Good() {
			w.mu.Lock()
			w.ended[e.Task] = true
			w.mu.Unlock()
		}
	}}}
}

// TestEngineKeepsItsPromises runs random graphs on random worlds, edits them,
// and runs them again.
func TestEngineKeepsItsPromises(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := drawWorld(t)
		cache, remove := tempCache(t)
		defer remove()
		for range rapid.IntRange(1, 3).Draw(t, "runs") {
			w.once(t, cache)
			for _, x := range w.tasks {
				switch rapid.IntRange(0, 6).Draw(t, "edit") {
				case 0:
					x.source += "+"
				case 1:
					x.world = "drifted"
				case 2:
					x.fails = false
				case 3:
					x.away = false
				}
			}
		}
	})
}

func (w *world) once(t *rapid.T, cache *Cache) {
	before := make([]string, len(w.tasks))
	for i, x := range w.tasks {
		before[i] = x.world
	}
	plan, err := w.graph().Plan(context.Background(), w.options(cache))
	if plan == nil {
		t.Fatal(err)
	}
	for i, x := range w.tasks {
		if x.world != before[i] {
			t.Fatalf("a dry run changed the world of %s", x.name)
		}
	}
	result, err := w.graph().Run(context.Background(), w.options(cache))
	if result == nil {
		t.Fatal(err)
	}
	if len(w.broken) > 0 {
		t.Fatal(w.broken)
	}
	for _, p := range plan.Tasks {
		w.compare(t, p, result, plan.Count(DecideUnknown))
	}
	for id, x := range w.tasks {
		w.checkEnd(t, id, x, result)
	}
}

// compare holds the dry run against the run: what it listed is what ran.
// Only what the plan could not know may wake tasks that it did not need.
func (w *world) compare(t *rapid.T, p Planned, result *Result, unknowns int) {
	status, _ := result.Status(p.Task)
	ran := w.ran[p.Task]
	if ran > 1 {
		t.Fatalf("%s ran %d times", p.Task, ran)
	}
	ok := map[Decision][]Status{
		DecideRun:       {StatusRan, StatusFailed, StatusBlocked, StatusDeferred},
		DecideRead:      {StatusRead, StatusFailed, StatusBlocked, StatusDeferred},
		DecideCached:    {StatusCached},
		DecideSatisfied: {StatusSatisfied},
		DecideFailed:    {StatusFailed},
		DecideBlocked:   {StatusBlocked},
		DecideDeferred:  {StatusDeferred, StatusBlocked}, // blocked by what failed since
		DecideUnneeded:  {StatusUnneeded, StatusRan, StatusRead, StatusFailed, StatusCached, StatusSatisfied, StatusBlocked, StatusDeferred},
		DecideUnknown:   {StatusRan, StatusFailed, StatusCached, StatusSatisfied, StatusBlocked, StatusDeferred, StatusRead},
	}[p.Decision]
	if !slices.Contains(ok, status) {
		t.Fatalf("%s: the plan says %s (%s), the run %s", p.Task, p.Decision, p.Reason, status)
	}
	if p.Decision == DecideUnneeded && status != StatusUnneeded && unknowns == 0 {
		t.Fatalf("%s: unneeded in the plan without unknowns, the run %s", p.Task, status)
	}
}

// checkEnd holds a task's end against the reference: values by plain recursion.
func (w *world) checkEnd(t *rapid.T, id int, x *worldTask, result *Result) {
	status, _ := result.Status(x.name)
	if !status.Good() {
		return
	}
	want, ok := w.reference(id)
	if !ok {
		t.Fatalf("%s ended %s, but something it uses cannot have", x.name, status)
	}
	if got := valueOf(result, int32(id)); got != want {
		t.Fatalf("%s is %v, want %v", x.name, got, want)
	}
	if x.kind == KindEffect && x.world != want {
		t.Fatalf("the world of %s is %s, want %s", x.name, x.world, want)
	}
}

func (w *world) reference(id int) (string, bool) {
	x := w.tasks[id]
	var inputs []string
	for _, u := range x.uses {
		v, ok := w.reference(u)
		if !ok {
			return "", false
		}
		inputs = append(inputs, v)
	}
	return x.value(inputs), !(x.kind == KindObserve && (x.fails || x.away))
}

func tempCache(t *rapid.T) (*Cache, func()) {
	dir, err := os.MkdirTemp("", "roost-cache")
	if err != nil {
		t.Fatal(err)
	}
	cache, err := OpenCache(dir)
	if err != nil {
		t.Fatal(err)
	}
	return cache, func() { os.RemoveAll(dir) }
}
