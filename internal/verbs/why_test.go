package verbs

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"roost/graph"
	"roost/internal/ledger"
	"roost/internal/report"
	"roost/internal/testneed"
)

// oddNames are names in which a search by bytes could go astray.
var oddNames = []string{"a/eval", "a/evalu", "a/ev", `a/"eval"`, `a/ev\al`, "b/eval", "b/build,c/eval", "b/<copy>", "c/日本", "c/\u2028", "c/x\"},{\"task\":\"a/eval", "fleet/lock", "x/alone"}

// randomGraph is a graph of tasks that end in every way.
func randomGraph(rt *rapid.T) (*graph.Graph, []string) {
	names := rapid.Permutation(oddNames).Draw(rt, "names")[:rapid.IntRange(1, len(oddNames)).Draw(rt, "tasks")]
	g := graph.New()
	refs := map[string]graph.Ref[string]{}
	for i, name := range names {
		needs := rapid.SliceOfNDistinct(rapid.SampledFrom(names[:max(i, 1)]), 0, min(i, 3), rapid.ID[string]).Draw(rt, "needs")
		uses := rapid.Bool().Draw(rt, "uses")
		ends := rapid.SampledFrom([]error{nil, nil, nil, errors.New("no space\nleft"), graph.Refuse(errors.New("a guard")), graph.Defer(errors.New("asleep"))}).Draw(rt, "ends")
		need := func(t *graph.Task) {
			for _, n := range needs {
				switch {
				case n == name:
				case uses:
					graph.Use(t, refs[n])
				default:
					t.After(refs[n])
				}
			}
		}
		switch rapid.IntRange(0, 2).Draw(rt, "kind") {
		case 0:
			refs[name] = graph.Pure(g, name, func(t *graph.Task) graph.Compute[string] {
				need(t)
				return graph.Compute[string]{Run: func(context.Context) (string, error) { return name, ends }}
			})
		case 1:
			refs[name] = graph.Observe(g, name, func(t *graph.Task) func(context.Context) (string, error) {
				need(t)
				return func(context.Context) (string, error) { return name, ends }
			})
		default:
			done := rapid.Bool().Draw(rt, "done")
			refs[name] = graph.Effect(g, name, func(t *graph.Task) graph.Change[string] {
				need(t)
				return graph.Change[string]{
					Check: func(context.Context) (graph.State[string], error) {
						s := graph.State[string]{Done: done, Value: name, Reason: "it is not <so>"}
						return s, nil
					},
					Apply: func(context.Context) error { done = true; return ends },
				}
			})
		}
	}
	return g, names
}

// slowly answers as Why does, by reading the whole record.
func slowly(path string, explain func(string) (graph.Explanation, bool, error)) (*why, *strings.Builder, error) {
	run, err := report.Load(path)
	var b strings.Builder
	return &why{
		w: &b, find: func(...string) (*report.Run, error) { return run, nil }, explain: explain,
		users: func(task string) (users []string, err error) {
			for _, t := range run.Tasks() {
				if slices.Contains(t.Needs, task) {
					users = append(users, t.Name)
				}
			}
			return users, nil
		},
	}, &b, err
}

// What is found by looking for one task is what the whole record says of it,
// also where the record ends early.
func TestWhyIsWhatTheWholeRecordSays(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("XDG_STATE_HOME", dir)
	told := map[string]bool{}
	rapid.Check(t, func(rt *rapid.T) {
		ok := func(err error) {
			rt.Helper()
			if err != nil {
				rt.Fatal(err)
			}
		}
		state, err := ledger.Open(dir)
		ok(err)
		ok(os.RemoveAll(state.Dir))
		ok(state.Make())
		cache, err := graph.OpenCache(state.Path("cache"))
		ok(err)
		g, names := randomGraph(rt)
		var path string
		for range rapid.IntRange(1, 2).Draw(rt, "runs") {
			record, err := state.NewRun(time.Now())
			ok(err)
			result, err := g.Run(context.Background(), graph.Options{Cache: cache, Watch: []func(graph.Event){record.Event}, Info: graph.RunInfo{ID: record.ID}})
			if result == nil {
				rt.Fatal(err) // the graph is not valid: nothing was run
			}
			ok(record.Close())
			path = state.EventsPath(record.ID)
		}
		whole, err := os.ReadFile(path)
		ok(err)
		cut := rapid.Bool().Draw(rt, "cut")
		if cut {
			ok(os.WriteFile(path, whole[:rapid.IntRange(0, len(whole)).Draw(rt, "at")], 0o600))
		}
		explain := func(task string) (graph.Explanation, bool, error) {
			e, ok := cache.Explain(task)
			return e, ok, nil
		}
		opened, err := report.OpenRecord(path)
		ok(err)
		defer opened.Close()
		if got := opened.Names(); !cut && !slices.Equal(slices.Sorted(slices.Values(got)), slices.Sorted(slices.Values(names))) {
			rt.Fatalf("the record has the tasks %q, want %q", got, names)
		}
		for _, name := range append(names, "none/such") {
			var fast strings.Builder
			y := &why{
				w: &fast, explain: explain, find: opened.Find, users: opened.Users,
			}
			known, err := y.tell(name)
			ok(err)
			want, slow, err := slowly(path, explain)
			ok(err)
			wantKnown, err := want.tell(name)
			ok(err)
			if known != wantKnown || fast.String() != slow.String() {
				rt.Fatalf("%s (known: %v, want %v):\n%s\nThe whole record says:\n%s", name, known, wantKnown, &fast, slow)
			}
			for _, word := range []string{"unneeded", "would: it was", "blocked", "deferred", "did not end", "it depends on"} {
				told[word] = told[word] || strings.Contains(slow.String(), word)
			}
		}
	})
	if len(told) > 0 && !t.Failed() {
		for word, seen := range told {
			if !seen {
				t.Errorf("no run made an answer with %q: this test shows too little", word)
			}
		}
	}
}

