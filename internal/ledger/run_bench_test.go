package ledger

import (
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"roost/graph"
)

// What the record of a run of 10,000 pure tasks costs, for each event: three a
// task, and the plan.
func BenchmarkRecord(b *testing.B) {
	const tasks = 10_000
	plan := &graph.Plan{Version: graph.PlanVersion}
	var events []graph.Event
	for i := range tasks {
		p := graph.Planned{
			Task: fmt.Sprintf("host%05d/step%d", i/8, i%8), Kind: graph.KindPure, Decision: graph.DecideRun,
			Reason: "hosts/malphas/default.nix changed", Key: fmt.Sprintf("%064d", i), Needs: []string{"fleet/lock"}, Expect: 0.25,
		}
		plan.Tasks = append(plan.Tasks, p)
		events = append(events, graph.Event{Kind: graph.TaskDecided, Task: p.Task, TaskKind: p.Kind, Decision: p.Decision, Reason: p.Reason})
	}
	events = append(events, graph.Event{Kind: graph.PlanReady, Plan: plan})
	for _, p := range plan.Tasks {
		events = append(events, graph.Event{Kind: graph.TaskStarted, Task: p.Task, TaskKind: p.Kind, Attempt: 1},
			graph.Event{Kind: graph.TaskFinished, Task: p.Task, TaskKind: p.Kind, Status: graph.StatusRan, Reason: p.Reason, Seconds: 0.123456789,
				Result: json.RawMessage(`{"out":"/nix/store/f0l0ggb76whr31w2rsfrq8sm7r2vwm67-nixos-system-heron-26.05.lab"}`)})
	}
	s := &State{Dir: b.TempDir()}
	b.ReportAllocs()
	for b.Loop() {
		run, err := s.NewRun(time.Now())
		if err != nil {
			b.Fatal(err)
		}
		for i := range events {
			events[i].Version, events[i].Seq, events[i].Time = graph.EventVersion, i+1, time.Now()
			run.Event(events[i])
		}
		if err := run.Close(); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*len(events)), "ns/event")
}
