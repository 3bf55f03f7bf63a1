package graph

import (
	"cmp"
	"context"
	"fmt"
	"strings"
)

// demand asks for a task, and for what it needs to be decided.
func (r *run) demand(id int32) {
	m := &r.marks[id]
	if m.phase != idle {
		return
	}
	if m.flags&same != 0 {
		r.demandSame(id)
		return
	}
	m.phase = asking
	r.open++
	r.nodes[id].needs = r.demandNeeds(id, 1<<uses)
	m.phase = waiting
	if !r.settleByNeeds(id, byUses) {
		r.advance(id)
	}
}

// demandNeeds asks for what a task needs by edges of these kinds, and returns
// how many of them have not ended. Meanwhile nobody moves the task on.
func (r *run) demandNeeds(id int32, kinds int) (open int32) {
	for _, e := range r.needs(id) {
		if kinds>>e.kind()&1 != 0 {
			r.demand(e.task())
		}
	}
	for _, e := range r.needs(id) {
		if kinds>>e.kind()&1 != 0 && r.marks[e.task()].phase != ended {
			open++
		}
	}
	return open
}

// demandSame ends a task that is as it was when it last succeeded, and all that
// it uses, which then is as it was, too.
func (r *run) demandSame(id int32) {
	stack := []int32{id}
	for len(stack) > 0 {
		id := stack[len(stack)-1]
		m := &r.marks[id]
		first := len(stack)
		if m.phase == idle {
			m.phase = waiting
			for _, e := range r.needs(id) {
				if e.kind() == uses && r.marks[e.task()].phase == idle {
					stack = append(stack, e.task())
				}
			}
			if len(stack) > first {
				continue
			}
		}
		stack = stack[:len(stack)-1]
		if m.phase == ended {
			continue
		}
		m.phase, m.status, m.decided = ended, codeCached, decideCached
		if len(r.o.Watch) > 0 {
			r.tellSame(id)
		}
	}
}

// unchanged is why a task is not run that is as it was.
const unchanged = "nothing it depends on has changed"

func (r *run) tellSame(id int32) {
	name := r.name(id)
	r.events.send(Event{Kind: TaskDecided, Task: name, TaskKind: KindPure, Decision: DecideCached, Reason: unchanged})
	r.events.send(Event{Kind: TaskFinished, Task: name, TaskKind: KindPure, Status: StatusCached, Reason: unchanged, Result: r.raw(id)})
}

// advance moves a task on after something it needs has changed.
func (r *run) advance(id int32) {
	m, n := &r.marks[id], &r.nodes[id]
	switch m.phase {
	case waiting:
		switch {
		case n.needs == 0 && r.kind(id) == KindObserve:
			r.mustWork(id, decideRead, "")
		case n.needs == 0:
			m.phase = queued
			r.toDecide.push(id)
		case m.flags&stalled == 0:
			if first := r.stalledNeed(id, 1<<uses); first >= 0 {
				r.stall(id)
				r.choose(id, decideUnknown, "unknown until "+r.name(first)+" ran", first+1)
			}
		}
	case decided:
		switch {
		case n.rest == 0:
			if m.decided == undecided {
				r.choose(id, decideRead, "", 0)
			}
			r.enqueue(id)
		case m.flags&stalled == 0:
			if first := r.stalledNeed(id, 1<<afters|1<<lasts); first >= 0 {
				r.stall(id)
				if r.kind(id) == KindObserve {
					r.choose(id, decideRead, "after "+r.name(first), 0)
				} else {
					r.advanceUsers(id)
				}
			}
		}
	}
}

// stalledNeed is the first by name of the needs, by edges of these kinds, that
// cannot end before the plan is whole; -1 if there is none.
func (r *run) stalledNeed(id int32, kinds int) int32 {
	first := int32(-1)
	for _, e := range r.needs(id) {
		need := e.task()
		if kinds>>e.kind()&1 != 0 && r.marks[need].phase != ended && r.marks[need].flags&stalled != 0 &&
			(first < 0 || r.name(need) < r.name(first)) {
			first = need
		}
	}
	return first
}

// advanceUsers moves on those that wait for a task which has stalled.
func (r *run) advanceUsers(id int32) {
	for _, e := range r.users(id) {
		r.advance(e.task())
	}
}

