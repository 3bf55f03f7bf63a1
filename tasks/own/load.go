package own

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"

	"roost/hosts"
	"roost/internal/tomldoc"
)

// FileName is where a fleet declares its tasks.
const FileName = "tasks.toml"

// Load reads the tasks.toml of a fleet. It returns either tasks in which every
// rule holds, or a *hosts.InvalidError with every problem of the file. It reads
// files only: no host is asked, no program is started.
func Load(fleet *hosts.Fleet) (*Tasks, error) {
	data, err := os.ReadFile(filepath.Join(fleet.Dir, FileName))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, invalid(hosts.Problem{Message: fmt.Sprintf("is not in the fleet folder %s; create it, with [task.NAME] and run = [...] in it: see docs/tasks.md", fleet.Dir)})
	}
	if err != nil {
		return nil, invalid(hosts.Problem{Message: "cannot be read: " + reason(err)})
	}
	return read(fleet, data)
}

func invalid(problems ...hosts.Problem) error {
	for i := range problems {
		problems[i].File = FileName
	}
	return &hosts.InvalidError{Problems: problems}
}

// reason is an error of the file system without its path.
func reason(err error) string {
	if at, ok := errors.AsType[*fs.PathError](err); ok {
		err = at.Err
	}
	return err.Error()
}

// reader is a tasks.toml while it is read.
type reader struct {
	*tomldoc.Document
	*Tasks
	file   File
	root   *os.Root             // the fleet folder: no path, and no symlink, leads out of it
	makers map[string]*instance // by the file they make
	made   []string             // those files, sorted

	matched map[string]*matched // by path or pattern
}

func read(fleet *hosts.Fleet, data []byte) (*Tasks, error) {
	root, err := os.OpenRoot(fleet.Dir)
	if err != nil {
		return nil, invalid(hosts.Problem{Message: "the fleet folder: " + reason(err)})
	}
	defer root.Close()
	r := &reader{
		Document: tomldoc.Parse(data, tomldoc.AsGo), Tasks: &Tasks{fleet: fleet, of: map[string][]*instance{}}, root: root,
		makers: map[string]*instance{}, matched: map[string]*matched{},
	}
	if r.Values != nil || len(r.Problems()) == 0 {
		r.Decode(&r.file)
		r.check()
	}
	if found := r.Problems(); len(found) > 0 {
		problems := make([]hosts.Problem, len(found))
		for i, p := range found {
			problems[i] = hosts.Problem{Line: p.Line, Column: p.Column, Message: p.Message}
		}
		return nil, invalid(problems...)
	}
	return r.Tasks, nil
}

// check applies every rule that the types alone do not give: first task by task,
// then host by host, then among tasks.
func (r *reader) check() {
	r.names = slices.Sorted(maps.Keys(r.file.Task))
	if len(r.names) == 0 {
		if r.Root.At("task") == nil && len(r.Problems()) == 0 {
			r.Report(0, "there is no task here: add [task.NAME] and run = [...]")
		}
		return
	}
	for _, name := range r.names {
		task := r.file.Task[name]
		if at := r.place(name); !r.Told(at.Value) { // else it is no table
			r.rules(name, &task, at)
			r.instances(name, &task, at)
		}
	}
	for _, in := range r.all() {
		r.outputs(in)
	}
	r.made = slices.Sorted(maps.Keys(r.makers))
	for _, in := range r.all() {
		r.reading(in)
		r.needing(in)
	}
	for _, name := range r.names { // what is on no host, as far as that goes
		if place := r.place(name, "needs"); place != nil && len(r.of[name]) == 0 {
			r.needing(&instance{Task: r.file.Task[name], label: name})
		}
	}
	r.cycles()
}

// place is where a task, or a key of it, is written.
func (r *reader) place(keys ...string) *tomldoc.Node {
	return r.Root.At(append([]string{"task"}, keys...)...)
}

// all are the tasks on every host, in the order of their names in the file.
func (t *Tasks) all() []*instance {
	var all []*instance
	for _, name := range t.names {
		all = append(all, t.of[name]...)
	}
	return all
}

// report tells the first problem of a place: many hosts may have the same.
func (r *reader) report(at int, format string, args ...any) {
	if !r.Told(at) {
		r.Report(at, format, args...)
	}
}

// instances makes the task's instances: one a host, or one of the fleet.
func (r *reader) instances(name string, task *Task, at *tomldoc.Node) {
	on := []*hosts.Host{nil}
	if at.At("on") != nil {
		if task.On == "" {
			return // told
		}
		var err error
		if on, err = r.fleet.Select(task.On); err != nil {
			r.report(at.At("on").Value, "on: %s", selectorProblem(err))
			return
		}
	}
	for _, host := range on {
		in := &instance{Task: *task, label: name, name: fleetGroup + "/" + name, host: host}
		if host != nil {
			in.name = host.Name + "/" + name
		}
		r.expand(in, at)
		r.of[name] = append(r.of[name], in)
	}
}

// selectorProblem is a selector's problem without the picture of where it is.
func selectorProblem(err error) string {
	if wrong, ok := errors.AsType[*hosts.SelectorError](err); ok {
		return wrong.Message
	}
	if empty, ok := errors.AsType[*hosts.EmptySelectionError](err); ok {
		return fmt.Sprintf("%q selects no host of this fleet", empty.Part)
	}
	return err.Error()
}

// expand puts what the host has into every text of the task that may name it.
func (r *reader) expand(in *instance, at *tomldoc.Node) {
	text := func(s string, at *tomldoc.Node) string {
		expanded, err := expand(s, in.host)
		if err != nil {
			r.report(at.Value, "%v", err)
		}
		return expanded
	}
	list := func(key string, texts []string) []string {
		texts = slices.Clone(texts)
		for i := range texts {
			texts[i] = text(texts[i], at.At(key).Items[i])
		}
		return texts
	}
	in.Run, in.Check = list("run", in.Run), list("check", in.Check)
	in.Inputs, in.Outputs = list("inputs", in.Inputs), list("outputs", in.Outputs)
	in.Stdin, in.Dir, in.Lane = text(in.Stdin, at.At("stdin")), text(in.Dir, at.At("dir")), text(in.Lane, at.At("lane"))
	in.Env = maps.Clone(in.Env)
	for name, value := range in.Env {
		in.Env[name] = text(value, at.At("env", name))
	}
}
