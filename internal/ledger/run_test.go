package ledger

import (
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"roost/graph"
)

func TestRunIDsSortByTime(t *testing.T) {
	s := open(t)
	start := time.Date(2026, 3, 29, 2, 59, 59, 0, time.FixedZone("summer", 7200))
	var want []string
	for _, later := range []time.Duration{0, time.Millisecond, 20 * time.Millisecond, 400 * time.Millisecond, time.Second, time.Hour, 400 * 24 * time.Hour} {
		run, err := s.NewRun(start.Add(later))
		if err != nil {
			t.Fatal(err)
		}
		if err := run.Close(); err != nil {
			t.Fatal(err)
		}
		want = append(want, run.ID)
	}
	got, err := s.Runs()
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if !strings.HasPrefix(want[0], "20260329T005959") {
		t.Errorf("%s is not in UTC", want[0])
	}
	slices.Sort(want)
	if len(slices.Compact(want)) != len(want) {
		t.Error("two runs have one id")
	}
}

func onePlan() *graph.Plan {
	return &graph.Plan{Version: graph.PlanVersion, Tasks: []graph.Planned{
		{Task: "rook/eval", Kind: graph.KindPure, Decision: graph.DecideCached},
		{Task: "rook/build", Kind: graph.KindPure, Decision: graph.DecideRun, Needs: []string{"rook/eval"}, Expect: 1.5},
	}}
}

// events of a small run, as the engine sends them.
func events() []graph.Event {
	return []graph.Event{
		{Kind: graph.RunStarted, Run: &graph.RunInfo{Verb: "update:all"}},
		{Kind: graph.PlanReady, Plan: onePlan()},
		{Kind: graph.TaskStarted, Task: "rook/build", TaskKind: graph.KindPure},
		{Kind: graph.TaskLog, Task: "rook/build", Text: "a line"},
		{Kind: graph.TaskFinished, Task: "rook/build", TaskKind: graph.KindPure, Status: graph.StatusRan, Result: json.RawMessage(`{"kind":"run.finished"}`)},
		{Kind: graph.TaskStarted, Task: "rook/switch", TaskKind: graph.KindEffect},
		{Kind: graph.TaskFinished, Task: "rook/switch", TaskKind: graph.KindEffect, Status: graph.StatusRan},
		{Kind: graph.RunFinished, Counts: map[graph.Status]int{graph.StatusRan: 2}},
	}
}

func TestRecord(t *testing.T) {
	s := open(t)
	run, err := s.NewRun(time.Now())
	if err != nil {
		t.Fatal(err)
	}
	var want []graph.EventKind
	for _, e := range events() {
		run.Event(e)
		if e.Kind != graph.TaskLog {
			want = append(want, e.Kind)
		}
	}
	log, err := run.LogTo("rook/build")
	if err != nil {
		t.Fatal(err)
	}
	io.WriteString(log, "a line\n")
	log.Close()
	if err := run.Close(); err != nil {
		t.Fatal(err)
	}

	data, err := os.ReadFile(s.EventsPath(run.ID))
	if err != nil {
		t.Fatal(err)
	}
	var got []graph.EventKind
	for line := range strings.Lines(string(data)) {
		var e graph.Event
		if err := json.Unmarshal([]byte(line), &e); err != nil {
			t.Fatalf("%v: %s", err, line)
		}
		got = append(got, e.Kind)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("the record does not have the events (-want +got):\n%s", diff)
	}
	if got := modes(t, run.Dir); got != ". events.jsonl logs logs/rook.build.log plan.json" {
		t.Errorf("the record is %s", got)
	}
	plan, err := graph.ReadPlan(s.PlanPath(run.ID))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(onePlan(), plan); diff != "" {
		t.Errorf("plan.json has another plan (-want +got):\n%s", diff)
	}
	if strings.Contains(string(data), "rook/eval") {
		t.Error("the plan is in the events as well")
	}
}

