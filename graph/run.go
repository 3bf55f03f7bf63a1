package graph

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/hashicorp/go-multierror"
	"github.com/sourcegraph/conc/pool"
)

// phase is where a task stands in a run.
type phase int

const (
	idle     phase = iota // nobody has asked for it
	waiting               // asked for; waits for the values it uses
	deciding              // its key or its check is being worked out
	decided               // it must work; waits for what it comes After
	queued                // waits for the plan, its lanes and pools
	atWork
	ended
)

// node is the state of one task in one run. The scheduler's goroutine owns it,
// but for value, which its users read after it has ended.
type node struct {
	phase    phase
	stalled  bool // it cannot end before the plan is whole
	decision Decision
	reason   string
	cause    string
	key      string
	record   record
	priority float64 // seconds of the longest way from here to the end
	expect   float64

	status  Status
	value   any
	raw     json.RawMessage
	digest  string
	err     error
	blames  []int              // it ended because of one of these needs
	learned map[string]int     // what it used of measured pools when it last ran
	alone   string             // the pool it ran out of, and now has to itself
	attempt int                // how often it has worked
	stopped context.CancelFunc // while at work
}

// run is one run of a graph. All its methods belong to the scheduler's goroutine.
type run struct {
	*compiled
	o      Options
	events *events
	nodes  []node

	open     int // demanded tasks that the plan waits for: neither ended nor stalled
	running  int
	failures int
	retried  int
	planned  bool
	stopping bool   // by the context or Abort
	stale    error  // the plan differs from the one to follow
	gaveUp   string // why nothing new may begin, though nobody stopped the run
	plan     *Plan

	toDecide []int // ready to decide
	toWork   []int // ready to work, longest way first
	lanes    map[string]bool
	pools    map[string]int // units taken
	results  chan outcome
	workers  *pool.Pool
	sleeping map[int]*time.Timer // tasks that wait for their next attempt
	awake    chan int
	over     chan struct{} // closed when the loop has ended
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
	r := &run{
		compiled: c, o: o, nodes: make([]node, len(c.tasks)),
		events: newEvents(o), lanes: map[string]bool{}, pools: map[string]int{},
		results: make(chan outcome, o.Jobs), workers: pool.New().WithMaxGoroutines(o.Jobs),
		sleeping: map[int]*time.Timer{}, awake: make(chan int), over: make(chan struct{}),
	}
	goals, err := r.goals()
	if err != nil {
		return nil, err
	}
	info := o.Info
	info.Tasks, info.Dry = len(c.tasks), o.Dry
	began := o.Now()
	r.events.send(Event{Kind: RunStarted, Run: &info})
	r.setPriorities()
	for _, id := range goals {
		r.demand(id)
	}
	r.loop(ctx)
	return r.finish(o.Now().Sub(began))
}