func TestFindSaved(t *testing.T) {
	plan := &graph.Plan{Version: graph.PlanVersion}
	for i, name := range oddNames {
		plan.Tasks = append(plan.Tasks, graph.Planned{Task: name, Kind: graph.KindPure, Decision: graph.DecideRun, Reason: "\n]}\n", Needs: oddNames[:i], Record: oddNames})
	}
	saved := &SavedPlan{Version: savedPlanVersion, Verb: "update:all", Fleet: "/fleet", Plan: plan, Critical: oddNames}
	path := filepath.Join(t.TempDir(), "plan.json")
	if err := writeFile(path, "the plan", saved.write); err != nil {
		t.Fatal(err)
	}
	check := func(form string) {
		t.Helper()
		for i, name := range oddNames {
			got, err := findSaved(path, name)
			if err != nil || got.Task != name || len(got.Needs) != i {
				t.Errorf("%s: found %q needing %d, %v; want %q needing %d", form, got.Task, len(got.Needs), err, name, i)
			}
		}
		if _, err := findSaved(path, "a/evl"); err == nil || !strings.Contains(err.Error(), `did you mean "a/eval"`) {
			t.Errorf("%s: %v", form, err)
		}
	}
	check("as it is written")
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if lines := strings.Count(string(data), "\n"); lines != len(oddNames)+2 {
		t.Errorf("%d lines, want one a task and two", lines)
	}
	whole, err := readPlan(path)
	if err != nil || len(whole.Plan.Tasks) != len(oddNames) || len(whole.Critical) != len(oddNames) {
		t.Fatalf("read whole: %+v, %v", whole, err)
	}
	for form, text := range map[string]string{
		"on one line":      strings.ReplaceAll(string(data), "\n", ""),
		"two tasks a line": strings.Replace(string(data), "},\n{", "},{", 3),
		"with spaces":      strings.ReplaceAll(string(data), "\n{", "\n   {"),
	} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		check(form)
	}
	for form, text := range map[string]string{
		"cut":             string(data[:len(data)/2]),
		"another version": strings.Replace(string(data), `"version":1`, `"version":99`, 1),
		"empty":           "",
	} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if got, err := findSaved(path, "a/eval"); err == nil {
			t.Errorf("%s: found %v", form, got)
		}
	}
}

func TestOrigin(t *testing.T) {
	made := time.Date(2026, 3, 14, 9, 26, 53, 0, time.UTC)
	for _, c := range []struct {
		from, now Origin
		later     time.Duration
		want      string
	}{
		{Origin{}, Origin{"1.2", "abc"}, time.Minute, "A plan of 2026-03-14 09:26:53 UTC (1 min 00 s ago)"},
		{Origin{"1.2", "abc"}, Origin{"1.2", "abc"}, 3 * time.Hour, "A plan of 2026-03-14 09:26:53 UTC (3 h 00 min ago), roost 1.2, the fleet at abc"},
		{Origin{"1.2", "abc"}, Origin{"1.3", "abc+"}, 49 * time.Hour, "A plan of 2026-03-14 09:26:53 UTC (2 days ago), roost 1.2 (now 1.3), the fleet at abc (now abc+)"},
		{Origin{"1.2", "abc"}, Origin{}, 0, "A plan of 2026-03-14 09:26:53 UTC (0.0 s ago), roost 1.2, the fleet at abc"},
	} {
		s := SavedPlan{Made: made, From: c.from}
		if got := s.origin(c.now, made.Add(c.later)); got != c.want {
			t.Errorf("%v now %v: %q, want %q", c.from, c.now, got, c.want)
		}
	}
}

func TestOriginOf(t *testing.T) {
	testneed.Tool(t, "git")
	dir := t.TempDir()
	o := Options{Version: "1.2"}
	want := func(what string, good func(revision string) bool) {
		t.Helper()
		if from := originOf(t.Context(), o, dir); from.Roost != "1.2" || !good(from.Revision) {
			t.Errorf("%s: %+v", what, from)
		}
	}
	git := func(args ...string) {
		t.Helper()
		if out, err := exec.Command("git", append([]string{"-C", dir, "-c", "user.name=n", "-c", "user.email=e"}, args...)...).CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
	}
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, "flake.nix"), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want("no checkout", func(r string) bool { return r == "" })
	git("init", "-q")
	want("nothing committed", func(r string) bool { return r == "" })
	write("{ }")
	git("add", ".")
	git("commit", "-qm", "one")
	want("committed", func(r string) bool { return len(r) == 12 })
	write("{ a = 1; }")
	want("edited", func(r string) bool { return len(r) == 13 && r[12] == '+' })
}
