package report

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"slices"

	"roost/graph"
)

// Record is the record of a run in which tasks are looked for: of any line that
// is not about them it reads no more than whose it is. Damage in what need not be
// read is not noticed.
//
//	record, err := report.OpenRecord(state.EventsPath(id))
//	defer record.Close()
//	run, err := record.Find("malphas/activate")
//	task := run.Task("malphas/activate") // as Load has it; nil: not in the record
type Record struct {
	path   string // of the events
	events *mapped
	plan   *mapped // nil: there is none
}

// OpenRecord opens the record whose events are in a file, with plan.json beside it.
func OpenRecord(path string) (*Record, error) {
	events, err := mapFile(path)
	if err != nil {
		return nil, err
	}
	plan, err := mapFile(planPath(path))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		events.close()
		return nil, err
	}
	return &Record{path, events, plan}, nil
}

// Close ends the use of the record. What was found in it stays good.
func (r *Record) Close() {
	r.events.close()
	r.plan.close()
}

// Find is Load for some tasks alone. Those that the record does not know are not
// in the Run.
func (r *Record) Find(tasks ...string) (*Run, error) {
	wanted := among(tasks)
	plan, err := r.planned(func(name, _ []byte) bool { return wanted(name) })
	if err != nil {
		return nil, err
	}
	run := New()
	data := r.events.data
	for _, line := range scan(data, func(line []byte) bool {
		name, ok := eventTask(line)
		return !ok || wanted(name)
	}) {
		if len(bytes.TrimSpace(line)) == 0 {
			continue
		}
		e, err := readEvent(line)
		if err != nil {
			before := data[:cap(data)-cap(line)] // the line is a part of data
			if len(before)+len(line) == len(data) && !errors.As(err, new(versionError)) {
				run.Torn++
				break
			}
			return nil, fmt.Errorf("%s:%d: %w", r.path, 1+bytes.Count(before, []byte{'\n'}), err)
		}
		if e.Kind == graph.PlanReady && e.Plan == nil {
			e.Plan = plan
		}
		if err := addPlan(r.path, &e); err != nil { // it is not there, and should be
			return nil, err
		}
		if e.Plan != nil {
			e.Plan.Tasks = slices.DeleteFunc(e.Plan.Tasks, func(t graph.Planned) bool { return !slices.Contains(tasks, t.Task) })
		}
		if e.Task == "" || slices.Contains(tasks, e.Task) {
			run.Add(e)
		}
	}
	return run, nil
}

// Users names the tasks which need this one, in the order of the plan.
func (r *Record) Users(task string) ([]string, error) {
	name, err := json.Marshal(task)
	if err != nil {
		return nil, err
	}
	plan, err := r.planned(func(_, line []byte) bool { return bytes.Contains(line, name) })
	if err == nil && r.plan == nil { // then it is in the events
		var run *Run
		if run, err = Load(r.path); err == nil {
			plan = run.Plan
		}
	}
	if err != nil || plan == nil {
		return nil, err
	}
	var users []string
	for _, t := range plan.Tasks {
		if slices.Contains(t.Needs, task) {
			users = append(users, t.Task)
		}
	}
	return users, nil
}

// planned reads the tasks that keep wants, and maybe more, of the plan; nil if
// there is none.
func (r *Record) planned(keep func(name, line []byte) bool) (*graph.Plan, error) {
	if r.plan == nil {
		return nil, nil
	}
	var plan graph.Plan
	tasks, ok := findPlanned(r.plan.data, &plan, keep)
	if !ok || plan.Version != graph.PlanVersion {
		return graph.ReadPlan(planPath(r.path)) // and its error, if it is no plan
	}
	plan.Tasks = tasks
	return &plan, nil
}

// FindPlanned reads one task of a JSON file with a plan that has a task a line, as
// graph.Plan's WriteLines makes it; nil if it is not found. What is around the
// tasks goes into the value that into points to. Ok is false if the file has
// another form: then it must be read whole.
func FindPlanned(path string, into any, task string) (found *graph.Planned, ok bool, err error) {
	file, err := mapFile(path)
	if err != nil {
		return nil, false, err
	}
	defer file.close()
	wanted := among([]string{task})
	tasks, ok := findPlanned(file.data, into, func(name, _ []byte) bool { return wanted(name) })
	for i := range tasks {
		if tasks[i].Task == task {
			found = &tasks[i]
		}
	}
	return found, ok, nil
}

// findPlanned asks keep with the beginning of a task's name, see among, and its
// line. A line that has another form is always read.
func findPlanned(data []byte, into any, keep func(name, line []byte) bool) (found []graph.Planned, ok bool) {
	first, rest, _ := bytes.Cut(data, []byte{'\n'})
	tasks := bytes.TrimRight(rest, "\n")
	last := tasks[bytes.LastIndexByte(tasks, '\n')+1:]
	tasks = tasks[:len(tasks)-len(last)]
	if !bytes.HasSuffix(first, []byte{'['}) || json.Unmarshal(slices.Concat(first, last), into) != nil {
		return nil, false
	}
	for _, line := range scan(tasks, func(line []byte) bool {
		name, ok := plannedTask(line)
		return !ok || keep(name, line)
	}) {
		var t graph.Planned
		if json.Unmarshal(bytes.TrimSuffix(bytes.TrimSpace(line), []byte{','}), &t) != nil {
			return nil, false
		}
		found = append(found, t)
	}
	return found, true
}

// Names are the names of all tasks: of the plan in its order, else as they came.
func (r *Record) Names() []string {
	data, start := r.events.data, eventTask
	if r.plan != nil {
		data, start = r.plan.data, plannedTask
	}
	var names []string
	seen := map[string]bool{}
	for _, line := range scan(data, func(line []byte) bool { _, ok := start(line); return ok }) {
		text, _ := start(line)
		if name := nameAt(text); !seen[name] {
			seen[name] = true
			names = append(names, name)
		}
	}
	return names
}
