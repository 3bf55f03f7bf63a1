package graph

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

func TestCriticalPath(t *testing.T) {
	task := func(name string, d Decision, expect float64, needs ...string) Planned {
		return Planned{Task: name, Decision: d, Expect: expect, Needs: needs}
	}
	for _, c := range []struct {
		name    string
		tasks   []Planned
		path    []string
		seconds float64
	}{
		{name: "nothing"},
		{"nothing is known", []Planned{task("a/eval", DecideRun, 0), task("a/build", DecideUnknown, 0, "a/eval")}, nil, 0},
		{"the longest way, not the most tasks", []Planned{
			task("a/eval", DecideRun, 1), task("a/build", DecideUnknown, 1, "a/eval"), task("a/copy", DecideUnknown, 1, "a/build"), task("b/eval", DecideRun, 4),
		}, []string{"b/eval"}, 4},
		{"what does not work takes no time", []Planned{
			task("a/eval", DecideCached, 100), task("a/build", DecideRun, 2, "a/eval"), task("a/copy", DecideSatisfied, 50, "a/build"),
			task("a/probe", DecideRead, 0.5), task("a/activate", DecideRun, 3, "a/copy", "a/probe"), task("b/build", DecideUnneeded, 9),
		}, []string{"a/build", "a/activate"}, 5},
		{"a need that stands later, and one that is not in the plan", []Planned{
			task("a/eval", DecideRun, 1, "fleet/lock", "none"), task("fleet/lock", DecideRun, 2),
		}, []string{"fleet/lock", "a/eval"}, 3},
	} {
		t.Run(c.name, func(t *testing.T) {
			path, seconds := (&Plan{Tasks: c.tasks}).CriticalPath()
			if diff := cmp.Diff(c.path, path); diff != "" || seconds != c.seconds {
				t.Errorf("%v s, want %v s (-want +got):\n%s", seconds, c.seconds, diff)
			}
		})
	}
}

// No way through the plan takes longer, and the path is one.
func TestCriticalPathIsTheLongest(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		p := &Plan{}
		name := func(i int) string { return string(rune('a' + i)) }
		for i := range rapid.IntRange(0, 9).Draw(rt, "tasks") {
			task := Planned{Task: name(i), Decision: DecideRun, Expect: float64(rapid.IntRange(0, 5).Draw(rt, "expect"))}
			for k := range i {
				if rapid.Bool().Draw(rt, "needs") {
					task.Needs = append(task.Needs, name(k))
				}
			}
			p.Tasks = append(p.Tasks, task)
		}
		var longest func(i int) float64 // to the end of task i, the slow way
		longest = func(i int) float64 {
			most := 0.0
			for _, need := range p.Tasks[i].Needs {
				most = max(most, longest(int(need[0]-'a')))
			}
			return most + p.Tasks[i].Expect
		}
		most := 0.0
		for i := range p.Tasks {
			most = max(most, longest(i))
		}
		path, seconds := p.CriticalPath()
		sum := 0.0
		for _, task := range path {
			sum += p.Tasks[task[0]-'a'].Expect
		}
		if seconds != most || sum != seconds {
			rt.Fatalf("%q takes %v, said %v, want %v", path, sum, seconds, most)
		}
	})
}

func TestPlanSaysHowLongItTakes(t *testing.T) {
	p := &Plan{Tasks: []Planned{
		{Task: "a/eval", Decision: DecideRun, Reason: "a.nix changed", Expect: 0.0521},
		{Task: "a/build", Decision: DecideUnknown, Reason: "unknown until a/eval ran", Needs: []string{"a/eval"}, Expect: 61.04},
		{Task: "a/copy", Decision: DecideUnknown, Expect: 0.04},
		{Task: "b/eval", Decision: DecideCached, Reason: "nothing changed", Expect: 5},
	}}
	var b strings.Builder
	if err := p.Write(&b, false); err != nil {
		t.Fatal(err)
	}
	want := `a
  eval   run        a.nix changed (about 0.1 s)
  build  unknown    unknown until a/eval ran (about 1 min)
  copy   unknown
b
  eval   cached     nothing changed
`
	if diff := cmp.Diff(want, b.String()); diff != "" {
		t.Error(diff)
	}
}
