package graph

import (
	"context"
	"fmt"
	"math"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sourcegraph/conc/pool"
)

// phase is where a task stands in a run.
type phase uint8

const (
	idle     phase = iota // nobody has asked for it
	asking                // it asks for what it needs
	waiting               // asked for; waits for the values it uses
	deciding              // its key or its check is being worked out
	decided               // it must work; waits for what it comes After
	queued                // waits for the plan, its lanes and pools
	atWork
	ended
)

// mark is how a task stands: what most of a run's looks at it ask for.
type mark struct {
	phase   phase
	flags   flags
	status  statusCode
	decided decisionCode
}

type flags uint8

const (
	same     flags = 1 << iota // it and all it uses are as they were: its result is known
	stalled                    // it cannot end before the plan is whole
	told                       // its decision was sent by who works on it
	byUses                     // it ended because of one of the values it uses
	byAfters                   // it ended because of one of those it comes after
	reserved                   // it holds its lanes and pools already
)

// node is what else a run knows of a task. Only tasks that are not the same as
// last time have much to say.
type node struct {
	reason           string
	cause            int32 // the task to blame + 1; 0 = none
	needs, rest      int32 // how many it uses, or comes after, have not ended
	attempt          int32 // how often it has worked
	priority, expect float32
	value            any
}

// run is one run of a graph. All its methods belong to the scheduler's
// goroutine, unless they say otherwise. What it writes of a task (digest, value)
// is read by workers only for tasks that use it, after it has ended.
type run struct {
	*compiled
	o        Options
	events   *events
	contents *contents
	marks    []mark
	nodes    []node   // nil if all tasks are the same, and nobody asks why
	keys     []digest // of pure tasks that were decided one by one, and of effects
	digests  []digest // of results: of this run, or before it is decided of the last
	cached   []int32  // their rows in the cache, noRow if it has none
	index    *index   // the cache's, as it was then
	journal  *journal
	recent   []taskRow // rows that the index lacks

	// What few tasks have at a time.
	texts   map[int32][]byte // records of tasks that must work, or that the plan shows
	states  map[int32]sum
	errs    map[int32]error
	learned map[int32]map[string]int // what a task used of measured pools when it last ran
	alone   map[int32]string         // the pool it ran out of, and now has to itself
	stops   map[int32]context.CancelFunc

	open     int // demanded tasks that the plan waits for: neither ended nor stalled
	running  int
	failures int
	retried  int
	planned  bool
	stopping bool        // by the context or Abort
	halt     atomic.Bool // closing, for workers
	stale    error       // the plan differs from the one to follow
	gaveUp   string      // why nothing new may begin, though nobody stopped the run
	plan     *Plan

	toDecide heap // ready to decide
	toWork   heap // ready to work
	parked   map[string]*heap
	lanes    map[string]bool
	pools    map[string]int // units taken
	results  chan outcome
	workers  *pool.Pool
	sleeping map[int32]*time.Timer // tasks that wait for their next attempt
	awake    chan int32
	over     chan struct{} // closed when the loop has ended
	loaded   sync.Map      // values of tasks that are the same, as far as somebody read them
}

// Plan decides every task and changes nothing: Run with Options.Dry.
func (g *Graph) Plan(ctx context.Context, o Options) (*Plan, error) {
	o.Dry = true
	result, err := g.Run(ctx, o)
	if result == nil {
		return nil, err
	}
	return result.Plan, err
}

// Run plans the graph and, unless Options.Dry is set, carries the plan out. The
// error is nil, a *RunError, ErrStopped (joined with a *RunError if something
// failed as well), or says that the graph is not valid; then the Result is nil
// and nothing was run. Deferred tasks are no error.
func (g *Graph) Run(ctx context.Context, o Options) (*Result, error) {
	o.fill()
	c, err := g.compile()
	if err != nil {
		return nil, err
	}
	if g.once != "" && o.Intents == nil {
		return nil, fmt.Errorf("%s is once-only, and Options.Intents is not set: nothing would remember that it was done", g.once)
	}
	if err := o.Cache.refresh(); err != nil {
		return nil, fmt.Errorf("read the cache: %w", err)
	}
	n := len(c.rows)
	r := &run{
		compiled: c, o: o, events: newEvents(o), contents: openContents(&g.files, o.Verify),
		marks: make([]mark, n),
		texts: map[int32][]byte{}, states: map[int32]sum{}, errs: map[int32]error{}, learned: map[int32]map[string]int{},
		alone: map[int32]string{}, stops: map[int32]context.CancelFunc{}, parked: map[string]*heap{},
		lanes: map[string]bool{}, pools: map[string]int{},
		results: make(chan outcome, o.Jobs), workers: pool.New().WithMaxGoroutines(o.Jobs),
		sleeping: map[int32]*time.Timer{}, awake: make(chan int32), over: make(chan struct{}),
	}
	defer r.contents.close()
	r.toDecide.run, r.toWork.run = r, r
	goals, err := r.goals()
	if err != nil {
		return nil, err
	}
	info := o.Info
	info.Tasks, info.Dry = n, o.Dry
	began := o.Now()
	r.events.send(Event{Kind: RunStarted, Run: &info})
	if r.lookAtAll(ctx) == n && r.nobodyAsks() {
		for id := range r.marks {
			r.marks[id] = mark{phase: ended, flags: same, status: codeCached, decided: decideCached}
		}
	} else {
		r.nodes, r.keys, r.digests = make([]node, n), make([]digest, n), make([]digest, n)
		r.setPriorities()
		for _, id := range goals {
			r.demand(id)
		}
	}
	r.loop(ctx)
	return r.finish(o.Now().Sub(began))
}

