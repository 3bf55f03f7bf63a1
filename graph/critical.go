package graph

import (
	"fmt"
	"slices"
)

// CriticalPath is the chain of tasks that work, each needing the one before it,
// which are expected to take longest together: the run takes so many seconds at
// least. Tasks of which no duration is known count nothing and are left out, so
// the path is empty where nothing is known.
func (p *Plan) CriticalPath() (tasks []string, seconds float64) {
	at := make(map[string]int, len(p.Tasks))
	for i := range p.Tasks {
		at[p.Tasks[i].Task] = i
	}
	type way struct {
		seconds float64 // to the end of this task
		before  int     // the task before it, or -1
		seen    bool
	}
	ways := make([]way, len(p.Tasks))
	var visit func(i int) *way
	visit = func(i int) *way {
		w := &ways[i]
		if w.seen { // also one that is being visited: a plan has no cycle
			return w
		}
		*w = way{before: -1, seen: true}
		for _, need := range p.Tasks[i].Needs {
			before, ok := at[need]
			if !ok {
				continue
			}
			if s := visit(before).seconds; s > w.seconds {
				w.seconds, w.before = s, before
			}
		}
		w.seconds += p.Tasks[i].expected()
		return w
	}
	last := -1
	for i := range p.Tasks {
		if s := visit(i).seconds; s > seconds {
			seconds, last = s, i
		}
	}
	for ; last >= 0; last = ways[last].before {
		if p.Tasks[last].expected() > 0 {
			tasks = append(tasks, p.Tasks[last].Task)
		}
	}
	slices.Reverse(tasks)
	return tasks, seconds
}

// expected is how many seconds the task is expected to work in this run.
func (t *Planned) expected() float64 {
	switch t.Decision {
	case DecideRun, DecideRead, DecideUnknown:
		return max(t.Expect, 0)
	}
	return 0
}

// about says how long a task is expected to take; nothing for less than 50 ms.
func about(seconds float64) string {
	switch {
	case seconds < 0.05:
		return ""
	case seconds < 9.95:
		return fmt.Sprintf("(about %.1f s)", seconds)
	case seconds < 59.5:
		return fmt.Sprintf("(about %.0f s)", seconds)
	}
	return fmt.Sprintf("(about %.0f min)", seconds/60)
}
