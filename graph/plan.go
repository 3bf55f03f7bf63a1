package graph

import (
	"fmt"
	"io"
	"strings"
)

// PlanVersion is the version of the Plan's JSON form.
const PlanVersion = 1

// Decision says what a run does with a task.
type Decision string

// The decisions. Each comes with a reason in words.
const (
	DecideRun       Decision = "run"
	DecideRead      Decision = "read"      // an observation: it is always read
	DecideCached    Decision = "cached"    // the result for this key is known
	DecideSatisfied Decision = "satisfied" // the world is already so
	DecideUnknown   Decision = "unknown"   // hangs on a result that is not known yet
	DecideFailed    Decision = "failed"    // its check or its planning work failed
	DecideBlocked   Decision = "blocked"
	DecideDeferred  Decision = "deferred"
	DecideRefused   Decision = "refused"
	DecideUnneeded  Decision = "unneeded" // nothing that must run asks for it
)

// Plan is the graph with one decision and one reason for each task. It is data:
// nothing but names, decisions and keys, in an order that depends on nothing but
// the graph: the tasks of a host stand together, each after what it needs.
type Plan struct {
	Version int       `json:"version"`
	Tasks   []Planned `json:"tasks"`
}

// Planned is one task of a Plan.
type Planned struct {
	Task     string   `json:"task"`
	Kind     Kind     `json:"kind"`
	Decision Decision `json:"decision"`
	Reason   string   `json:"reason,omitempty"`
	Cause    string   `json:"cause,omitempty"` // the task that is to blame or is waited for
	// Key stands for what was decided on: of a pure task its cache key, of an
	// effect what it is to bring about and what its check found. Empty where
	// that is not known yet, and for observations.
	Key string `json:"key,omitempty"`
	// Record is the text that a pure task's key is the hash of, or by which a
	// once-only task's deed is known; only in a plan made with Options.Records.
	Record []string `json:"record,omitempty"`
	Needs  []string `json:"needs,omitempty"` // sorted
	// Expect is how many seconds the task took when it last ran; 0 = never seen.
	Expect float64 `json:"expect,omitempty"`
}

// Count returns how many tasks have this decision.
func (p *Plan) Count(d Decision) int {
	n := 0
	for _, t := range p.Tasks {
		if t.Decision == d {
			n++
		}
	}
	return n
}

// Write prints the plan for a reader, group by group, with what a task that works
// is expected to take. Tasks that nothing asks
// for are left out unless all is set.
func (p *Plan) Write(w io.Writer, all bool) error {
	width := 0
	for _, t := range p.Tasks {
		if _, step := splitName(t.Task); len(step) > width {
			width = len(step)
		}
	}
	group := ""
	for _, t := range p.Tasks {
		if t.Decision == DecideUnneeded && !all {
			continue
		}
		host, step := splitName(t.Task)
		if host != group {
			group = host
			if _, err := fmt.Fprintf(w, "%s\n", host); err != nil {
				return err
			}
		}
		why := strings.TrimLeft(t.Reason+" "+about(t.expected()), " ")
		line := fmt.Sprintf("  %-*s  %-9s  %s", width, step, t.Decision, why)
		if _, err := fmt.Fprintln(w, strings.TrimRight(line, " ")); err != nil {
			return err
		}
	}
	return nil
}
