package verbs

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/google/renameio/v2"

	"roost/graph"
)

// SavedPlan is a plan in a file: what `roost plan` writes and `roost apply`
// follows.
type SavedPlan struct {
	Version int         `json:"version"`
	Verb    string      `json:"verb"`
	On      string      `json:"on,omitempty"` // the selector
	Fleet   string      `json:"fleet"`        // its folder
	Made    time.Time   `json:"made"`
	Plan    *graph.Plan `json:"plan"`
}

const savedPlanVersion = 1

// SavePlan makes the plan of update:all, as a dry run does, and writes it to a
// file.
func SavePlan(ctx context.Context, signals *Signals, o Options, path string) error {
	o.fill()
	o.DryRun = true
	u, err := prepare(ctx, o)
	if err != nil {
		return err
	}
	defer u.close()
	u.records = true
	plan, err := u.run(ctx, signals)
	if err != nil {
		return err
	}
	saved := SavedPlan{savedPlanVersion, "update:all", o.On, u.fleet.Dir, time.Now().UTC().Truncate(time.Second), plan}
	data, err := json.MarshalIndent(saved, "", " ")
	if err == nil {
		err = renameio.WriteFile(path, append(data, '\n'), 0o600)
	}
	if err != nil {
		return exit(CodeFailed, fmt.Errorf("save the plan: %w", err))
	}
	fmt.Fprintf(o.Stderr, "Plan: %s\n  Carry it out: roost apply %s\n", path, path)
	return nil
}

// ApplyPlan carries a saved plan out. If what it was made from has changed, it
// refuses, names what moved, and applies nothing. With DryRun that is all it
// finds out.
func ApplyPlan(ctx context.Context, signals *Signals, o Options, path string) error {
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
	o.On = saved.On
	u, err := prepare(ctx, o)
	if err != nil {
		return err
	}
	defer u.close()
	u.expect = saved.Plan
	_, err = u.run(ctx, signals)
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
	if saved.Version != savedPlanVersion || saved.Verb != "update:all" || saved.Plan == nil || saved.Plan.Version != graph.PlanVersion {
		return nil, fmt.Errorf("%s is no plan that this roost can carry out; make it again: roost plan update:all -o %s", path, path)
	}
	return &saved, nil
}
