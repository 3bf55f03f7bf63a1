package verbs

import (
	"fmt"
	"io"
	"slices"
	"strings"

	"roost/graph"
	"roost/internal/ledger"
	"roost/internal/nearest"
	"roost/internal/report"
)

// Why says why a task of the last run, or of a saved plan, was decided as it
// was: which input differs, what its check found, which task is to blame. It
// reads of the record, or the plan, what is about these tasks alone.
func Why(o Options, task, planFile string) error {
	o.fill()
	if planFile != "" {
		return whyPlanned(o.Stdout, planFile, task)
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
	record, err := report.OpenRecord(state.EventsPath(id))
	if err != nil {
		return exit(CodeFailed, err)
	}
	defer record.Close()
	var b strings.Builder
	fmt.Fprintf(&b, "In run %s:\n", id)
	y := why{
		w: &b, find: record.Find, users: record.Users,
		explain: func(task string) (graph.Explanation, bool, error) { return explainCached(state, task) },
	}
	known, err := y.tell(task)
	if err != nil {
		return exit(CodeFailed, err)
	}
	if !known {
		return exit(CodeUsage, unknownTask(task, "run "+id, record.Names()))
	}
	_, err = io.WriteString(o.Stdout, b.String())
	return err
}

// explainCached says what the last result of a task depended on. The cache is not
// opened before it is asked.
func explainCached(state *ledger.State, task string) (graph.Explanation, bool, error) {
	cache, err := graph.OpenCache(state.Path("cache"))
	if err != nil {
		return graph.Explanation{}, false, err
	}
	e, ok := cache.Explain(task)
	return e, ok, nil
}

func unknownTask(task, where string, known []string) error {
	return fmt.Errorf("no task %q in %s; %s", task, where, nearest.Hint(task, "tasks", known))
}

// whyPlanned tells of one task of a saved plan, and of what it waits for.
func whyPlanned(w io.Writer, path, task string) error {
	t, err := findSaved(path, task)
	if err != nil {
		return exit(CodeUsage, err)
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

func said(what, reason string) string {
	if reason == "" {
		return what
	}
	return what + ", because " + reason
}

// why tells of tasks of one recorded run.
type why struct {
	w       io.Writer
	find    func(tasks ...string) (*report.Run, error)
	users   func(task string) ([]string, error) // who needs it
	explain func(task string) (graph.Explanation, bool, error)
	told    []string
}

// tell tells of a task, and then of the task that is to blame for it. It says
// whether the record knows the task.
func (y *why) tell(task string) (known bool, err error) {
	run, err := y.find(task)
	if err != nil {
		return false, err
	}
	t := run.Task(task)
	if t == nil {
		return false, nil
	}
	y.told = append(y.told, task)
	fmt.Fprintf(y.w, "%s: %s\n", t.Name, said(ended(t), reason(t)))
	if t.Error != "" {
		fmt.Fprintf(y.w, "  %s\n", strings.ReplaceAll(t.Error, "\n", "\n  "))
	}
	if t.Kind == graph.KindPure {
		if err := y.inputs(t); err != nil {
			return true, err
		}
	}
	if t.End() == graph.StatusUnneeded {
		if err := y.unneeded(t); err != nil {
			return true, err
		}
	}
	if t.Cause != "" && !slices.Contains(y.told, t.Cause) {
		_, err = y.tell(t.Cause)
	}
	return true, err
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
func (y *why) inputs(t *report.Task) error {
	e, ok, err := y.explain(t.Name)
	if err != nil || !ok {
		return err
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
	return nil
}

func orNothing(s string) string {
	if s == "" {
		return "nothing"
	}
	return s
}

// unneeded names who would have asked for the task, and why it did not.
func (y *why) unneeded(t *report.Task) error {
	users, err := y.users(t.Name)
	if err != nil || len(users) == 0 {
		return err
	}
	run, err := y.find(users...)
	if err != nil {
		return err
	}
	for _, name := range users {
		user := run.Task(name)
		fmt.Fprintf(y.w, "  %s would: it was %s\n", user.Name, said(ended(user), reason(user)))
	}
	return nil
}
