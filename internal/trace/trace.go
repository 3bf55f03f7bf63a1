// Package trace turns the record of a run into the JSON that Perfetto
// (ui.perfetto.dev) and Chrome's about:tracing open.
//
//	err := trace.Write(os.Stdout, state.EventsPath(id))
//
// Each host is a process, and each thread of it a slot in which one task works
// at a time. The arrows are the critical path. Times are microseconds since the
// run began. A run that was cut off has a trace as far as its record goes.
package trace

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"time"

	"roost/graph"
	"roost/internal/report"
)

// What an attempt is called whose task had not ended with it.
const (
	notEnded = "not ended" // at work when the record ends
	retried  = "retried"
)

// event is one entry of the trace event format.
type event struct {
	Name  string         `json:"name"`
	Cat   string         `json:"cat,omitempty"`
	Phase string         `json:"ph"`
	Time  int64          `json:"ts"`
	Dur   *int64         `json:"dur,omitempty"`
	Pid   int            `json:"pid"`
	Tid   int            `json:"tid"`
	ID    int            `json:"id,omitempty"`
	Bind  string         `json:"bp,omitempty"`
	Scope string         `json:"s,omitempty"`
	Args  map[string]any `json:"args,omitempty"`
}

// slice is a time in which a task worked, or, with no length, its end without work.
type slice struct {
	task     *report.Task
	attempt  int
	from, to int64 // microseconds since the run's start
	instant  bool
	status   string
	error    string

	pid, tid int
}

// The run itself is a process, too, before those of the hosts.
const (
	runPid  = 1
	hostPid = 2
)

// Write writes the trace of the run whose events are in a file, as one JSON
// object on one line. Equal records give equal traces.
func Write(w io.Writer, path string) error {
	run, times := report.New(), &times{planned: -1, open: map[string]*slice{}, told: map[string]bool{}}
	err := report.Events(path, func(e graph.Event) error {
		run.Add(e)
		times.add(e, run)
		return nil
	}, func() { run.Torn++ })
	if err != nil {
		return err
	}
	times.end(run)
	events := slices.Concat(times.ofRun(run), place(times.slices, run))
	for _, s := range times.slices {
		events = append(events, s.event())
	}
	events = append(events, arrows(times.slices, run)...)
	about := map[string]any{"run": run.Info.ID, "verb": run.Info.Verb, "args": append([]string{}, run.Info.Args...)}
	if run.Torn > 0 {
		about["torn"] = run.Torn // lines at the end of the record which could not be read
	}
	return json.NewEncoder(w).Encode(map[string]any{"displayTimeUnit": "ms", "otherData": about, "traceEvents": events})
}

// times are what report.Run does not keep: when the plan was ready, and each
// attempt of a task.
type times struct {
	planned int64 // -1: never
	slices  []*slice

	open map[string]*slice // attempts that have not ended
	told map[string]bool   // tasks that have
}

// add takes an event that the run has taken already.
func (t *times) add(e graph.Event, run *report.Run) {
	since := func(at time.Time) int64 { return max(at.Sub(run.Started).Microseconds(), 0) }
	now, s := since(e.Time), t.open[e.Task]
	if e.Kind == graph.PlanReady {
		t.planned = now
	}
	task := run.Task(e.Task)
	if task == nil {
		return // it is about no task
	}
	switch e.Kind {
	case graph.TaskStarted:
		if s != nil { // the event between the attempts is missing
			s.to, s.status = max(now, s.from), retried
		}
		t.open[e.Task] = &slice{task: task, from: now, attempt: max(e.Attempt, 1)}
		t.slices = append(t.slices, t.open[e.Task])
	case graph.TaskRetrying:
		if s != nil {
			s.to, s.status, s.error = max(now, s.from), retried, e.Error
			delete(t.open, e.Task)
		}
	case graph.TaskFinished:
		if s == nil && !t.told[e.Task] {
			length := int64(max(e.Seconds, 0) * 1e6)
			s = &slice{task: task, from: max(now-length, 0), instant: length == 0}
			t.slices = append(t.slices, s)
		}
		if s != nil { // else it is told again, with a graver cause
			s.to = max(now, s.from)
			delete(t.open, e.Task)
		}
		t.told[e.Task] = true
	}
}

// end ends what is at work when the record ends.
func (t *times) end(run *report.Run) {
	for _, s := range t.open {
		s.to, s.status = max(int64(run.Seconds*1e6), s.from), notEnded
	}
}

