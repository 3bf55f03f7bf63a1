package graph

import (
	"cmp"
	"fmt"
	"strings"
)

// StaleError says that a plan can no longer be followed: what it was made from
// has changed since. Nothing was applied.
type StaleError struct{ Moved []Moved }

// Moved is a task that is not as it was planned.
type Moved struct{ Task, How string }

// mostMoved bounds how many are named.
const mostMoved = 20

func (e *StaleError) Error() string {
	var b strings.Builder
	b.WriteString("the plan is stale: what it was made from has changed since; nothing was applied")
	for i, m := range e.Moved {
		if i == mostMoved {
			fmt.Fprintf(&b, "\n  and %d more", len(e.Moved)-i)
			break
		}
		fmt.Fprintf(&b, "\n  %s: %s", m.Task, m.How)
	}
	return b.String()
}

// moved compares this plan with one made earlier. What follows from a change is
// not named beside it.
func (p *Plan) moved(was *Plan) error {
	before := make(map[string]Planned, len(was.Tasks))
	for _, t := range was.Tasks {
		before[t.Task] = t
	}
	e := &StaleError{}
	known := map[string]bool{} // named, or following from what is named
	now := map[string]bool{}
	for _, t := range p.Tasks { // each after what it needs, but for other groups
		now[t.Task] = true
		old, there := before[t.Task]
		how := ""
		if !there {
			how = "it was not in the plan"
		} else {
			how = t.differs(old)
		}
		if how == "" {
			continue
		}
		follows := false
		for _, need := range t.Needs {
			follows = follows || known[need]
		}
		known[t.Task] = true
		if !follows {
			e.Moved = append(e.Moved, Moved{t.Task, how})
		}
	}
	for _, t := range was.Tasks {
		if !now[t.Task] {
			e.Moved = append(e.Moved, Moved{t.Task, "it is gone"})
		}
	}
	if len(e.Moved) == 0 {
		return nil
	}
	return e
}

// settled are the decisions between which a pure task moves without harm: its
// result is the same, and only whether it is known already differs.
func settled(d Decision) bool { return d == DecideRun || d == DecideCached }

// differs says how a task is not as it was planned; empty if it is.
func (t Planned) differs(old Planned) string {
	if t.Kind != old.Kind {
		return fmt.Sprintf("it is %s now, and was %s", t.Kind, old.Kind)
	}
	if t.Decision == DecideUnneeded || old.Decision == DecideUnneeded {
		return "" // who asks for it no more, or now does, has moved
	}
	if t.Kind == KindPure && settled(t.Decision) && settled(old.Decision) {
		if t.Key == old.Key {
			return ""
		}
		return cmp.Or(record(t.Record).difference(old.Record), "what it depends on has changed")
	}
	if t.Kind == KindEffect && t.Record != nil && old.Record != nil && t.Key != old.Key {
		if d := record(t.Record).difference(old.Record); d != "" {
			return d // it is another deed
		}
	}
	if t.Decision != old.Decision || t.Key != old.Key {
		return fmt.Sprintf("planned: %s; now: %s", old.words(), t.words())
	}
	return ""
}

func (t Planned) words() string {
	if t.Reason == "" {
		return string(t.Decision)
	}
	return fmt.Sprintf("%s (%s)", t.Decision, t.Reason)
}
