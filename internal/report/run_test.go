package report

import (
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"roost/graph"
)

// anyEvents draws a sequence of events that need not make sense.
func anyEvents(t *rapid.T) []graph.Event {
	name := rapid.SampledFrom([]string{"", "a/eval", "a/build", "a/activate", "a/health", "b/eval", "b/probe", "b/activate", "fleet/lock", "alone", "/", "c/"})
	text := rapid.SampledFrom([]string{"", "", "x", "a: \x1b[31mred\x1b[0m", "two\nlines", "wide 漢字 …", "\xff\r\n\t"})
	kinds := rapid.SampledFrom([]graph.EventKind{graph.RunStarted, graph.TaskDecided, graph.PlanReady, graph.TaskStarted, graph.TaskLog, graph.TaskFinished, graph.TaskFinished, graph.TaskFinished, graph.RunFinished, "later"})
	taskKinds := rapid.SampledFrom([]graph.Kind{"", graph.KindPure, graph.KindObserve, graph.KindEffect})
	decisions := rapid.SampledFrom([]graph.Decision{"", graph.DecideRun, graph.DecideRead, graph.DecideCached, graph.DecideUnknown, graph.DecideFailed, graph.DecideBlocked, graph.DecideDeferred, graph.DecideRefused, graph.DecideUnneeded})
	ends := rapid.SampledFrom([]graph.Status{"", graph.StatusRan, graph.StatusCached, graph.StatusRead, graph.StatusFailed, graph.StatusFailed, graph.StatusFailed, graph.StatusBlocked, graph.StatusBlocked, graph.StatusDeferred, graph.StatusRefused, graph.StatusCancelled, graph.StatusPlanned, graph.StatusUnneeded, "later"})
	results := rapid.SampledFrom([]string{"", "{", "[]", "3", `{"current":7}`, `{"current":"/nix/store/x-y","label":"1"}`, `{"from":"/","to":"q","changed":["x"],"reboot_needed":true}`, `{"checks":[{}]}`})
	planned := rapid.Custom(func(t *rapid.T) graph.Planned {
		return graph.Planned{Task: name.Draw(t, "task"), Kind: taskKinds.Draw(t, "kind"), Decision: decisions.Draw(t, "decision"),
			Cause: name.Draw(t, "cause"), Needs: rapid.SliceOfN(name, 0, 4).Draw(t, "needs")}
	})
	event := rapid.Custom(func(t *rapid.T) graph.Event {
		e := graph.Event{
			Kind: kinds.Draw(t, "event"), Time: time.Unix(rapid.Int64Range(-5, 1e5).Draw(t, "time"), 0),
			Task: name.Draw(t, "task"), TaskKind: taskKinds.Draw(t, "kind"), Decision: decisions.Draw(t, "decision"), Status: ends.Draw(t, "status"),
			Reason: text.Draw(t, "reason"), Cause: name.Draw(t, "cause"), Text: text.Draw(t, "text"), Error: text.Draw(t, "error"),
			Seconds: rapid.Float64Range(-1, 1e7).Draw(t, "seconds"), Result: json.RawMessage(results.Draw(t, "result")),
			Tail: rapid.SliceOfN(text, 0, 3).Draw(t, "tail"),
		}
		if rapid.Bool().Draw(t, "with run") {
			e.Run = &graph.RunInfo{Verb: "update:all", Dry: rapid.Bool().Draw(t, "dry")}
		}
		if e.Kind == graph.PlanReady && rapid.Bool().Draw(t, "with plan") {
			e.Plan = &graph.Plan{Tasks: rapid.SliceOfN(planned, 0, 12).Draw(t, "plan")}
		}
		return e
	})
	return rapid.SliceOfN(event, 0, 80).Draw(t, "events")
}

func TestAnyEvents(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		run := New()
		for _, e := range anyEvents(t) {
			run.Add(e)
		}
		if err := Summary(io.Discard, run, Options{Width: rapid.IntRange(-1, 200).Draw(t, "width"), Color: true}); err != nil {
			t.Fatal(err)
		}
		var page strings.Builder
		if err := HTML(&page, run); err != nil {
			t.Fatal(err)
		}
		if strings.Contains(page.String(), "\x1b") || strings.Contains(page.String(), "ZgotmplZ") {
			t.Fatal("the page has text that is not safe")
		}
		told := map[*Task]int{}
		for _, problem := range run.Problems() {
			for _, task := range problem.Tasks {
				told[task]++
			}
			for _, task := range problem.Blocked {
				if told[task] > 0 {
					t.Fatalf("%s is a root cause and blocked by one", task.Name)
				}
			}
		}
		tasks := 0
		for _, g := range run.Groups {
			for _, task := range g.Tasks {
				tasks++
				if task.Status == graph.StatusFailed && told[task] != 1 {
					t.Fatalf("%s failed, and is told %d times", task.Name, told[task])
				}
				if told[task] > 1 {
					t.Fatalf("%s is told %d times", task.Name, told[task])
				}
			}
		}
		if tasks != len(run.tasks) {
			t.Fatalf("the groups hold %d tasks of %d", tasks, len(run.tasks))
		}
	})
}

