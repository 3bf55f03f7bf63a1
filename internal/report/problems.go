package report

import (
	"cmp"
	"slices"
	"strings"

	"roost/graph"
)

// Problem is one root cause: the tasks that failed of it, and what they
// blocked. Hosts on which the same step failed with the same words share one.
type Problem struct {
	Status  graph.Status // failed, refused or deferred
	Tasks   []*Task      // at least one; the first stands for all
	Blocked []*Task
}

// Problems returns every root cause once: what failed, then what was refused,
// then what was deferred, each in the order of the plan.
func (r *Run) Problems() []Problem {
	var problems []Problem
	type same struct {
		status     graph.Status
		step, text string
	}
	known, of := map[same]int{}, map[string]int{}
	tasks := r.Tasks()
	for _, t := range tasks {
		status := r.rootStatus(t)
		if status == "" {
			continue
		}
		// The host's own name is what differs between two hosts' errors.
		words := same{status, t.Step, strings.ReplaceAll(t.Why(), t.Group, "\x00")}
		at, ok := known[words]
		if !ok || t.Why() == "" {
			at = len(problems)
			known[words] = at
			problems = append(problems, Problem{Status: status})
		}
		problems[at].Tasks = append(problems[at].Tasks, t)
		of[t.Name] = at
	}
	for _, t := range tasks {
		if _, itself := of[t.Name]; itself || t.End() != graph.StatusBlocked && t.End() != graph.StatusDeferred {
			continue
		}
		if at, ok := of[r.root(t)]; ok {
			problems[at].Blocked = append(problems[at].Blocked, t)
		}
	}
	rank := []graph.Status{graph.StatusFailed, graph.StatusRefused, graph.StatusDeferred}
	slices.SortStableFunc(problems, func(a, b Problem) int {
		return cmp.Compare(slices.Index(rank, a.Status), slices.Index(rank, b.Status))
	})
	return problems
}

// rootStatus says whether the task is a root cause, and of which sort.
func (r *Run) rootStatus(t *Task) graph.Status {
	switch end := t.End(); end {
	case graph.StatusFailed, graph.StatusRefused:
		return end
	case graph.StatusDeferred:
		if r.root(t) == t.Name {
			return end
		}
	}
	return ""
}

// root follows the causes from a task to the first one of them.
func (r *Run) root(t *Task) string {
	for range len(r.tasks) {
		cause := r.tasks[t.Cause]
		if cause == nil || cause == t {
			return t.Name
		}
		t = cause
	}
	return t.Name // the causes go round in a circle
}

// CriticalPath is the chain of needs whose tasks worked longest, together: the
// run could not be shorter than that. Tasks that took no time are left out.
func (r *Run) CriticalPath() (path []*Task, seconds float64) {
	type best struct {
		seconds float64
		before  *Task
		done    bool
	}
	longest := make(map[*Task]*best, len(r.tasks))
	var visit func(t *Task) *best
	visit = func(t *Task) *best {
		if b := longest[t]; b != nil {
			return b // also of a task that is being visited: a plan has no cycle
		}
		b := &best{}
		longest[t] = b
		for _, need := range t.Needs {
			before := r.tasks[need]
			if before == nil || before == t {
				continue
			}
			if got := visit(before); got.done && got.seconds > b.seconds {
				b.seconds, b.before = got.seconds, before
			}
		}
		b.seconds += max(t.Seconds, 0)
		b.done = true
		return b
	}
	var last *Task
	for _, t := range r.Tasks() {
		if b := visit(t); b.seconds > seconds {
			seconds, last = b.seconds, t
		}
	}
	for t := last; t != nil; t = longest[t].before {
		if t.Seconds > 0 {
			path = append(path, t)
		}
	}
	slices.Reverse(path)
	return path, seconds
}

// Totals counts what the run did.
type Totals struct {
	Effects       int // applied, and proved
	FailedEffects int // begun, and not proved
	Evaluations   int // of hosts; cached ones are not run
	Builds        int
	Own           bool // it was a run of the fleet's own tasks
	Ran           int  // of those, how many ran that are no effects
	Hosts         map[Outcome]int
}

// Totals returns what the run did.
func (r *Run) Totals() Totals {
	n := Totals{Hosts: map[Outcome]int{}, Own: r.own()}
	for _, g := range r.Groups {
		if g.IsHost() {
			outcome, _ := g.Outcome()
			n.Hosts[outcome]++
		}
		for _, t := range g.Tasks {
			switch {
			case t.applied():
				n.Effects++
			case t.Kind == graph.KindEffect && t.Status == graph.StatusFailed && !t.Started.IsZero():
				n.FailedEffects++
			case t.Kind == graph.KindPure && t.Status == graph.StatusRan && n.Own:
				n.Ran++
			case t.Kind == graph.KindPure && t.Status == graph.StatusRan && t.Step == "eval":
				n.Evaluations++
			case t.Kind == graph.KindPure && t.Status == graph.StatusRan && t.Step == "build":
				n.Builds++
			}
		}
	}
	return n
}
