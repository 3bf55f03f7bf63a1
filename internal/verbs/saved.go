package verbs

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"roost/graph"
	"roost/internal/command"
	"roost/internal/report"
)

// Origin is what a plan was made with and from, as far as it is known. It is
// for the reader: whether a plan still holds is decided task by task.
type Origin struct {
	Roost    string `json:"roost,omitempty"`    // its version
	Revision string `json:"revision,omitempty"` // of the fleet in git; "+" if files had changed since
}

func originOf(ctx context.Context, o Options, fleet string) Origin {
	from := Origin{Roost: o.Version}
	git := func(args ...string) (string, error) {
		out, err := command.Output(ctx, command.Cmd{Name: "git", Args: append([]string{"-C", fleet}, args...)})
		return strings.TrimSpace(string(out)), err
	}
	revision, err := git("rev-parse", "--short=12", "HEAD")
	if err != nil {
		return from // no git here, or nothing committed
	}
	if changed, err := git("status", "--porcelain", "--untracked-files=no", "--", "."); err != nil || changed != "" {
		revision += "+"
	}
	from.Revision = revision
	return from
}

// origin says where the plan is from, and what is another now.
func (s *SavedPlan) origin(now Origin, at time.Time) string {
	said := fmt.Sprintf("A plan of %s (%s ago)", s.Made.UTC().Format("2006-01-02 15:04:05 UTC"), ago(at.Sub(s.Made)))
	for _, from := range []struct{ what, was, is string }{
		{"roost", s.From.Roost, now.Roost}, {"the fleet at", s.From.Revision, now.Revision},
	} {
		if from.was == "" {
			continue
		}
		said += ", " + from.what + " " + from.was
		if from.is != "" && from.is != from.was {
			said += " (now " + from.is + ")"
		}
	}
	return said
}

// known says that this roost can read, and carry out, the plan.
func (s *SavedPlan) known() bool {
	return s.Version == savedPlanVersion && s.Verb != "" && s.Plan != nil && s.Plan.Version == graph.PlanVersion
}

func ago(d time.Duration) string {
	if d > 48*time.Hour {
		return fmt.Sprintf("%d days", d/(24*time.Hour))
	}
	return report.Took(d.Seconds())
}

// write writes the plan as one JSON object with a task a line, so that a person
// can compare two of them, and `why` need not read the whole.
func (s *SavedPlan) write(w io.Writer) error {
	around := *s
	around.Plan = nil
	head, err := json.Marshal(around)
	if err != nil {
		return err
	}
	head, ok := bytes.CutSuffix(head, []byte("null}"))
	if !ok {
		return fmt.Errorf("a bug in roost: the plan is not the last field of %s", head)
	}
	if _, err := w.Write(head); err != nil {
		return err
	}
	if err := s.Plan.WriteLines(w); err != nil {
		return err
	}
	_, err = io.WriteString(w, "}\n")
	return err
}

// findSaved reads one task of a saved plan.
func findSaved(path, task string) (graph.Planned, error) {
	var saved SavedPlan
	found, ok, err := report.FindPlanned(path, &saved, task)
	if err == nil && ok && found != nil && saved.known() {
		return *found, nil
	}
	whole, err := readPlan(path) // it has another form, or the answer is an error
	if err != nil {
		return graph.Planned{}, err
	}
	if i := slices.IndexFunc(whole.Plan.Tasks, func(t graph.Planned) bool { return t.Task == task }); i >= 0 {
		return whole.Plan.Tasks[i], nil
	}
	var names []string
	for _, t := range whole.Plan.Tasks {
		names = append(names, t.Task)
	}
	return graph.Planned{}, unknownTask(task, "the plan", names)
}