// needEnded moves on those that wait for a task which has ended.
func (r *run) needEnded(id int32) {
	bad := !r.marks[id].status.good()
	for _, e := range r.users(id) {
		user := e.task()
		m, n := &r.marks[user], &r.nodes[user]
		switch {
		case m.phase == waiting && e.kind() == uses:
			n.needs--
			if bad && r.settleByNeeds(user, byUses) {
				continue
			}
		case m.phase == decided && (e.kind() == afters || e.kind() == lasts):
			n.rest--
			if bad && e.kind() == afters && r.settleByNeeds(user, byAfters) {
				continue
			}
		case e.kind() == behind:
			r.unpark(forTask + r.name(id))
			continue
		default:
			continue
		}
		r.advance(user)
	}
}

// settleByNeeds ends a task one of whose needs ended badly.
func (r *run) settleByNeeds(id int32, why flags) bool {
	b, bad := r.blame(id, why)
	if bad {
		r.marks[id].flags |= why
		r.settle(id, b.status, b.reason, b.cause)
	}
	return bad
}

// blamed is how a task ends because of its needs.
type blamed struct {
	status statusCode
	reason string
	cause  int32
}

// blame finds the need that is to blame, if any ended badly: a failure before a
// host that is away, then by name, so that the same one is named each time.
func (r *run) blame(id int32, why flags) (b blamed, bad bool) {
	kind := uses
	if why&byAfters != 0 {
		kind = afters
	}
	worst := int32(-1)
	away := func(id int32) bool { return r.marks[id].status == codeDeferred }
	for _, e := range r.needs(id) {
		need := e.task()
		if m := r.marks[need]; e.kind() != kind || m.phase != ended || m.status.good() {
			continue
		}
		if worst < 0 || away(worst) && !away(need) ||
			away(worst) == away(need) && r.name(need) < r.name(worst) {
			worst = need
		}
	}
	if worst < 0 {
		return blamed{}, false
	}
	n := &r.nodes[worst]
	cause := cmp.Or(n.cause, worst+1)
	if away(worst) {
		return blamed{codeDeferred, n.reason, cause}, true
	}
	return blamed{codeBlocked, "blocked by " + r.causeName(cause), cause}, true
}

// settleBlame looks again at every task that ended because of its needs, and at
// what is unknown. It was told at the first bad need, so that a reader hears of
// it at once; by now a worse one may have come, and what is kept must not hang
// on which came first.
func (r *run) settleBlame() {
	if r.nodes == nil {
		return // nothing but what is as it was
	}
	for id := range r.inOrder() {
		m, n := &r.marks[id], &r.nodes[id]
		switch {
		case m.phase == waiting && m.decided == decideUnknown:
			if first := r.stalledNeed(id, 1<<uses); first >= 0 && first+1 != n.cause {
				r.choose(id, decideUnknown, "unknown until "+r.name(first)+" ran", first+1)
			}
		case m.phase == ended && m.flags&(byUses|byAfters) != 0:
			b, bad := r.blame(id, m.flags)
			if bad && b != (blamed{m.status, n.reason, n.cause}) {
				m.status = b.status
				r.end(id, b.reason, b.cause, Event{})
			}
		}
	}
}

// mustWork notes that a task has to work, and asks for what it comes after.
func (r *run) mustWork(id int32, d decisionCode, reason string) {
	m := &r.marks[id]
	m.phase = asking
	if d == decideRun { // an observation's reason hangs on what comes before it
		if r.row(id).heavy || r.kind(id) == KindEffect {
			r.stall(id)
		}
		r.choose(id, d, reason, 0)
	}
	r.nodes[id].rest = r.demandNeeds(id, 1<<afters|1<<lasts)
	m.phase = decided
	if !r.settleByNeeds(id, byAfters) {
		r.advance(id)
	}
}

// choose gives a task its decision, and says so. Once the plan is whole, only
// what was unknown is decided anew.
func (r *run) choose(id int32, d decisionCode, reason string, cause int32) {
	m, n := &r.marks[id], &r.nodes[id]
	if m.decided != undecided && m.decided != decideUnknown && r.planned {
		return
	}
	m.decided, n.reason, n.cause = d, reason, cause
	if m.flags&told == 0 {
		r.tellDecision(id, d, reason, cause)
	}
	if m.flags&stalled != 0 {
		r.advanceUsers(id)
	}
}