// A record that nobody closes, as of a run that is killed: of effects it lacks
// nothing, of the rest what is younger than a moment.
func TestRecordOfAKilledRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := open(t)
		run, err := s.NewRun(time.Now())
		if err != nil {
			t.Fatal(err)
		}
		defer run.Close()
		last := func() string {
			data, err := os.ReadFile(s.EventsPath(run.ID))
			if err != nil {
				t.Fatal(err)
			}
			var last graph.Event
			for line := range strings.Lines(string(data)) {
				if err := json.Unmarshal([]byte(line), &last); err != nil {
					t.Fatalf("%v: %s", err, line)
				}
			}
			return string(last.Kind) + " " + last.Task
		}
		pure, effect := graph.Event{Kind: graph.TaskStarted, Task: "rook/eval", TaskKind: graph.KindPure}, graph.Event{Kind: graph.TaskStarted, Task: "rook/switch", TaskKind: graph.KindEffect}
		retrying, ended := effect, effect
		retrying.Kind, ended.Kind, ended.Status = graph.TaskRetrying, graph.TaskFinished, graph.StatusFailed
		blocked := graph.Event{Kind: graph.TaskFinished, Task: "wren/switch", TaskKind: graph.KindEffect, Status: graph.StatusBlocked}
		run.Event(graph.Event{Kind: graph.RunStarted, Run: &graph.RunInfo{Verb: "update:all"}})
		run.Event(pure)
		for _, step := range []struct {
			what  string
			event graph.Event
			want  string
		}{
			{"work without an effect", pure, "run.started "},
			{"an effect begins", effect, "task.started rook/switch"},
			{"work meanwhile", pure, "task.started rook/switch"},
			{"it is tried again", retrying, "task.retrying rook/switch"},
			{"and begins", effect, "task.started rook/switch"},
			{"and ends", ended, "task.finished rook/switch"},
			{"one that never began ends", blocked, "task.finished rook/switch"},
		} {
			run.Event(step.event)
			if got := last(); got != step.want {
				t.Errorf("%s: the record ends with %q, want %q", step.what, got, step.want)
			}
		}
		time.Sleep(200 * time.Millisecond)
		synctest.Wait()
		if got := last(); got != "task.finished wren/switch" {
			t.Errorf("a moment later: the record ends with %q", got)
		}
	})
}

// The plan is whole on disk when an event says that it is ready, or no event does.
func TestRecordWithoutRoomForThePlan(t *testing.T) {
	s := open(t)
	run, err := s.NewRun(time.Now())
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(s.PlanPath(run.ID), 0o700); err != nil { // nothing can take its place
		t.Fatal(err)
	}
	for _, e := range events() {
		run.Event(e)
	}
	if err := run.Close(); err == nil || strings.Count(err.Error(), "record the run in "+run.Dir) != 1 {
		t.Errorf("want one error that names the folder, got %v", err)
	}
	if got := modes(t, run.Dir); got != ". events.jsonl logs plan.json" {
		t.Errorf("the record is %s: something was left behind", got)
	}
}

// A record that cannot be written is told once, at the end: the run goes on.
func TestRecordThatCannotBeWritten(t *testing.T) {
	full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	if err != nil {
		t.Skip("needs /dev/full")
	}
	run := &Run{ID: "r", Dir: t.TempDir(), file: full, events: graph.NewEventWriter(full), begun: map[string]bool{}}
	for _, e := range events() {
		run.Event(e)
	}
	err = run.Close()
	if err == nil || strings.Count(err.Error(), "record the run in "+run.Dir) != 1 {
		t.Errorf("want one error that names the folder, got %v", err)
	}
}

func TestNewRunWithoutItsFolder(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := (&State{Dir: file}).NewRun(time.Now()); err == nil || !strings.Contains(err.Error(), file) {
		t.Errorf("want an error that names the folder, got %v", err)
	}
}

func TestCutOff(t *testing.T) {
	var lines []string
	for _, e := range events() {
		line, err := json.Marshal(e)
		if err != nil {
			t.Fatal(err)
		}
		lines = append(lines, string(line)+"\n")
	}
	all := strings.Join(lines, "")
	last := lines[len(lines)-1]
	long := strings.Repeat(lines[2], 2000) // longer than what CutOff reads
	tests := []struct {
		name, record string
		cut          bool
	}{
		{"finished", all, false},
		{"finished after much", long + last, false},
		{"cut", strings.Join(lines[:6], ""), true},
		{"cut after much", all + long, true},
		{"the kind stands in a task's result only", strings.Join(lines[:5], ""), true},
		{"empty", "", true},
		{"torn last line", all[:len(all)-5], true},
		{"all but the last newline", all[:len(all)-1], false},
		{"zeros where the power went", strings.Join(lines[:6], "") + strings.Repeat("\x00", 300), true},
		{"damaged", "\xff{{{\n", true},
		{"damaged, then finished", "\xff{{{\n" + last, false},
		{"one line of the end only", last, false},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			s := open(t)
			old, err := s.NewRun(time.Now().Add(-time.Hour)) // cut off, and no longer of interest
			if err != nil {
				t.Fatal(err)
			}
			old.Close()
			run, err := s.NewRun(time.Now())
			if err != nil {
				t.Fatal(err)
			}
			run.Close()
			if err := os.WriteFile(s.EventsPath(run.ID), []byte(test.record), 0o600); err != nil {
				t.Fatal(err)
			}
			want := ""
			if test.cut {
				want = run.ID
			}
			if got, err := s.CutOff(); got != want || err != nil {
				t.Errorf("CutOff is %q, %v; want %q", got, err, want)
			}
		})
	}
	t.Run("no record at all", func(t *testing.T) {
		s := open(t)
		run, err := s.NewRun(time.Now())
		if err != nil {
			t.Fatal(err)
		}
		run.Close()
		if err := os.Remove(s.EventsPath(run.ID)); err != nil {
			t.Fatal(err)
		}
		if got, err := s.CutOff(); got != run.ID || err != nil {
			t.Errorf("CutOff is %q, %v; want %q", got, err, run.ID)
		}
	})
}
