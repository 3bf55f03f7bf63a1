package graph

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/hashicorp/go-multierror"
)

// finish ends what never ran, and sums up.
func (r *run) finish(took time.Duration) (*Result, error) {
	for id := range r.marks {
		id := int32(id)
		m := &r.marks[id]
		if m.phase == ended {
			continue
		}
		n := &r.nodes[id]
		switch {
		case m.phase == idle:
			m.status = codeUnneeded
		case r.stopping:
			r.settle(id, codeCancelled, "the run was stopped first", 0)
		case r.gaveUp != "":
			r.settle(id, codeCancelled, r.gaveUp, 0)
		case r.o.Dry:
			r.settle(id, codePlanned, n.reason, n.cause)
		default:
			return nil, fmt.Errorf("a bug in roost: %s can neither run nor end", r.name(id))
		}
	}
	r.settleBlame()
	if r.plan == nil && !r.o.NoPlan {
		r.plan = r.makePlan()
	}
	result := &Result{Plan: r.plan, Counts: map[Status]int{}, run: r}
	var counts [len(statuses)]int
	for _, m := range r.marks {
		counts[m.status]++
	}
	for code, n := range counts {
		if n > 0 {
			result.Counts[statuses[code]] = n
		}
	}
	err := errors.Join(r.stale, r.error())
	if !r.o.Dry {
		err = errors.Join(err, r.saveCache())
	}
	if r.stopping {
		err = errors.Join(ErrStopped, err)
	}
	r.events.send(Event{Kind: RunFinished, Seconds: took.Seconds(), Counts: result.Counts})
	return result, errors.Join(err, r.events.close())
}

func (r *run) error() error {
	if len(r.errs) == 0 {
		return nil
	}
	blocked := map[int32][]string{}
	for id, m := range r.marks {
		if m.status == codeBlocked {
			cause := r.nodes[id].cause
			blocked[cause] = append(blocked[cause], r.name(int32(id)))
		}
	}
	var causes *multierror.Error
	for _, id := range r.order() {
		status := r.marks[id].status
		if status != codeFailed && status != codeRefused {
			continue
		}
		names := blocked[id+1]
		slices.Sort(names)
		causes = multierror.Append(causes, &TaskError{Task: r.name(id), Status: statuses[status], Blocked: names, Err: r.errs[id]})
	}
	if causes == nil {
		return nil
	}
	return &RunError{causes}
}

func (r *run) makePlan() *Plan {
	p := &Plan{Version: PlanVersion, Tasks: make([]Planned, 0, len(r.marks))}
	for _, id := range r.order() {
		m, n := r.marks[id], &r.nodes[id]
		decision := decisions[m.decided]
		if m.phase == idle {
			decision = DecideUnneeded
		}
		needs := make([]string, 0, len(r.needs(id)))
		for _, e := range r.needs(id) {
			needs = append(needs, r.name(e.task()))
		}
		slices.Sort(needs)
		planned := Planned{
			Task: r.name(id), Kind: r.kind(id), Decision: decision, Reason: n.reason, Cause: r.causeName(n.cause),
			Key: r.keyText(id), Needs: slices.Compact(needs), Expect: round(n.expect),
		}
		if m.flags&same != 0 && m.phase == ended {
			planned.Reason = unchanged
		}
		if r.o.Records {
			planned.Record = r.recordOf(id)
		}
		p.Tasks = append(p.Tasks, planned)
	}
	return p
}

// causeName names a task that is to blame; "" for none.
func (r *run) causeName(cause int32) string {
	if cause == 0 {
		return ""
	}
	return r.name(cause - 1)
}
