// Package report tells what a run did, from its events alone: a table for the
// terminal, and one HTML file to keep or to send.
//
//	run := report.New()
//	for event := range events {
//		run.Add(event)
//	}
//	report.Summary(os.Stdout, run, report.Options{Width: 80})
//	report.HTML(file, run)
//
// Load makes the same Run from the events of an earlier run. What an event
// leaves out is left out of the report: nothing is guessed.
package report

import (
	"encoding/json"
	"strings"
	"time"

	"roost/graph"
)

// FleetGroup is the group of the tasks which concern no single host.
const FleetGroup = "fleet"

// tailLines is how many lines of its log a Task remembers.
const tailLines = 20

// Run is the model of one run. It is not safe for concurrent use.
type Run struct {
	Info    graph.RunInfo
	Started time.Time
	Seconds float64 // how long it took; so far, until it is finished
	Done    bool    // run.finished was seen
	Plan    *graph.Plan
	Groups  []*Group // in the order of the plan
	Torn    int      // lines at the end of a loaded file that are no event

	tasks  map[string]*Task
	groups map[string]*Group
}

// Group is the tasks of one host, or of the fleet.
type Group struct {
	Name  string
	Tasks []*Task // in the order of the plan

	own bool // of a run of the fleet's own tasks: there is no system to tell of
}

// IsHost says that the group is a host.
func (g *Group) IsHost() bool { return g.Name != FleetGroup }

// Task is one task and what is known of it so far.
type Task struct {
	Name, Group, Step string // "malphas/eval", "malphas", "eval"

	Kind     graph.Kind
	Decision graph.Decision // empty until it is decided
	Status   graph.Status   // empty until it ended
	Reason   string
	Cause    string // the task that is to blame
	Needs    []string
	Started  time.Time // zero when it never worked
	Ended    time.Time
	Seconds  float64 // how long it worked
	Error    string
	Log      []string // the last lines of its log, safe to print
	Result   json.RawMessage
}

// Running says that the task has begun and not ended.
func (t *Task) Running() bool { return !t.Started.IsZero() && t.Status == "" }

// End is how the task ended. A record that ends early may have the decision
// alone: then that says it, when nothing but this end can follow from it.
func (t *Task) End() graph.Status {
	if t.Status != "" {
		return t.Status
	}
	return endOf[t.Decision]
}

var endOf = map[graph.Decision]graph.Status{
	graph.DecideCached:    graph.StatusCached,
	graph.DecideSatisfied: graph.StatusSatisfied,
	graph.DecideFailed:    graph.StatusFailed,
	graph.DecideBlocked:   graph.StatusBlocked,
	graph.DecideDeferred:  graph.StatusDeferred,
	graph.DecideRefused:   graph.StatusRefused,
	graph.DecideUnneeded:  graph.StatusUnneeded,
}

// Why is the task's error, or else its reason.
func (t *Task) Why() string {
	if t.Error != "" {
		return t.Error
	}
	return t.Reason
}

// New returns the model of a run of which nothing is known yet.
func New() *Run {
	return &Run{tasks: map[string]*Task{}, groups: map[string]*Group{}}
}

// Task returns a task by its name, or nil.
func (r *Run) Task(name string) *Task { return r.tasks[name] }

// own says that the run was of the fleet's own tasks, and not an update.
func (r *Run) own() bool { return r.Info.Verb != "" && r.Info.Verb != "update:all" }

// Tasks returns all tasks, group by group.
func (r *Run) Tasks() []*Task {
	all := make([]*Task, 0, len(r.tasks))
	for _, g := range r.Groups {
		all = append(all, g.Tasks...)
	}
	return all
}

// Add takes the next event into the model.
func (r *Run) Add(e graph.Event) {
	if r.Started.IsZero() {
		r.Started = e.Time
	}
	if s := e.Time.Sub(r.Started).Seconds(); s > r.Seconds && !r.Done {
		r.Seconds = s
	}
	switch e.Kind {
	case graph.RunStarted:
		if e.Run != nil {
			r.Info = *e.Run
		}
	case graph.PlanReady:
		if e.Plan != nil {
			r.setPlan(e.Plan)
		}
	case graph.RunFinished:
		r.Done = true
		if e.Seconds > 0 {
			r.Seconds = e.Seconds
		}
	case graph.TaskDecided, graph.TaskStarted, graph.TaskLog, graph.TaskFinished:
		if e.Task != "" {
			r.task(e.Task).add(e)
		}
	}
}

// add takes an event of the task into it.
func (t *Task) add(e graph.Event) {
	if e.TaskKind != "" {
		t.Kind = e.TaskKind
	}
	switch e.Kind {
	case graph.TaskDecided:
		t.Decision, t.Reason, t.Cause = e.Decision, Clean(e.Reason), e.Cause
	case graph.TaskStarted:
		t.Started = e.Time
	case graph.TaskLog:
		t.Log = append(t.Log, Clean(e.Text))
		if len(t.Log) > tailLines {
			t.Log = t.Log[len(t.Log)-tailLines:]
		}
	case graph.TaskFinished:
		t.Status, t.Ended, t.Seconds = e.Status, e.Time, e.Seconds
		t.Error, t.Result = cleanLines(e.Error), e.Result
		if e.Reason != "" {
			t.Reason = Clean(e.Reason)
		}
		if e.Cause != "" {
			t.Cause = e.Cause
		}
		if len(e.Tail) > 0 {
			t.Log = nil
			for _, line := range e.Tail {
				t.Log = append(t.Log, Clean(line))
			}
		}
	}
}

// setPlan takes over the plan's decisions, and its order.
func (r *Run) setPlan(p *graph.Plan) {
	r.Plan = p
	seen := r.Tasks()
	planned := make(map[string]bool, len(p.Tasks))
	order := make([]*Task, 0, len(p.Tasks))
	for _, in := range p.Tasks {
		if in.Task == "" || planned[in.Task] {
			continue
		}
		planned[in.Task] = true
		t := r.task(in.Task)
		t.Kind, t.Needs = in.Kind, in.Needs
		t.Decision, t.Reason, t.Cause = in.Decision, Clean(in.Reason), in.Cause
		order = append(order, t)
	}
	for _, t := range seen {
		if !planned[t.Name] {
			order = append(order, t)
		}
	}
	r.Groups, r.groups = nil, map[string]*Group{}
	for _, t := range order {
		r.place(t)
	}
}

// task returns the task of this name, made when it is new.
func (r *Run) task(name string) *Task {
	if t := r.tasks[name]; t != nil {
		return t
	}
	t := &Task{Name: name}
	t.Group, t.Step, _ = strings.Cut(name, "/")
	r.tasks[name] = t
	r.place(t)
	return t
}

// place puts the task at the end of its group.
func (r *Run) place(t *Task) {
	g := r.groups[t.Group]
	if g == nil {
		g = &Group{Name: t.Group, own: r.own()}
		r.groups[t.Group] = g
		r.Groups = append(r.Groups, g)
	}
	g.Tasks = append(g.Tasks, t)
}
