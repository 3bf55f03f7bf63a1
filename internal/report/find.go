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

// Find is Load for some tasks alone: of any other line it reads no more than
// whose it is. Tasks that the record does not know are not in the Run. Damage in
// what it need not read is not noticed.
//
//	run, err := report.Find(state.EventsPath(id), "malphas/activate")
//	task := run.Task("malphas/activate") // as Load has it; nil: not in the record
func Find(path string, tasks ...string) (*Run, error) {
	wanted := among(tasks)
	plan, err := planned(planPath(path), func(task, _ []byte) bool { return wanted(task) })
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	data, unmap, err := mapFile(path)
	if err != nil {
		return nil, err
	}
	defer unmap()
	run := New()
	for _, line := range scan(data, func(line []byte) bool {
		task, ok := eventTask(line)
		return !ok || wanted(task)
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
			return nil, fmt.Errorf("%s:%d: %w", path, 1+bytes.Count(before, []byte{'\n'}), err)
		}
		if e.Kind == graph.PlanReady && e.Plan == nil {
			e.Plan = plan
		}
		if err := addPlan(path, &e); err != nil { // it is not there, and should be
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

// FindUsers names the tasks which need this one, in the order of the plan.
func FindUsers(path, task string) ([]string, error) {
	name, err := json.Marshal(task)
	if err != nil {
		return nil, err
	}
	plan, err := planned(planPath(path), func(_, line []byte) bool { return bytes.Contains(line, name) })
	if errors.Is(err, fs.ErrNotExist) { // then it is in the events
		var run *Run
		if run, err = Load(path); err == nil {
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

// planned reads the tasks that keep wants, and maybe more, of the plan of a run.
func planned(path string, keep func(task, line []byte) bool) (*graph.Plan, error) {
	var plan graph.Plan
	tasks, ok, err := FindPlanned(path, &plan, keep)
	if err != nil {
		return nil, err
	}
	if !ok || plan.Version != graph.PlanVersion {
		return graph.ReadPlan(path) // and its error, if it is no plan
	}
	plan.Tasks = tasks
	return &plan, nil
}

// FindPlanned reads some tasks of a JSON document with a plan that has a task a
// line, as graph.Plan's WriteLines makes it. Keep gets the name of a task, as JSON
// has it between the quotes, and its line, several at a time; where the name is
// not to be had without reading the line, the task is returned in any case. What
// is around the tasks goes into the value that into points to. Ok is false if the
// document has another form: then it must be read whole.
func FindPlanned(path string, into any, keep func(task, line []byte) bool) (found []graph.Planned, ok bool, err error) {
	data, unmap, err := mapFile(path)
	if err != nil {
		return nil, false, err
	}
	defer unmap()
	first, rest, _ := bytes.Cut(data, []byte{'\n'})
	tasks := bytes.TrimRight(rest, "\n")
	last := tasks[bytes.LastIndexByte(tasks, '\n')+1:]
	tasks = tasks[:len(tasks)-len(last)]
	if !bytes.HasSuffix(first, []byte{'['}) || json.Unmarshal(slices.Concat(first, last), into) != nil {
		return nil, false, nil
	}
	for _, line := range scan(tasks, func(line []byte) bool {
		task, ok := plannedTask(line)
		return !ok || keep(task, line)
	}) {
		var t graph.Planned
		if json.Unmarshal(bytes.TrimSuffix(bytes.TrimSpace(line), []byte{','}), &t) != nil {
			return nil, false, nil
		}
		found = append(found, t)
	}
	return found, true, nil
}

// among asks whether a name, as JSON has it between the quotes, is one of the
// tasks. One alone, as most often, is not looked up but compared.
func among(tasks []string) func(name []byte) bool {
	set := map[string]bool{}
	only := ""
	for _, task := range tasks {
		if text, err := json.Marshal(task); err == nil {
			only = string(text[1 : len(text)-1])
			set[only] = true
		}
	}
	if len(set) == 1 {
		return func(name []byte) bool { return string(name) == only }
	}
	return func(name []byte) bool { return set[string(name)] }
}