// ofRun are the events of the run as a whole.
func (t *times) ofRun(run *report.Run) []event {
	length := int64(run.Seconds * 1e6)
	args := map[string]any{"tasks": run.Info.Tasks, "finished": run.Done}
	events := []event{
		{Name: "process_name", Phase: "M", Pid: runPid, Args: map[string]any{"name": "roost"}},
		{Name: cmp.Or(run.Info.Verb, "run"), Cat: "run", Phase: "X", Dur: &length, Pid: runPid, Tid: 1, Args: args},
	}
	if t.planned >= 0 {
		events = append(events, event{Name: string(graph.PlanReady), Cat: "run", Phase: "i", Time: t.planned, Pid: runPid, Tid: 1, Scope: "g"})
	}
	return events
}

// place sorts the slices by time and gives each the first thread of its host
// that is free. It returns the names of processes and threads.
func place(all []*slice, run *report.Run) []event {
	slices.SortFunc(all, func(a, b *slice) int {
		return cmp.Or(cmp.Compare(a.from, b.from), cmp.Compare(a.to, b.to), cmp.Compare(a.task.Name, b.task.Name), cmp.Compare(a.attempt, b.attempt))
	})
	var names []event
	pids := map[string]int{}
	for i, g := range run.Groups {
		pids[g.Name] = hostPid + i
		names = append(names, event{Name: "process_name", Phase: "M", Pid: hostPid + i, Args: map[string]any{"name": g.Name}},
			event{Name: "process_sort_index", Phase: "M", Pid: hostPid + i, Args: map[string]any{"sort_index": hostPid + i}})
	}
	free := map[int][]int64{} // when each thread of a process is free again
	for _, s := range all {
		s.pid = pids[s.task.Group]
		slot := slices.IndexFunc(free[s.pid], func(at int64) bool { return at <= s.from || s.instant })
		if slot < 0 {
			slot = len(free[s.pid])
			free[s.pid] = append(free[s.pid], 0)
			names = append(names, event{Name: "thread_name", Phase: "M", Pid: s.pid, Tid: slot + 1, Args: map[string]any{"name": fmt.Sprintf("slot %d", slot+1)}})
		}
		if !s.instant {
			free[s.pid][slot] = s.to
		}
		s.tid = slot + 1
	}
	return names
}

// event is the slice as the format has it.
func (s *slice) event() event {
	t := s.task
	args := map[string]any{"task": t.Name}
	status, failed := s.status, s.error
	if status == "" {
		status, failed = string(t.End()), t.Error
	}
	for name, value := range map[string]string{
		"decision": string(t.Decision), "reason": t.Reason, "cause": t.Cause, "status": status, "error": failed,
	} {
		if value != "" {
			args[name] = value
		}
	}
	if s.attempt > 1 || s.status == retried {
		args["attempt"] = s.attempt
	}
	e := event{Name: t.Step, Cat: string(t.Kind), Time: s.from, Pid: s.pid, Tid: s.tid, Args: args}
	if s.instant {
		e.Phase, e.Scope = "i", "t"
	} else {
		length := s.to - s.from
		e.Phase, e.Dur = "X", &length
	}
	return e
}

// arrows lead along the critical path: from the end of a task's last attempt to
// the beginning of the next task's first.
func arrows(all []*slice, run *report.Run) []event {
	first, last := map[*report.Task]*slice{}, map[*report.Task]*slice{}
	for _, s := range all {
		if s.instant {
			continue
		}
		if first[s.task] == nil {
			first[s.task] = s
		}
		last[s.task] = s
	}
	path, _ := run.CriticalPath()
	var events []event
	for i := 1; i < len(path); i++ {
		from, to := last[path[i-1]], first[path[i]]
		if from == nil || to == nil {
			continue
		}
		arrow := event{Name: "critical path", Cat: "critical", ID: i}
		begin, end := arrow, arrow
		// An arrow belongs to the slice that is open at its time: the end itself is outside.
		begin.Phase, begin.Time, begin.Pid, begin.Tid = "s", max(from.to-1, from.from), from.pid, from.tid
		end.Phase, end.Bind, end.Time, end.Pid, end.Tid = "f", "e", to.from, to.pid, to.tid
		events = append(events, begin, end)
	}
	return events
}
