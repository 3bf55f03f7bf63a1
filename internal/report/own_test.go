package report

import "roost/graph"

// own is a run of the fleet's own tasks: files made, effects applied, satisfied,
// failed and blocked by that.
func own() *story {
	s := newStory(false, 6)
	s.events[0].Run.Verb = "run"
	end := func(task string, kind graph.Kind, status graph.Status, seconds float64) {
		if seconds > 0 {
			s.at(1, graph.Event{Kind: graph.TaskStarted, Task: task, TaskKind: kind})
		}
		s.end(1+seconds, graph.Event{Task: task, TaskKind: kind, Status: status, Seconds: seconds}, nil)
	}
	end("fleet/site", graph.KindPure, graph.StatusRan, 2)
	end("fleet/count", graph.KindPure, graph.StatusCached, 0)
	end("heron/motd", graph.KindEffect, graph.StatusSatisfied, 0)
	end("malphas/motd", graph.KindEffect, graph.StatusRan, 1.5)
	end("malphas/restart", graph.KindEffect, graph.StatusRan, 1)
	s.at(1, graph.Event{Kind: graph.TaskStarted, Task: "rook/motd", TaskKind: graph.KindEffect})
	s.end(2, graph.Event{Task: "rook/motd", TaskKind: graph.KindEffect, Status: graph.StatusFailed, Error: "tee /etc/motd: exit code 1", Seconds: 1,
		Tail: []string{"tee: /etc/motd: Read-only file system"}}, nil)
	return s
}