func (r *run) tellDecision(id int32, d decisionCode, reason string, cause int32) {
	if len(r.o.Watch) == 0 {
		return
	}
	r.events.send(Event{
		Kind: TaskDecided, Task: r.name(id), TaskKind: r.kind(id),
		Decision: decisions[d], Reason: reason, Cause: r.causeName(cause),
	})
}

// stall notes that a task cannot end before the plan is whole.
func (r *run) stall(id int32) {
	if m := &r.marks[id]; m.flags&stalled == 0 {
		m.flags |= stalled
		r.open--
	}
}

// settle ends a task that did not work.
func (r *run) settle(id int32, s statusCode, reason string, cause int32) {
	r.marks[id].status = s
	r.end(id, reason, cause, Event{})
}

// end tells that a task has ended, and moves on those who wait for it.
func (r *run) end(id int32, reason string, cause int32, e Event) {
	m, n := &r.marks[id], &r.nodes[id]
	again := m.phase == ended
	if !again && m.flags&stalled == 0 {
		r.open--
	}
	m.phase = ended
	if int(m.status) < len(decisionOf) && decisionOf[m.status] != undecided {
		r.choose(id, decisionOf[m.status], reason, cause)
	}
	if m.status != codeRan && m.status != codeRead { // those keep why they had to run
		n.reason, n.cause = reason, cause
	}
	if len(r.o.Watch) > 0 {
		e.Kind, e.Task, e.TaskKind = TaskFinished, r.name(id), r.kind(id)
		e.Status, e.Reason, e.Cause = statuses[m.status], n.reason, r.causeName(n.cause)
		r.events.send(e)
	}
	if !again && m.status != codeCancelled && m.status != codePlanned { // else nothing may start any more
		r.needEnded(id)
	}
}

// mayGoOn says whether the worker that decides a task may do its work at once,
// if it must be done: nothing else has to be asked for or waited for.
func (r *run) mayGoOn(id int32) bool {
	if r.kind(id) != KindPure {
		return false
	}
	for _, e := range r.needs(id) {
		if e.kind() != uses {
			return false
		}
	}
	return true
}

// decide is the worker's part of a decision: the key of a pure task and a look
// into the cache, or the check of an effect.
func (r *run) decide(ctx context.Context, id int32) (out outcome) {
	w := r.newWorking(id)
	out = outcome{id: id, deciding: true, began: r.o.Now()}
	defer func() { w.close(ctx, &out) }()
	code := r.codeOf(id)
	if code.kind == KindEffect {
		var c checked
		out.err = w.guard(ctx, func(ctx context.Context) (err error) { c, err = code.check(ctx); return err })
		out.done, out.reason = c.done, c.reason
		out.text = []byte(strings.Join(c.record, "\n"))
		out.key = r.found(id, c)
		if c.done && out.err == nil {
			out.setValue(c.value)
		}
		return out
	}
	out.err = w.guard(ctx, func(ctx context.Context) error { return r.lookUp(ctx, id, &out) })
	if out.err == nil && !out.done && r.marks[id].flags&reserved != 0 && ctx.Err() == nil && !r.halt.Load() {
		out.deciding, out.wentOn = false, true
		r.tellDecision(id, decideRun, out.reason, 0)
		r.events.send(Event{Kind: TaskStarted, Task: r.name(id), TaskKind: KindPure, Attempt: 1})
		if r.row(id).heavy { // the plan does not wait for it
			r.results <- outcome{id: id, begun: true, reason: out.reason, key: out.key}
		}
		r.compute(ctx, w, &out)
	}
	return out
}

// found stands for what an effect is to bring about, and what its check found.
// Observations are left out: they differ each time in ways that do not matter,
// and what matters is in the reason.
func (r *run) found(id int32, c checked) digest {
	if c.record != nil { // the same deed, however its state is worded
		return record{line("deed", fmt.Sprint(c.done), c.record.key().String())}.key()
	}
	rec := record{line("task", r.name(id), ""), line("found", fmt.Sprint(c.done), c.reason)}
	for _, e := range r.needs(id) {
		if e.kind() == uses && r.kind(e.task()) != KindObserve {
			rec = append(rec, line("input", r.name(e.task()), r.digestOf(e.task()).String()))
		}
	}
	return rec.key()
}
