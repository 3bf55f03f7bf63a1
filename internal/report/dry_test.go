package report

import (
	"fmt"
	"testing"

	"roost/graph"
)

func TestAtLeast(t *testing.T) {
	plan := func(expect ...float64) *graph.Plan {
		p := &graph.Plan{}
		for i, seconds := range expect {
			task := graph.Planned{Task: fmt.Sprintf("h/%d", i), Decision: graph.DecideRun, Expect: seconds}
			if i > 0 {
				task.Needs = []string{fmt.Sprintf("h/%d", i-1)}
			}
			p.Tasks = append(p.Tasks, task)
		}
		return p
	}
	for _, c := range []struct {
		plan *graph.Plan
		want string
	}{
		{plan(), ""},
		{plan(0, 0), ""},
		{plan(0.05), ""},
		{plan(1, 0, 61), "it takes at least 1 min 02 s: h/0, h/2"},
		{plan(1, 1, 1, 1, 1, 1, 1, 1, 1), "it takes at least 9.0 s: h/0, h/1, h/2, h/3, h/4, h/5, h/6, h/7, h/8"},
		{plan(1, 1, 1, 1, 1, 1, 1, 1, 1, 1), "it takes at least 10 s: h/0, h/1, h/2, h/3, h/4, h/5, h/6, 2 tasks more, h/9"},
	} {
		if got := AtLeast(c.plan); got != c.want {
			t.Errorf("%q, want %q", got, c.want)
		}
	}
}
