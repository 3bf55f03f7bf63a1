package verbs

import (
	"fmt"
	"io"
	"slices"
	"strings"

	"roost/graph"
	"roost/internal/nearest"
	"roost/internal/report"
)

// Why says why a task of the last run, or of a saved plan, was decided as it
// was: which input differs, what its check found, which task is to blame.
func Why(o Options, task, planFile string) error {
	o.fill()
	if planFile != "" {
		saved, err := readPlan(planFile)
		if err != nil {
			return exit(CodeUsage, err)
		}
		return whyPlanned(o.Stdout, saved.Plan, task)
	}
	state, err := openState(o)
	if err != nil {
		return err
	}
	ids, err := state.Runs()
	if err != nil {
		return exit(CodeFailed, err)
	}
	if len(ids) == 0 {
		return exit(CodeUsage, fmt.Errorf("no run of this fleet is recorded; `roost plan update:all -o FILE`, then `roost why %s --plan FILE`", task))
	}
	id := ids[len(ids)-1]
	run, err := report.Load(state.EventsPath(id))
	if err != nil {
		return exit(CodeFailed, err)
	}
	t := run.Task(task)
	if t == nil {
		return exit(CodeUsage, unknownTask(task, "run "+id, taskNames(run)))
	}
	cache, err := graph.OpenCache(state.Path("cache"))
	if err != nil {
		return exit(CodeFailed, err)
	}
	fmt.Fprintf(o.Stdout, "In run %s:\n", id)
	why{o.Stdout, run, cache}.tell(t)
	return nil
}

func taskNames(run *report.Run) []string {
	var names []string
	for _, t := range run.Tasks() {
		names = append(names, t.Name)
	}
	return names
}

func unknownTask(task, where string, known []string) error {
	return fmt.Errorf("no task %q in %s; %s", task, where, nearest.Hint(task, "tasks", known))
}

// whyPlanned tells of one task of a plan, and of what it waits for.
func whyPlanned(w io.Writer, plan *graph.Plan, task string) error {
	var names []string
	for _, t := range plan.Tasks {
		names = append(names, t.Task)
		if t.Task != task {
			continue
		}
		fmt.Fprintf(w, "%s: %s\n", t.Task, said(string(t.Decision), t.Reason))
		if t.Cause != "" && !strings.Contains(t.Reason, t.Cause) {
			fmt.Fprintf(w, "  because of %s\n", t.Cause)
		}
		if len(t.Needs) > 0 {
			fmt.Fprintf(w, "  it needs %s\n", strings.Join(t.Needs, ", "))
		}
		return nil
	}
	return exit(CodeUsage, unknownTask(task, "the plan", names))
}

func said(what, reason string) string {
	if reason == "" {
		return what
	}
	return what + ", because " + reason
}

type why struct {
	w     io.Writer
	run   *report.Run
	cache *graph.Cache
}

// tell tells of a task, and then of the task that is to blame for it.
func (y why) tell(t *report.Task) {
	fmt.Fprintf(y.w, "%s: %s\n", t.Name, said(ended(t), reason(t)))
	if t.Error != "" {
		fmt.Fprintf(y.w, "  %s\n", strings.ReplaceAll(t.Error, "\n", "\n  "))
	}
	if t.Kind == graph.KindPure {
		y.inputs(t)
	}
	if t.End() == graph.StatusUnneeded {
		y.unneeded(t)
	}
	if blame := y.run.Task(t.Cause); blame != nil && blame != t {
		y.tell(blame)
	}
}

func ended(t *report.Task) string {
	if end := t.End(); end != "" {
		return string(end)
	}
	return "did not end"
}

// reason is why it was decided so; the reason of an error is the error itself.
func reason(t *report.Task) string {
	switch t.End() {
	case graph.StatusFailed, graph.StatusRefused:
		return ""
	case graph.StatusUnneeded:
		return "nothing that had to run asked for it"
	case graph.StatusRead:
		return "the world is read in every run"
	}
	return t.Reason
}

// inputs names what a pure task depends on, and what of it had changed.
func (y why) inputs(t *report.Task) {
	e, ok := y.cache.Explain(t.Name)
	if !ok {
		return
	}
	if t.End() == graph.StatusRan {
		for _, d := range e.Changed {
			fmt.Fprintf(y.w, "  %s: %s -> %s\n", d.What, orNothing(d.Old), orNothing(d.New))
		}
	}
	const shown = 12
	more := ""
	if len(e.Inputs) > shown {
		more = fmt.Sprintf(" and %d more", len(e.Inputs)-shown)
	}
	fmt.Fprintf(y.w, "  it depends on %s%s\n", strings.Join(e.Inputs[:min(shown, len(e.Inputs))], ", "), more)
}

func orNothing(s string) string {
	if s == "" {
		return "nothing"
	}
	return s
}

// unneeded names who would have asked for the task, and why it did not.
func (y why) unneeded(t *report.Task) {
	for _, user := range y.run.Tasks() {
		if slices.Contains(user.Needs, t.Name) {
			fmt.Fprintf(y.w, "  %s would: it was %s\n", user.Name, said(ended(user), reason(user)))
		}
	}
}
