package graph

import (
	"cmp"
	"context"
	"fmt"
	"slices"
)

// demand asks for a task, and for what it needs to be decided.
func (r *run) demand(id int) {
	n := &r.nodes[id]
	if n.phase != idle {
		return
	}
	n.phase = waiting
	r.open++
	for _, need := range r.tasks[id].uses {
		r.demand(need)
	}
	r.advance(id)
}

// advance moves a task on after something it needs has changed.
func (r *run) advance(id int) {
	t, n := r.tasks[id], &r.nodes[id]
	switch n.phase {
	case waiting:
		if r.settleByNeeds(id, t.uses) {
			return
		}
		stalled, all := r.pending(t.uses)
		switch {
		case all && t.kind == KindObserve:
			r.mustWork(id, DecideRead, "")
		case all:
			n.phase = queued
			r.toDecide = append(r.toDecide, id)
		case stalled >= 0 && !n.stalled:
			r.stall(id)
			r.choose(id, DecideUnknown, "unknown until "+r.tasks[stalled].name+" ran", r.tasks[stalled].name)
		}
	case decided:
		if r.settleByNeeds(id, t.afters) {
			return
		}
		stalled, all := r.pending(append(slices.Clone(t.afters), t.lasts...))
		switch {
		case all:
			if n.decision == "" {
				r.choose(id, DecideRead, "", "")
			}
			r.enqueue(id)
		case stalled >= 0 && !n.stalled:
			r.stall(id)
			if t.kind == KindObserve {
				r.choose(id, DecideRead, "after "+r.tasks[stalled].name, "")
			} else {
				r.advanceUsers(id)
			}
		}
	}
}

func (r *run) advanceUsers(id int) {
	for _, user := range r.users[id] {
		r.advance(user)
	}
}

// pending reports whether all these tasks have ended. If one of them cannot end
// before the plan is whole, the first such by name is returned, else -1.
func (r *run) pending(ids []int) (stalled int, all bool) {
	stalled, all = -1, true
	for _, id := range ids {
		if r.nodes[id].phase == ended {
			continue
		}
		all = false
		if r.nodes[id].stalled && (stalled < 0 || r.tasks[id].name < r.tasks[stalled].name) {
			stalled = id
		}
	}
	return stalled, all
}

// settleByNeeds ends a task one of whose needs ended badly.
func (r *run) settleByNeeds(id int, needs []int) bool {
	b, bad := r.blame(needs)
	if !bad {
		return false
	}
	r.nodes[id].blames = needs
	r.settle(id, b.status, b.reason, b.cause)
	return true
}

// blamed is how a task ends because of its needs.
type blamed struct {
	status        Status
	reason, cause string
}

// blame finds the need that is to blame, if any ended badly: a failure before a
// host that is away, then by name, so that the same one is named each time.
func (r *run) blame(needs []int) (b blamed, bad bool) {
	worst := -1
	away := func(id int) bool { return r.nodes[id].status == StatusDeferred }
	for _, need := range needs {
		n := &r.nodes[need]
		if n.phase != ended || n.status.Good() {
			continue
		}
		if worst < 0 || away(worst) && !away(need) ||
			away(worst) == away(need) && r.tasks[need].name < r.tasks[worst].name {
			worst = need
		}
	}
	if worst < 0 {
		return blamed{}, false
	}
	n := &r.nodes[worst]
	cause := cmp.Or(n.cause, r.tasks[worst].name)
	if away(worst) {
		return blamed{StatusDeferred, n.reason, cause}, true
	}
	return blamed{StatusBlocked, "blocked by " + cause, cause}, true
}

// settleBlame looks again at every task that ended because of its needs. It
// ended at the first bad one, so that a reader hears of it at once; by now a
// worse one may have come, and what is kept must not hang on which came first.
func (r *run) settleBlame() {
	for _, id := range r.topological() {
		n := &r.nodes[id]
		b, bad := r.blame(n.blames)
		if !bad || b == (blamed{n.status, n.reason, n.cause}) {
			continue
		}
		n.status = b.status
		r.end(id, b.reason, b.cause, Event{})
	}
}

// mustWork notes that a task has to work, and asks for what it comes after.
func (r *run) mustWork(id int, d Decision, reason string) {
	t, n := r.tasks[id], &r.nodes[id]
	n.phase = decided
	if d == DecideRun { // an observation's reason hangs on what comes before it
		if t.heavy || t.kind == KindEffect {
			r.stall(id)
		}
		r.choose(id, d, reason, "")
	}
	for _, need := range slices.Concat(t.afters, t.lasts) {
		r.demand(need)
	}
	r.advance(id)
}

// choose gives a task its decision, and says so. Once the plan is whole, only
// what was unknown is decided anew.
func (r *run) choose(id int, d Decision, reason, cause string) {
	n := &r.nodes[id]
	if n.decision != "" && n.decision != DecideUnknown && r.planned {
		return
	}
	n.decision, n.reason, n.cause = d, reason, cause
	t := r.tasks[id]
	r.events.send(Event{Kind: TaskDecided, Task: t.name, TaskKind: t.kind, Decision: d, Reason: reason, Cause: cause})
	r.advanceUsers(id)
}