// nobodyAsks says whether it is all one in which order tasks end, and why, and
// that all are asked for.
func (r *run) nobodyAsks() bool {
	return r.o.NoPlan && len(r.o.Watch) == 0 && len(r.o.Goals) == 0 &&
		!slices.ContainsFunc(r.edges, func(e edge) bool { return e.kind() != uses })
}

func (r *run) goals() ([]int32, error) {
	if len(r.o.Goals) == 0 {
		return r.sinks, nil
	}
	var goals []int32
	for _, name := range r.o.Goals {
		id := r.names.find([]byte(name))
		if id < 0 {
			return nil, fmt.Errorf("no task is called %q", name)
		}
		goals = append(goals, id)
	}
	return goals, nil
}

// setPriorities computes the longest way from each task to the end, by what
// the tasks took when they last ran.
func (r *run) setPriorities() {
	for id := range r.nodes {
		row, ok := r.lastOf(int32(id))
		if !ok {
			continue
		}
		if row.seconds >= 0 && row.seconds < math.MaxInt32 { // else the index is damaged
			r.nodes[id].expect = row.seconds
		}
		for _, p := range r.rareOf(int32(id)).pools {
			if p.measured {
				r.learned[int32(id)] = r.lastEntry(int32(id)).used
			}
		}
	}
	for id := range r.backwards() {
		n := &r.nodes[id]
		for _, user := range r.users(id) {
			n.priority = max(n.priority, r.nodes[user.task()].priority)
		}
		n.priority += n.expect
	}
}

// loop runs until nothing is left to do.
func (r *run) loop(ctx context.Context) {
	working, stopEffects := context.WithCancel(context.WithoutCancel(ctx))
	defer stopEffects()
	stop := ctx.Done()
	abort := r.o.Abort
	var grace <-chan time.Time
	for {
		if !r.closing() {
			r.start(ctx, working)
		}
		if r.running == 0 && (r.closing() || r.idle()) {
			break
		}
		select {
		case out := <-r.results:
			r.stopping = r.stopping || ctx.Err() != nil // it may be the first to tell
			r.took(out)
		case id := <-r.awake:
			delete(r.sleeping, id)
			r.enqueue(id)
		case <-stop:
			stop = nil
			r.stopping = true
			timer := time.NewTimer(r.o.Grace)
			defer timer.Stop()
			grace = timer.C
		case <-grace:
			stopEffects()
		case <-abort:
			abort = nil
			r.stopping = true
			stopEffects()
			for _, stop := range r.stops {
				stop()
			}
		}
		if r.closing() {
			r.halt.Store(true)
		}
	}
	r.workers.Wait()
	close(r.over)
	for _, timer := range r.sleeping {
		timer.Stop()
	}
}

// closing says that nothing new may begin.
func (r *run) closing() bool { return r.stopping || r.gaveUp != "" }

// idle says that nothing is left that could start: what is parked then waits
// for what will not come, as an effect does in a dry run.
func (r *run) idle() bool {
	return len(r.toDecide.ids) == 0 && len(r.sleeping) == 0 && len(r.toWork.ids) == 0 && (r.planned || r.open > 0)
}

// start submits what may start now, and notices that the plan is whole.
func (r *run) start(ctx, working context.Context) {
	for len(r.toDecide.ids) > 0 && r.running < r.o.Jobs {
		id := r.toDecide.pop()
		r.marks[id].phase = deciding
		if r.mayGoOn(id) && r.obstacle(id) == "" {
			r.take(id, +1)
			r.marks[id].flags |= reserved
		}
		r.submit(ctx, id, r.decide)
	}
	if r.open == 0 && !r.planned {
		r.whole()
		if r.gaveUp != "" {
			return
		}
	}
	for len(r.toWork.ids) > 0 && r.running < r.o.Jobs {
		id := r.toWork.pop()
		if why := r.obstacle(id); why != "" {
			r.park(id, why)
			continue
		}
		r.take(id, +1)
		r.marks[id].phase = atWork
		r.nodes[id].attempt++
		r.events.send(Event{Kind: TaskStarted, Task: r.name(id), TaskKind: r.kind(id), Attempt: int(r.nodes[id].attempt)})
		decided := outcome{id: id, key: r.keys[id], text: r.texts[id], state: r.states[id]}
		under := ctx
		if r.kind(id) == KindEffect && !r.row(id).interruptible {
			under = working
		}
		r.submit(under, id, func(ctx context.Context, _ int32) outcome { return r.work(ctx, decided) })
	}
}

// whole notes that every demanded task has a decision.
func (r *run) whole() {
	r.settleBlame()
	r.planned = true
	if !r.o.NoPlan {
		r.plan = r.makePlan()
		r.events.send(Event{Kind: PlanReady, Plan: r.plan})
	}
	if r.o.Expect != nil {
		if r.stale = r.plan.moved(r.o.Expect); r.stale != nil {
			r.gaveUp = "the plan it was to follow is stale"
			return
		}
	}
	r.unpark(forPlan)
}

// submit hands a task to the pool. There is always room: running < Jobs.
func (r *run) submit(ctx context.Context, id int32, do func(context.Context, int32) outcome) {
	ctx, cancel := context.WithCancel(ctx)
	r.stops[id] = cancel
	r.running++
	r.workers.Go(func() { r.results <- do(ctx, id) })
}
