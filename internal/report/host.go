package report

import (
	"encoding/json"
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/charmbracelet/x/ansi"

	"roost/graph"
)

// Outcome says in a word how a run ended for a host.
type Outcome string

// The outcomes, the gravest first: a host has the first that holds.
const (
	Failed     Outcome = "failed"
	Refused    Outcome = "refused"
	Blocked    Outcome = "blocked" // by a task of another host, or of the fleet
	Cancelled  Outcome = "cancelled"
	Deferred   Outcome = "deferred"
	Unfinished Outcome = "unfinished" // the record ends before the host did
	Updated    Outcome = "updated"
	Done       Outcome = "done" // of the fleet's own tasks, some ran
	Unchanged  Outcome = "unchanged"
)

// outcomes is the order in which they are counted out, the best first.
var outcomes = []Outcome{Updated, Done, Unchanged, Deferred, Refused, Blocked, Cancelled, Unfinished, Failed}

// gravest are the ends of a task that decide the outcome of its host.
var gravest = []struct {
	status  graph.Status
	outcome Outcome
}{
	{graph.StatusFailed, Failed},
	{graph.StatusRefused, Refused},
	{graph.StatusBlocked, Blocked},
	{graph.StatusCancelled, Cancelled},
	{graph.StatusDeferred, Deferred},
}

// Outcome returns how the run ended for the host, and the first task that made
// it so: one with no cause before its victims. The task is nil for Updated, Done
// and Unchanged.
func (g *Group) Outcome() (Outcome, *Task) {
	for _, grave := range gravest {
		var blame *Task
		for _, t := range g.Tasks {
			if t.End() == grave.status && (blame == nil || blame.isVictim() && !t.isVictim()) {
				blame = t
			}
		}
		if blame != nil {
			return grave.outcome, blame
		}
	}
	updated := false
	for _, t := range g.Tasks {
		if t.Running() || t.Status == "" && t.Decision == graph.DecideRun {
			return Unfinished, t
		}
		updated = updated || t.applied()
	}
	switch {
	case g.own && len(g.ran()) > 0:
		return Done, nil
	case updated:
		return Updated, nil
	}
	return Unchanged, nil
}

// isVictim says that another task is to blame for how this one ended.
func (t *Task) isVictim() bool { return t.Cause != "" && t.Cause != t.Name }

// applied says that the task changed the world.
func (t *Task) applied() bool { return t.Kind == graph.KindEffect && t.Status == graph.StatusRan }

// ran names the steps that worked and changed something: an effect, or a file.
func (g *Group) ran() []string {
	var steps []string
	for _, t := range g.Tasks {
		if t.Kind != graph.KindObserve && t.Status == graph.StatusRan {
			steps = append(steps, Clean(t.Step))
		}
	}
	return steps
}

// Step returns the host's task of this step, or nil.
func (g *Group) Step(step string) *Task {
	for _, t := range g.Tasks {
		if t.Step == step {
			return t
		}
	}
	return nil
}

// Seconds is how long the host's tasks worked, together.
func (g *Group) Seconds() float64 {
	sum := 0.0
	for _, t := range g.Tasks {
		sum += t.Seconds
	}
	return sum
}

// Change is what the results of a host's tasks say about its system.
type Change struct {
	Probed             bool   // the host was asked what it runs
	From, To           string // store paths; empty when not known
	FromLabel, ToLabel string
	Changed            []string
	Generation         int
	RebootNeeded       bool
	Checks             []Check
}

// Check is one health check.
type Check struct {
	What   string `json:"what"`
	OK     bool   `json:"ok"`
	Detail string `json:"detail"`
}

