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
	"os"
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
	run, err := report.Load(path)
	if err != nil {
		return err
	}
	times, err := read(path, run)
	if err != nil {
		return err
	}
	events := slices.Concat(times.ofRun(run), place(times.slices, run))
	for _, s := range times.slices {
		events = append(events, s.event())
	}
	events = append(events, arrows(times.slices, run)...)
	return json.NewEncoder(w).Encode(map[string]any{
		"displayTimeUnit": "ms",
		"otherData":       map[string]any{"run": run.Info.ID, "verb": run.Info.Verb, "args": append([]string{}, run.Info.Args...)},
		"traceEvents":     events,
	})
}

// times are what report.Run does not keep: when the plan was ready, and each
// attempt of a task.
type times struct {
	planned int64 // -1: never
	slices  []*slice
}

// read reads the events again. report.Load has read them already, so what is
// no event can only be the torn end.
func read(path string, run *report.Run) (*times, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("read the events of a run: %w", err)
	}
	defer f.Close()
	since := func(at time.Time) int64 { return max(at.Sub(run.Started).Microseconds(), 0) }
	t := &times{planned: -1}
	open, told := map[string]*slice{}, map[string]bool{}
	for events := json.NewDecoder(f); ; {
		var e graph.Event
		if events.Decode(&e) != nil {
			break
		}
		now := since(e.Time)
		switch e.Kind {
		case graph.PlanReady:
			t.planned = now
		case graph.TaskStarted:
			if s := open[e.Task]; s != nil { // the event between the attempts is missing
				s.to, s.status = max(now, s.from), retried
			}
			open[e.Task] = &slice{task: run.Task(e.Task), from: now, attempt: max(e.Attempt, 1)}
			t.slices = append(t.slices, open[e.Task])
		case graph.TaskRetrying:
			if s := open[e.Task]; s != nil {
				s.to, s.status, s.error = max(now, s.from), retried, e.Error
				delete(open, e.Task)
			}
		case graph.TaskFinished:
			s := open[e.Task]
			if s == nil && !told[e.Task] {
				length := int64(max(e.Seconds, 0) * 1e6)
				s = &slice{task: run.Task(e.Task), from: max(now-length, 0), instant: length == 0}
				t.slices = append(t.slices, s)
			}
			if s != nil { // else it is told again, with a graver cause
				s.to = max(now, s.from)
				delete(open, e.Task)
			}
			told[e.Task] = true
		}
	}
	for _, s := range open {
		s.to, s.status = max(int64(run.Seconds*1e6), s.from), notEnded
	}
	t.slices = slices.DeleteFunc(t.slices, func(s *slice) bool { return s.task == nil }) // an event without a name
	return t, nil
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