// stall notes that a task cannot end before the plan is whole.
func (r *run) stall(id int) {
	if n := &r.nodes[id]; !n.stalled {
		n.stalled = true
		r.open--
	}
}

// decisionOf is what a plan says of a task that ends so without working.
var decisionOf = map[Status]Decision{
	StatusCached: DecideCached, StatusSatisfied: DecideSatisfied, StatusFailed: DecideFailed,
	StatusBlocked: DecideBlocked, StatusDeferred: DecideDeferred, StatusRefused: DecideRefused,
}

// enqueue lets a task work as soon as it may, longest way first.
func (r *run) enqueue(id int) {
	r.nodes[id].phase = queued
	at, _ := slices.BinarySearchFunc(r.toWork, id, func(a, b int) int {
		return cmp.Or(cmp.Compare(r.nodes[b].priority, r.nodes[a].priority), cmp.Compare(r.tasks[a].name, r.tasks[b].name))
	})
	r.toWork = slices.Insert(r.toWork, at, id)
}

// settle ends a task that did not work.
func (r *run) settle(id int, s Status, reason, cause string) {
	r.nodes[id].status = s
	r.end(id, reason, cause, Event{})
}

// end tells that a task has ended, and moves on those who wait for it.
func (r *run) end(id int, reason, cause string, e Event) {
	n, t := &r.nodes[id], r.tasks[id]
	if n.phase != ended && !n.stalled {
		r.open--
	}
	n.phase = ended
	if d, ok := decisionOf[n.status]; ok {
		r.choose(id, d, reason, cause)
	}
	if n.status != StatusRan && n.status != StatusRead { // those keep why they had to run
		n.reason, n.cause = reason, cause
	}
	e.Kind, e.Task, e.TaskKind = TaskFinished, t.name, t.kind
	e.Status, e.Reason, e.Cause, e.Result = n.status, n.reason, n.cause, n.raw
	r.events.send(e)
	if n.status != StatusCancelled && n.status != StatusPlanned { // else nothing may start any more
		r.advanceUsers(id)
	}
}

// decide is the worker's part of a decision: the key of a pure task and a look
// into the cache, or the check of an effect.
func (r *run) decide(ctx context.Context, id int) (out outcome) {
	t := r.tasks[id]
	w := r.newWorking(id)
	out = outcome{id: id, deciding: true, began: r.o.Now()}
	defer func() { w.close(ctx, &out) }()
	if t.kind == KindEffect {
		var c checked
		out.err = w.guard(ctx, func(ctx context.Context) (err error) { c, err = t.work.check(ctx); return err })
		out.done, out.reason, out.record = c.done, c.reason, c.record
		out.key = r.found(t, c)
		if c.done && out.err == nil {
			out.setValue(c.value)
		}
		return out
	}
	out.err = w.guard(ctx, func(ctx context.Context) error { return r.lookUp(ctx, t, &out) })
	return out
}

// found stands for what an effect is to bring about, and what its check found.
// Observations are left out: they differ each time in ways that do not matter,
// and what matters is in the reason.
func (r *run) found(t *Task, c checked) string {
	if c.record != nil { // the same deed, however its state is worded
		return record{line("deed", fmt.Sprint(c.done), c.record.key())}.key()
	}
	rec := record{line("task", t.name, ""), line("found", fmt.Sprint(c.done), c.reason)}
	for _, id := range t.uses {
		if r.tasks[id].kind != KindObserve {
			rec = append(rec, line("input", r.tasks[id].name, r.nodes[id].digest))
		}
	}
	return rec.key()
}

func (r *run) recordOf(t *Task) (record, error) {
	return t.record(r.o.Files,
		func(id int) string { return r.nodes[id].digest },
		func(id int) string { return r.tasks[id].name })
}

// lookUp works out a pure task's key and whether its result is known.
func (r *run) lookUp(ctx context.Context, t *Task, out *outcome) error {
	rec, err := r.recordOf(t)
	if err != nil {
		return fmt.Errorf("work out the key: %w", err)
	}
	out.record, out.key = rec, rec.key()
	if r.o.Fresh {
		out.reason = "asked to run without the cache"
		return nil
	}
	raw, ok := r.o.Cache.get(t.name, out.key)
	if !ok {
		out.reason = r.missReason(t, rec)
		if r.fetched(ctx, t, out) {
			out.reason = "the remote cache has its result"
		}
		return nil
	}
	if why := r.remade(t, rec, out); why != "" {
		out.reason = why
		return nil
	}
	if err := out.accept(t, raw); err != nil {
		out.reason = fmt.Sprintf("the cached result cannot be used: %v", err)
		return nil
	}
	out.reason = "nothing it depends on has changed"
	if !r.o.Dry {
		r.o.Cache.used(out.key)
	}
	return nil
}

func (r *run) missReason(t *Task, rec record) string {
	last, ok := r.o.Cache.lastOf(t.name)
	if !ok || len(last.Record) == 0 {
		return "never ran"
	}
	return cmp.Or(rec.difference(last.Record), "its result is no longer in the cache")
}
