package report

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"roost/graph"
)

// bigRecord writes the record of a run of so many tasks, a failed one among them.
func bigRecord(tb testing.TB, tasks int) (path, failed, blocked string) {
	tb.Helper()
	path = filepath.Join(tb.TempDir(), "events.jsonl")
	events, err := os.Create(path)
	if err != nil {
		tb.Fatal(err)
	}
	defer events.Close()
	w, now := graph.NewEventWriter(events), time.Date(2026, 3, 14, 9, 26, 53, 123456789, time.UTC)
	seq := 0
	send := func(e graph.Event) {
		seq++
		e.Version, e.Seq, e.Time = graph.EventVersion, seq, now.Add(time.Duration(seq)*time.Microsecond)
		w.Write(&e)
	}
	name := func(i int) string { return fmt.Sprintf("host%05d/step%d", i/8, i%8) }
	failed, blocked = name(tasks-2), name(tasks-1)
	plan := &graph.Plan{Version: graph.PlanVersion}
	send(graph.Event{Kind: graph.RunStarted, Run: &graph.RunInfo{ID: "big", Verb: "update:all", Tasks: tasks}})
	for i := range tasks {
		t := graph.Planned{Task: name(i), Kind: graph.KindPure, Decision: graph.DecideRun, Reason: "the result of " + name(i-i%8) + " changed", Expect: 0.25}
		t.Key = fmt.Sprintf("%064d", i)
		for k := range i % 8 {
			t.Needs = append(t.Needs, name(i-i%8+k))
		}
		plan.Tasks = append(plan.Tasks, t)
		send(graph.Event{Kind: graph.TaskDecided, Task: t.Task, TaskKind: t.Kind, Decision: t.Decision, Reason: t.Reason})
	}
	send(graph.Event{Kind: graph.PlanReady})
	for _, t := range plan.Tasks {
		send(graph.Event{Kind: graph.TaskStarted, Task: t.Task, TaskKind: t.Kind, Attempt: 1})
		end := graph.Event{Kind: graph.TaskFinished, Task: t.Task, TaskKind: t.Kind, Status: graph.StatusRan, Reason: t.Reason, Seconds: 0.125, Result: []byte(`{"out":"/nix/store/f0l0ggb76whr31w2rsfrq8sm7r2vwm67-nixos-system-heron-26.05.lab"}`)}
		switch t.Task {
		case failed:
			end.Status, end.Result, end.Error = graph.StatusFailed, nil, "no space left on device"
		case blocked:
			end.Status, end.Result, end.Cause = graph.StatusBlocked, nil, failed
		}
		send(end)
	}
	send(graph.Event{Kind: graph.RunFinished, Seconds: 12})
	if err := w.Close(); err != nil {
		tb.Fatal(err)
	}
	file, err := os.Create(planPath(path))
	if err != nil {
		tb.Fatal(err)
	}
	defer file.Close()
	if err := plan.WriteLines(file); err != nil {
		tb.Fatal(err)
	}
	return path, failed, blocked
}

func BenchmarkFind(b *testing.B) {
	path, _, blocked := bigRecord(b, 100_000)
	for b.Loop() {
		r, err := OpenRecord(path)
		if err != nil {
			b.Fatal(err)
		}
		run, err := r.Find(blocked)
		r.Close()
		if err != nil || run.Task(blocked).Status != graph.StatusBlocked {
			b.Fatal(err)
		}
	}
}

func BenchmarkUsers(b *testing.B) {
	path, failed, _ := bigRecord(b, 100_000)
	for b.Loop() {
		r, err := OpenRecord(path)
		if err != nil {
			b.Fatal(err)
		}
		users, err := r.Users(failed)
		r.Close()
		if err != nil || len(users) != 1 {
			b.Fatal(users, err)
		}
	}
}

func BenchmarkLoad(b *testing.B) {
	path, _, _ := bigRecord(b, 100_000)
	for b.Loop() {
		if _, err := Load(path); err != nil {
			b.Fatal(err)
		}
	}
}