func (r *run) goals() ([]int, error) {
	if len(r.o.Goals) == 0 {
		return r.sinks, nil
	}
	var goals []int
	for _, name := range r.o.Goals {
		id := slices.IndexFunc(r.tasks, func(t *Task) bool { return t.name == name })
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
	for id, t := range r.tasks {
		if last, ok := r.o.Cache.lastOf(t.name); ok {
			r.nodes[id].expect, r.nodes[id].learned = last.Seconds, last.Used
		}
	}
	for _, id := range slices.Backward(r.topological()) {
		n := &r.nodes[id]
		for _, user := range r.users[id] {
			n.priority = max(n.priority, r.nodes[user].priority)
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
			for id := range r.nodes {
				if r.nodes[id].stopped != nil {
					r.nodes[id].stopped()
				}
			}
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

// idle says that nothing is left that could start: in a dry run, once the plan
// is whole, what waits to work stays planned.
func (r *run) idle() bool {
	return len(r.toDecide) == 0 && len(r.sleeping) == 0 && (len(r.toWork) == 0 || r.o.Dry && r.planned)
}

// start submits what may start now, and notices that the plan is whole.
func (r *run) start(ctx, working context.Context) {
	for len(r.toDecide) > 0 && r.running < r.o.Jobs {
		id := r.toDecide[0]
		r.toDecide = r.toDecide[1:]
		r.nodes[id].phase = deciding
		r.submit(ctx, id, r.decide)
	}
	if r.open == 0 && !r.planned {
		r.settleBlame()
		r.planned = true
		r.plan = r.makePlan()
		r.events.send(Event{Kind: PlanReady, Plan: r.plan})
		if r.o.Expect != nil {
			if r.stale = r.plan.moved(r.o.Expect); r.stale != nil {
				r.gaveUp = "the plan it was to follow is stale"
				return
			}
		}
	}
	for i := 0; i < len(r.toWork) && r.running < r.o.Jobs; {
		id := r.toWork[i]
		if !r.mayWork(id) {
			i++
			continue
		}
		r.toWork = slices.Delete(r.toWork, i, i+1)
		r.take(id, +1)
		t := r.tasks[id]
		r.nodes[id].phase = atWork
		r.nodes[id].attempt++
		r.events.send(Event{Kind: TaskStarted, Task: t.name, TaskKind: t.kind, Attempt: r.nodes[id].attempt})
		if t.kind == KindEffect && !t.interruptible {
			r.submit(working, id, r.work)
		} else {
			r.submit(ctx, id, r.work)
		}
	}
}

// submit hands a task to the pool. There is always room: running < Jobs.
func (r *run) submit(ctx context.Context, id int, do func(context.Context, int) outcome) {
	ctx, cancel := context.WithCancel(ctx)
	r.nodes[id].stopped = cancel
	r.running++
	r.workers.Go(func() { r.results <- do(ctx, id) })
}

// mayWork says whether a queued task may start: an effect only when the plan is
// whole, in a dry run only what planning needs, and only if lanes and pools are free.
func (r *run) mayWork(id int) bool {
	t := r.tasks[id]
	if t.kind == KindEffect && (!r.planned || r.o.Dry) || t.heavy && (r.o.Dry || r.o.Expect != nil && !r.planned) {
		return false
	}
	for _, first := range t.behind {
		if n := &r.nodes[first]; n.phase != idle && n.phase != ended {
			return false
		}
	}
	for _, lane := range t.lanes {
		if r.lanes[lane] {
			return false
		}
	}
	for _, p := range t.pools {
		if size, bounded := r.o.Pools[p.pool]; bounded && r.pools[p.pool] > 0 && r.pools[p.pool]+r.units(id, p) > size {
			return false
		}
	}
	return true
}

// take takes (+1) or gives back (-1) the lanes and pools of a task.
func (r *run) take(id, sign int) {
	for _, lane := range r.tasks[id].lanes {
		r.lanes[lane] = sign > 0
	}
	for _, p := range r.tasks[id].pools {
		r.pools[p.pool] += sign * r.units(id, p)
	}
}

// units is what a task takes of a pool.
func (r *run) units(id int, p weight) int {
	n := &r.nodes[id]
	if n.alone == p.pool {
		return r.o.Pools[p.pool]
	}
	if used := n.learned[p.pool]; p.measured && used > 0 {
		return used
	}
	return p.n
}

// finish ends what never ran, and sums up.
func (r *run) finish(took time.Duration) (*Result, error) {
	for _, id := range r.order {
		n := &r.nodes[id]
		switch {
		case n.phase == ended:
		case n.phase == idle:
			n.status = StatusUnneeded
		case r.stopping:
			r.settle(id, StatusCancelled, "the run was stopped first", "")
		case r.gaveUp != "":
			r.settle(id, StatusCancelled, r.gaveUp, "")
		case r.o.Dry:
			r.settle(id, StatusPlanned, n.reason, n.cause)
		default:
			return nil, fmt.Errorf("a bug in roost: %s can neither run nor end", r.tasks[id].name)
		}
	}
	r.settleBlame()
	if r.plan == nil {
		r.plan = r.makePlan()
	}
	result := &Result{Plan: r.plan, Counts: map[Status]int{}, tasks: map[string]int{}, states: r.nodes}
	for id, t := range r.tasks {
		result.tasks[t.name] = id
		result.Counts[r.nodes[id].status]++
	}
	err := errors.Join(r.stale, r.error())
	if !r.o.Dry {
		err = errors.Join(err, r.o.Cache.Save(), r.o.Files.Save())
	}
	if r.stopping {
		err = errors.Join(ErrStopped, err)
	}
	r.events.send(Event{Kind: RunFinished, Seconds: took.Seconds(), Counts: result.Counts})
	return result, errors.Join(err, r.events.close())
}

func (r *run) error() error {
	blocked := map[string][]string{}
	for _, id := range r.order {
		if n := &r.nodes[id]; n.status == StatusBlocked {
			blocked[n.cause] = append(blocked[n.cause], r.tasks[id].name)
		}
	}
	var causes *multierror.Error
	for _, id := range r.order {
		n := &r.nodes[id]
		if n.status != StatusFailed && n.status != StatusRefused {
			continue
		}
		name := r.tasks[id].name
		slices.Sort(blocked[name])
		causes = multierror.Append(causes, &TaskError{Task: name, Status: n.status, Blocked: blocked[name], Err: n.err})
	}
	if causes == nil {
		return nil
	}
	return &RunError{causes}
}

func (r *run) makePlan() *Plan {
	p := &Plan{Version: PlanVersion, Tasks: make([]Planned, 0, len(r.tasks))}
	for _, id := range r.order {
		t, n := r.tasks[id], &r.nodes[id]
		decision := n.decision
		if n.phase == idle {
			decision = DecideUnneeded
		}
		needs := make([]string, 0, len(r.needs[id]))
		for _, need := range r.needs[id] {
			needs = append(needs, r.tasks[need].name)
		}
		slices.Sort(needs)
		planned := Planned{
			Task: t.name, Kind: t.kind, Decision: decision, Reason: n.reason, Cause: n.cause,
			Key: n.key, Needs: needs, Expect: n.expect,
		}
		if r.o.Records {
			planned.Record = n.record
		}
		p.Tasks = append(p.Tasks, planned)
	}
	return p
}
