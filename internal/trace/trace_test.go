package trace

import (
	"bytes"
	"encoding/json"
	"flag"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"roost/graph"
)

var update = flag.Bool("update", false, "write the golden files anew")

func write(t interface {
	Fatal(...any)
	Helper()
}, path string) (text []byte, events []event) {
	t.Helper()
	var b bytes.Buffer
	if err := Write(&b, path); err != nil {
		t.Fatal(err)
	}
	var doc struct {
		TraceEvents []event `json:"traceEvents"`
	}
	if err := json.Unmarshal(b.Bytes(), &doc); err != nil {
		t.Fatal(err)
	}
	return b.Bytes(), doc.TraceEvents
}

// The golden files have an event a line; the trace itself is one line.
func TestGolden(t *testing.T) {
	for _, name := range []string{"four", "every", "dry"} {
		t.Run(name, func(t *testing.T) {
			text, events := write(t, filepath.Join("..", "report", "testdata", name+".jsonl"))
			if bytes.Count(text, []byte("\n")) != 1 || text[len(text)-1] != '\n' {
				t.Error("the trace is not one line")
			}
			var got strings.Builder
			for _, e := range events {
				line, err := json.Marshal(e)
				if err != nil {
					t.Fatal(err)
				}
				got.Write(append(line, '\n'))
			}
			golden := filepath.Join("testdata", name+".jsonl")
			if *update {
				if err := os.WriteFile(golden, []byte(got.String()), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(want), got.String()); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// record writes events as a run's record does; each is at its second.
func record(t interface {
	Fatal(...any)
	Helper()
}, dir string, events []graph.Event, torn string) string {
	t.Helper()
	var b bytes.Buffer
	for _, e := range events {
		e.Version = graph.EventVersion
		line, err := json.Marshal(e)
		if err != nil {
			t.Fatal(err)
		}
		b.Write(append(line, '\n'))
	}
	b.WriteString(torn)
	path := filepath.Join(dir, "events.jsonl")
	if err := os.WriteFile(path, b.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

var began = time.Date(2026, 3, 14, 9, 26, 53, 0, time.UTC)

func at(seconds float64) time.Time { return began.Add(time.Duration(seconds * float64(time.Second))) }

// A copy that was tried twice, then a build that was at work when roost was killed.
func TestCutOff(t *testing.T) {
	path := record(t, t.TempDir(), []graph.Event{
		{Kind: graph.RunStarted, Time: at(0), Run: &graph.RunInfo{ID: "1", Verb: "update:all", Tasks: 2}},
		{Kind: graph.TaskStarted, Time: at(1), Task: "m/copy", TaskKind: graph.KindEffect, Attempt: 1},
		{Kind: graph.TaskRetrying, Time: at(2), Task: "m/copy", Attempt: 1, Error: "the link broke", Seconds: 1},
		{Kind: graph.TaskStarted, Time: at(3), Task: "m/copy", TaskKind: graph.KindEffect, Attempt: 2},
		{Kind: graph.TaskStarted, Time: at(3.5), Task: "m/build", TaskKind: graph.KindPure, Attempt: 1},
		{Kind: graph.TaskFinished, Time: at(4), Task: "m/copy", Status: graph.StatusRan, Seconds: 1},
	}, `{"v":1,"seq":7,"time":"2026-`)
	text, events := write(t, path)
	if !bytes.Contains(text, []byte(`"torn":1`)) {
		t.Error("the trace does not say that the record is torn")
	}
	type worked struct {
		Name          string
		Time, Dur     int64
		Tid           int
		Status, Error any
	}
	var got []worked
	for _, e := range events {
		if e.Phase == "X" && e.Pid != runPid {
			got = append(got, worked{e.Name, e.Time, *e.Dur, e.Tid, e.Args["status"], e.Args["error"]})
		}
		if e.Phase == "X" && e.Pid == runPid && (e.Args["finished"] != false || *e.Dur != 4e6) {
			t.Errorf("the run: %+v", e)
		}
	}
	want := []worked{
		{"copy", 1e6, 1e6, 1, "retried", "the link broke"},
		{"copy", 3e6, 1e6, 1, "ran", nil},
		{"build", 3.5e6, 0.5e6, 2, "not ended", nil},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if err := Write(&bytes.Buffer{}, filepath.Join(t.TempDir(), "none")); err == nil {
		t.Error("a record that is not there has a trace")
	}
}

// Whatever the events say, the work of one thread never overlaps, no arrow
// begins or ends outside of work, and every attempt is there once.
func TestThreadsNeverOverlap(t *testing.T) {
	dir := t.TempDir()
	rapid.Check(t, func(rt *rapid.T) {
		name := rapid.SampledFrom([]string{"a/eval", "a/build", "a/copy", "b/eval", "b/build", "fleet/lock", "alone", ""})
		kind := rapid.SampledFrom([]graph.EventKind{graph.TaskStarted, graph.TaskStarted, graph.TaskFinished, graph.TaskFinished, graph.TaskRetrying, graph.PlanReady})
		now, began := 0.0, 0
		events := []graph.Event{{Kind: graph.RunStarted, Time: at(0), Run: &graph.RunInfo{}}}
		for range rapid.IntRange(0, 40).Draw(rt, "events") {
			now += rapid.SampledFrom([]float64{0, 0.0000004, 0.001, 1.5}).Draw(rt, "later")
			e := graph.Event{Kind: kind.Draw(rt, "kind"), Time: at(now)}
			if e.Kind == graph.PlanReady {
				e.Plan = &graph.Plan{}
				for _, task := range []string{"a/eval", "a/build", "a/copy", "b/eval"} {
					e.Plan.Tasks = append(e.Plan.Tasks, graph.Planned{Task: task, Needs: rapid.SliceOfN(name, 0, 2).Draw(rt, "needs")})
				}
			} else {
				e.Task = name.Draw(rt, "task")
			}
			if e.Kind == graph.TaskStarted && e.Task != "" {
				began++
			}
			if e.Kind == graph.TaskFinished {
				e.Status = rapid.SampledFrom([]graph.Status{graph.StatusRan, graph.StatusCached, graph.StatusFailed}).Draw(rt, "status")
				e.Seconds = rapid.SampledFrom([]float64{0, 0.5, 100}).Draw(rt, "seconds")
			}
			events = append(events, e)
		}
		_, got := write(rt, record(rt, dir, events, ""))
		work := map[[2]int][]event{}
		attempts := 0
		for _, e := range got {
			if e.Phase == "X" {
				if e.Time < 0 || *e.Dur < 0 {
					rt.Fatalf("a negative time: %+v", e)
				}
				work[[2]int{e.Pid, e.Tid}] = append(work[[2]int{e.Pid, e.Tid}], e)
				if e.Pid != runPid {
					attempts++
				}
			}
		}
		if attempts < began {
			rt.Fatalf("%d attempts are drawn, %d began", attempts, began)
		}
		for _, on := range slices.Collect(maps.Values(work)) {
			for i := 1; i < len(on); i++ {
				if on[i-1].Time+*on[i-1].Dur > on[i].Time {
					rt.Fatalf("%+v overlaps %+v", on[i-1], on[i])
				}
			}
		}
		for _, e := range got {
			inside := func(w event) bool { return w.Time <= e.Time && e.Time <= w.Time+*w.Dur }
			if (e.Phase == "s" || e.Phase == "f") && !slices.ContainsFunc(work[[2]int{e.Pid, e.Tid}], inside) {
				rt.Fatalf("an arrow in no work: %+v", e)
			}
		}
	})
}
