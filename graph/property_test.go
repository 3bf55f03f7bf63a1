package graph

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
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
	once         bool // an effect that must not be repeated
	uses, afters []int
	lasts        []int // they must have ended, well or not
	behinds      []int // effects: if they work, then before it
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
	ended  map[string]bool // well
	over   map[string]bool // well or not
	atWork map[string]bool
	broken []string
	late   []string // worked after one that is to be behind them
	lanes  map[string]string
	taken  int
	deeds  map[string]int // how often each once-only deed was done, ever
}

const worldPool = 3

func drawWorld(t *rapid.T) *world {
	w := &world{deeds: map[string]int{}}
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
		x.once = x.kind == KindEffect && rapid.IntRange(0, 2).Draw(t, "once") == 0
		for need := range i {
			switch rapid.IntRange(0, 7).Draw(t, "edge") {
			case 0:
				x.uses = append(x.uses, need)
			case 1:
				x.afters = append(x.afters, need)
			case 2:
				x.lasts = append(x.lasts, need)
			case 3:
				if x.kind == KindEffect && w.tasks[need].kind == KindEffect {
					x.behinds = append(x.behinds, need)
				}
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
	w.over, w.atWork, w.late = map[string]bool{}, map[string]bool{}, nil
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
			for _, l := range x.lasts {
				t.Finally(refs[l])
			}
			for _, b := range x.behinds {
				t.Behind(refs[b])
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
			if x.once {
				refs[i] = Once(g, x.name, func(t *Task) OnceOnly[string] { return OnceOnly[string]{Run: w.deed(x, declare(t))} })
				break
			}
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

// deed is the code of a once-only task.
func (w *world) deed(x *worldTask, inputs func(context.Context) []string) func(context.Context) (string, error) {
	return func(ctx context.Context) (string, error) {
		if err := w.work(x, x.fails); err != nil {
			return "", NotDone(err)
		}
		w.mu.Lock()
		defer w.mu.Unlock()
		value := x.value(inputs(ctx))
		if w.deeds[x.name+value]++; w.deeds[x.name+value] > 1 {
			w.broken = append(w.broken, x.name+" did again what is done once")
		}
		return value, nil
	}
}

// checkOrder is called when a task begins to work.
func (w *world) checkOrder(x *worldTask) {
	for _, need := range x.lasts {
		if !w.over[w.tasks[need].name] {
			w.broken = append(w.broken, x.name+" ran before "+w.tasks[need].name+" was over")
		}
	}
	for _, need := range x.behinds {
		if w.atWork[w.tasks[need].name] {
			w.broken = append(w.broken, x.name+" is to work behind "+w.tasks[need].name+", which is still at work")
		}
	}
	for _, y := range w.tasks {
		for _, need := range y.behinds {
			if w.tasks[need] == x && w.ran[y.name] > 0 {
				w.late = append(w.late, x.name)
			}
		}
	}
}

// work is what every working function calls: it checks order, lanes and pools.
func (w *world) work(x *worldTask, fails bool) error {
	w.mu.Lock()
	w.ran[x.name]++
	w.checkOrder(x)
	w.atWork[x.name] = true
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
	runtime.Gosched() // so that others may come between
	w.mu.Lock()
	defer w.mu.Unlock()
	w.atWork[x.name] = false
	w.lanes[x.lane] = ""
	w.taken -= x.pool
	if fails {
		return errors.New("fails")
	}
	return nil
}

func (w *world) options(t *rapid.T, cache *Cache) Options {
	intents, err := OpenIntents(filepath.Join(cache.dir, "intents", fmt.Sprintf("%p", w)))
	if err != nil {
		t.Fatal(err)
	}
	return Options{Cache: cache, Intents: intents, Jobs: 4, Pools: map[string]int{"p": worldPool}, Watch: []func(Event){func(e Event) {
		if e.Kind == TaskFinished {
			w.mu.Lock()
			w.over[e.Task] = true
			w.ended[e.Task] = e.Status.Good()
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
			w.edit(t)
		}
	})
}

func (w *world) edit(t *rapid.T) {
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

// TestConcurrentRunsKeepTheirPromises runs two random graphs on one cache at a
// time, many of whose tasks have the same names.
func TestConcurrentRunsKeepTheirPromises(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		worlds := []*world{drawWorld(t), drawWorld(t)}
		cache, remove := tempCache(t)
		defer remove()
		for range rapid.IntRange(1, 3).Draw(t, "runs") {
			results := make([]*Result, len(worlds))
			var all sync.WaitGroup
			for i, w := range worlds {
				o := w.options(t, cache)
				all.Go(func() { results[i], _ = w.graph().Run(context.Background(), o) })
			}
			all.Wait()
			for i, w := range worlds {
				w.checkRun(t, results[i])
				w.edit(t)
			}
		}
	})
}

// checkRun holds a run against the reference.
func (w *world) checkRun(t *rapid.T, result *Result) {
	if result == nil || len(w.broken) > 0 {
		t.Fatal(result, w.broken)
	}
	for _, p := range result.Plan.Tasks {
		if slices.Contains(w.late, p.Task) && p.Decision != DecideUnneeded {
			t.Fatalf("%s worked after one that is to be behind it, and the plan had it as %s", p.Task, p.Decision)
		}
	}
	for id, x := range w.tasks {
		w.checkEnd(t, id, x, result)
		w.checkWentOn(t, x, result)
	}
}

// checkWentOn wants a task to end well unless it fails, or needs one that ended
// badly: no other failure stops it.
func (w *world) checkWentOn(t *rapid.T, x *worldTask, result *Result) {
	status, reason := result.Status(x.name)
	if status.Good() || status == StatusUnneeded || x.fails || x.away && x.kind == KindObserve {
		return
	}
	for _, need := range slices.Concat(x.uses, x.afters) {
		if end, _ := result.Status(w.tasks[need].name); !end.Good() && end != StatusUnneeded {
			return
		}
	}
	t.Fatalf("%s ended %s (%s), but all that it needs ended well", x.name, status, reason)
}

func (w *world) once(t *rapid.T, cache *Cache) {
	before := make([]string, len(w.tasks))
	for i, x := range w.tasks {
		before[i] = x.world
	}
	plan, err := w.graph().Plan(context.Background(), w.options(t, cache))
	if plan == nil {
		t.Fatal(err)
	}
	for i, x := range w.tasks {
		if x.world != before[i] {
			t.Fatalf("a dry run changed the world of %s", x.name)
		}
	}
	result, err := w.graph().Run(context.Background(), w.options(t, cache))
	if result == nil {
		t.Fatal(err)
	}
	for _, p := range plan.Tasks {
		w.compare(t, p, result, plan.Count(DecideUnknown))
	}
	w.checkRun(t, result)
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
	if x.kind == KindEffect && !x.once && x.world != want {
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
