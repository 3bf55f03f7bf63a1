package verbs

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"roost/graph"
)

// SavedPlan is a plan in a file: what `roost plan` writes and `roost apply`
// follows.
type SavedPlan struct {
	Version  int         `json:"version"`
	Verb     string      `json:"verb"`
	Args     []string    `json:"args,omitempty"` // what follows it
	On       string      `json:"on,omitempty"`   // the selector
	Fleet    string      `json:"fleet"`          // its folder
	Made     time.Time   `json:"made"`
	From     Origin      `json:"from,omitzero"`
	Seconds  float64     `json:"seconds,omitempty"`  // how long carrying it out takes at least
	Critical []string    `json:"critical,omitempty"` // the tasks which take that long, one after another
	Plan     *graph.Plan `json:"plan"`
}

const savedPlanVersion = 1

// SavePlan makes the plan of a verb, as a dry run does, and writes it to a file.
func SavePlan(ctx context.Context, signals *Signals, o Options, v Verb, path string) error {
	o.fill()
	o.DryRun = true
	j, err := prepare(ctx, o, v)
	if err != nil {
		return err
	}
	defer j.close()
	j.records = true
	plan, err := j.run(ctx, signals)
	if err != nil {
		return err
	}
	saved := SavedPlan{
		Version: savedPlanVersion, Verb: v.Name, Args: o.Args, On: o.On, Fleet: j.work.Fleet.Dir,
		Made: time.Now().UTC().Truncate(time.Second), From: originOf(ctx, o, j.work.Fleet.Dir), Plan: plan,
	}
	saved.Critical, saved.Seconds = plan.CriticalPath()
	if err := writeFile(path, "the plan", saved.write); err != nil {
		return exit(CodeFailed, err)
	}
	how := "roost apply " + path
	if _, err := Find(v.Name); err != nil {
		how = "tasks.Apply, in the program that has the verb " + v.Name
	}
	fmt.Fprintf(o.Stderr, "Plan: %s\n  Carry it out: %s\n", path, how)
	return nil
}

// ApplyPlan carries a saved plan out. If what it was made from has changed, it
// refuses, names what moved, and applies nothing. With DryRun that is all it
// finds out. own are verbs of the fleet's own, besides those of every fleet.
func ApplyPlan(ctx context.Context, signals *Signals, o Options, path string, own ...Verb) error {
	o.fill()
	saved, err := readPlan(path)
	if err != nil {
		return exit(CodeUsage, err)
	}
	if o.Fleet == "" {
		o.Fleet = saved.Fleet
	}
	if given, err := FleetDir(o.Fleet); err == nil && given != saved.Fleet {
		return exit(CodeUsage, fmt.Errorf("%s is a plan for the fleet in %s, not for %s", path, saved.Fleet, given))
	}
	v, err := Find(saved.Verb, own...)
	if err != nil {
		return err
	}
	o.On, o.Args = saved.On, saved.Args
	fmt.Fprintln(o.Stderr, saved.origin(originOf(ctx, o, saved.Fleet), time.Now()))
	j, err := prepare(ctx, o, v)
	if err != nil {
		return err
	}
	defer j.close()
	j.expect = saved.Plan
	_, err = j.run(ctx, signals)
	return err
}

func readPlan(path string) (*SavedPlan, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var saved SavedPlan
	if err := json.Unmarshal(data, &saved); err != nil {
		return nil, fmt.Errorf("%s is no saved plan: %w", filepath.Base(path), err)
	}
	if !saved.known() {
		return nil, fmt.Errorf("%s is no plan that this roost can carry out; make it again: roost plan VERB -o %s", path, path)
	}
	return &saved, nil
}