// Change reads the results of the host's tasks. A result that is missing or of
// another form says nothing.
func (g *Group) Change() Change {
	var c Change
	var probe struct{ Current, Label string }
	if g.result("probe", &probe) {
		c.Probed, c.From, c.FromLabel = true, probe.Current, probe.Label
	}
	var eval struct{ Out string }
	if g.result("eval", &eval) {
		c.To = eval.Out
	}
	var act struct {
		From, To     string
		FromLabel    string `json:"from_label"`
		ToLabel      string `json:"to_label"`
		Changed      []string
		Generation   int
		RebootNeeded bool `json:"reboot_needed"`
	}
	if g.result("activate", &act) {
		c.From, c.To = first(act.From, c.From), first(act.To, c.To)
		c.FromLabel, c.ToLabel = first(act.FromLabel, c.FromLabel), act.ToLabel
		c.Generation, c.RebootNeeded = act.Generation, act.RebootNeeded
		for _, line := range act.Changed {
			c.Changed = append(c.Changed, Clean(line))
		}
	}
	c.FromLabel = Clean(first(c.FromLabel, label(g.Name, c.From)))
	c.ToLabel = Clean(first(c.ToLabel, label(g.Name, c.To)))
	c.From, c.To = Clean(c.From), Clean(c.To)
	var health struct{ Checks []Check }
	if g.result("health", &health) {
		for _, check := range health.Checks {
			check.What, check.Detail = Clean(check.What), Clean(check.Detail)
			c.Checks = append(c.Checks, check)
		}
	}
	return c
}

// result decodes the result of a step, and says whether there was one.
func (g *Group) result(step string, into any) bool {
	t := g.Step(step)
	return t != nil && len(t.Result) > 0 && json.Unmarshal(t.Result, into) == nil
}

// first returns the first of its arguments that says something.
func first(of ...string) string {
	for _, s := range of {
		if s != "" {
			return s
		}
	}
	return ""
}

// label reads "1.1" from /nix/store/HASH-nixos-system-malphas-1.1. A system of
// another name has no label.
func label(host, storePath string) string {
	_, name, _ := strings.Cut(path.Base(storePath), "-")
	for _, prefix := range []string{"nixos-system-" + host + "-", "darwin-system-"} {
		if rest, ok := strings.CutPrefix(name, prefix); ok {
			return rest
		}
	}
	return ""
}

// shortHash is the start of a store path's hash: enough to tell two apart.
func shortHash(storePath string) string {
	if storePath == "" {
		return ""
	}
	hash, _, _ := strings.Cut(path.Base(storePath), "-")
	return hash[:min(len(hash), 7)]
}

// Versions says "1.0 -> 1.1", or the short hashes where a label is missing, the
// labels are equal, or they are wider than width cells; width 0 is no bound.
// It is one version alone when the system does not change.
func (c Change) Versions(width int) string {
	from, to := first(c.FromLabel, shortHash(c.From)), first(c.ToLabel, shortHash(c.To))
	if from == "" && c.Probed {
		from = "(new)"
	}
	if to == "" || c.From != "" && c.From == c.To {
		return from
	}
	change := first(from, "?") + " -> " + to
	unlike := c.FromLabel != "" && c.ToLabel != "" && c.FromLabel != c.ToLabel
	tooWide := width > 0 && ansi.StringWidth(change) > width
	if c.From != "" && c.To != "" && (!unlike || tooWide) {
		return shortHash(c.From) + " -> " + shortHash(c.To)
	}
	return change
}

// What says what changed on the host, or why nothing did, in one line.
func (g *Group) What() string {
	outcome, task := g.Outcome()
	switch outcome {
	case Updated:
	case Done:
		return strings.Join(g.ran(), ", ")
	case Unchanged:
		if g.Change().RebootNeeded { // since an earlier run
			return "reboot needed"
		}
		return ""
	case Blocked:
		return first(firstLine(task.Error), "by "+first(task.Cause, "another task"))
	case Unfinished:
		return "the record ends at " + task.Step
	case Cancelled: // a reader must not take it for untouched
		for _, t := range slices.Backward(g.Tasks) {
			if t.applied() {
				return "stopped after " + t.Step + " was done"
			}
		}
		return firstLine(task.Why())
	default:
		return strings.TrimPrefix(firstLine(task.Why()), g.Name+": ")
	}
	c := g.Change()
	said := c.Changed
	if c.RebootNeeded {
		said = append([]string{"reboot needed"}, said...)
	}
	if len(said) == 0 && c.Generation > 0 {
		said = []string{fmt.Sprintf("generation %d", c.Generation)}
	}
	return strings.Join(said, ", ")
}

// Result is the outcome in words: "updated", "failed at activate".
func (g *Group) Result() string {
	outcome, task := g.Outcome()
	if outcome == Failed && task.Step != "" {
		return "failed at " + task.Step
	}
	return string(outcome)
}