func TestCriticalPath(t *testing.T) {
	run := four().run(22)
	path, seconds := run.CriticalPath()
	want := []string{"malphas/eval", "malphas/build", "malphas/copy", "malphas/activate", "malphas/health"}
	if diff := cmp.Diff(want, taskNames(path)); diff != "" {
		t.Errorf("path (-want +got):\n%s", diff)
	}
	if seconds < 20 || seconds > 20.2 {
		t.Errorf("the path took %g s, want 20.1 s", seconds)
	}
}

func TestLoad(t *testing.T) {
	record := filepath.Join("testdata", "every.jsonl")
	run, err := Load(record)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := htmlOf(t, run), htmlOf(t, every().run(22)); got != want {
		t.Errorf("a loaded run is told otherwise (-want +got):\n%s", cmp.Diff(want, got))
	}

	file := filepath.Join(t.TempDir(), "events.jsonl")
	load := func(text string) (*Run, error) {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return Load(file)
	}
	text, err := os.ReadFile(record)
	if err != nil {
		t.Fatal(err)
	}
	cut := strings.LastIndex(strings.TrimSpace(string(text)), "\n") + 1 // before run.finished
	run, err = load(string(text[:cut]) + `{"v":1,"seq":9`)
	if err != nil || run.Torn != 1 {
		t.Errorf("half a line at the end: %v, torn %d; want no error and 1", err, run.Torn)
	}
	var out strings.Builder
	if err := Summary(&out, run, Options{}); err != nil || !strings.Contains(out.String(), "The record ends before the run did") {
		t.Errorf("a record without its end does not say so: %v\n%s", err, out.String())
	}
	if _, err = load("{\"v\":1}\nnonsense\n{\"v\":1}\n"); err == nil || !strings.Contains(err.Error(), file+":2:") {
		t.Errorf("a broken line: %v; want an error that names its line", err)
	}
	if _, err = load(`{"v":99}`); err == nil || !strings.Contains(err.Error(), "version 99") {
		t.Errorf("an event of a later version: %v", err)
	}
}

func TestClean(t *testing.T) {
	for in, want := range map[string]string{
		"plain":                                "plain",
		"\x1b[1;31mred\x1b[0m":                 "red",
		"\x1b]8;;http://x\x07link\x1b]8;;\x07": "link",
		"10%\r20%\r30%\r\n":                    "30%",
		"a\tb":                                 "a    b",
		"bell\x07 null\x00":                    "bell null",
		"\xffbad":                              "\uFFFDbad",
		"abc\u202edef":                         "abcdef",
		"漢字 ✓":                                 "漢字 ✓",
	} {
		if got := Clean(in); got != want {
			t.Errorf("Clean(%q) = %q, want %q", in, got, want)
		}
	}
}

func TestTook(t *testing.T) {
	for seconds, want := range map[float64]string{
		-1: "0.0 s", 0.04: "0.0 s", 1.25: "1.2 s", 9.96: "10 s", 59.4: "59 s", 59.6: "1 min 00 s", 125: "2 min 05 s", 3600: "1 h 00 min", 7830: "2 h 10 min",
	} {
		if got := Took(seconds); got != want {
			t.Errorf("Took(%g) = %q, want %q", seconds, got, want)
		}
	}
}

func TestUnchangedHostThatAwaitsItsReboot(t *testing.T) {
	run := New()
	run.Add(graph.Event{Kind: graph.TaskFinished, Task: "a/activate", TaskKind: graph.KindEffect,
		Status: graph.StatusSatisfied, Result: json.RawMessage(`{"to":"/nix/store/x-y","reboot_needed":true}`)})
	g := run.Groups[0]
	if got := g.What(); g.Result() != "unchanged" || got != "reboot needed" {
		t.Errorf("%s: %q, want unchanged: reboot needed", g.Result(), got)
	}
}

func TestVersions(t *testing.T) {
	path := func(hash string) string { return "/nix/store/" + hash + "-nixos-system-h-x" }
	for _, c := range []struct {
		change Change
		want   string
	}{
		{Change{}, ""},
		{Change{Probed: true}, "(new)"},
		{Change{Probed: true, To: path("abcdefghij"), ToLabel: "1.1"}, "(new) -> 1.1"},
		{Change{From: path("aaaaaaaaaa"), FromLabel: "1.0", To: path("bbbbbbbbbb"), ToLabel: "1.1"}, "1.0 -> 1.1"},
		{Change{From: path("aaaaaaaaaa"), FromLabel: "1.0", To: path("bbbbbbbbbb"), ToLabel: "1.0"}, "aaaaaaa -> bbbbbbb"},
		{Change{From: path("aaaaaaaaaa"), FromLabel: "1.0", To: path("bbbbbbbbbb")}, "aaaaaaa -> bbbbbbb"},
		{Change{From: path("aaaaaaaaaa"), FromLabel: "1.0", To: path("aaaaaaaaaa"), ToLabel: "1.0"}, "1.0"},
		{Change{From: path("aaaaaaaaaa"), FromLabel: strings.Repeat("1", 30), To: path("bbbbbbbbbb"), ToLabel: "2"}, "aaaaaaa -> bbbbbbb"},
		{Change{To: path("bbbbbbbbbb"), ToLabel: "2"}, "? -> 2"},
	} {
		if got := c.change.Versions(20); got != c.want {
			t.Errorf("%+v: %q, want %q", c.change, got, c.want)
		}
	}
}
