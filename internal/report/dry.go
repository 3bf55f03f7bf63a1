package report

import (
	"slices"
	"strings"

	"roost/graph"
)

// plan writes what a run would do, host by host, and how long that takes by what
// its tasks took last: so the same plan is told in the same words.
func (p *page) plan(run *Run) {
	columns := []column{
		{title: "HOST", most: p.width / 5},
		{title: "WOULD", most: p.width * 45 / 100},
		{title: "WHY", rest: true},
	}
	var rows [][]string
	count := map[Outcome]int{}
	for _, g := range run.Groups {
		sort, would, why := g.forecast(p.width / 4)
		if g.IsHost() {
			count[sort]++
		} else if sort == wouldStay {
			continue
		}
		rows = append(rows, []string{p.text(Clean(g.Name)), p.text(would), p.text(why)})
	}
	if len(rows) > 0 {
		p.table(columns, rows, func(_, _ int, cell string) string { return cell })
		p.line("")
	}
	said := []string{"dry run: nothing was changed"}
	for _, sort := range slices.Concat([]Outcome{wouldChange, notKnown, wouldStay}, outcomes) {
		if count[sort] > 0 {
			said = append(said, Plural(count[sort], "host")+" "+string(sort))
		}
	}
	if n := run.Totals(); !n.Own {
		said = append(said, Plural(n.Evaluations, "evaluation")+" run", Plural(n.Builds, "build")+" run")
	}
	p.wrap("", strings.Join(said, ", "))
	if run.Plan == nil {
		return
	}
	if said := AtLeast(run.Plan); said != "" {
		p.wrap("", p.text(said))
	}
}

// What AtLeast tells: a time that is worth a word, and so many tasks, the last one
// among them.
const (
	shownSeconds = 0.1
	shownPath    = 8
)

// AtLeast says how long a plan takes at least, and along which tasks; nothing if
// that is not known, or no time at all.
func AtLeast(plan *graph.Plan) string {
	path, seconds := plan.CriticalPath()
	if seconds < shownSeconds {
		return ""
	}
	if more := len(path) - shownPath; more > 1 {
		path = slices.Replace(path, shownPath-1, len(path)-1, Plural(more, "task")+" more")
	}
	return "it takes at least " + Took(seconds) + ": " + Clean(strings.Join(path, ", "))
}

// The outcomes that a plan alone can foretell.
const (
	wouldChange Outcome = "would change"
	notKnown    Outcome = "not known yet"
	wouldStay   Outcome = "would stay as is"
)

// stepVerbs say what a step does, where its name does not.
var stepVerbs = map[string]string{"eval": "evaluate", "activate": "switch"}

// forecast says what would happen to the host, and why. What hangs on a result
// that is not known yet is said to be unknown. Width bounds the versions.
func (g *Group) forecast(width int) (sort Outcome, would, why string) {
	if outcome, _ := g.Outcome(); outcome != Updated && outcome != Done && outcome != Unchanged {
		return outcome, g.Result(), g.What()
	}
	versions := g.Change().Versions(width)
	var do, maybe, reasons []string
	waitsFor := ""
	for _, t := range g.Tasks {
		open := t.Decision == graph.DecideRun || t.Decision == graph.DecideUnknown
		if t.Reason != "" && open && !slices.Contains(reasons, t.Reason) {
			reasons = append(reasons, t.Reason)
		}
		if !open || t.Status.Good() || t.Kind == graph.KindObserve {
			continue
		}
		verb := first(stepVerbs[t.Step], t.Step)
		if t.Decision == graph.DecideUnknown {
			maybe = append(maybe, verb)
			waitsFor = first(waitsFor, Clean(t.Cause))
			continue
		}
		if t.Step == "activate" && strings.Contains(versions, "->") {
			verb += " " + versions
		}
		do = append(do, verb)
	}
	why = strings.Join(reasons, "; ")
	switch {
	case len(maybe) > 0:
		until := ""
		if waitsFor != "" {
			until = " until " + waitsFor + " ran"
		}
		do = append(do, "unknown"+until+": "+strings.Join(maybe, ", "))
		return notKnown, strings.Join(do, ", "), why
	case len(do) > 0:
		return wouldChange, strings.Join(do, ", "), why
	}
	if t := g.Step("activate"); t != nil && t.Decision == graph.DecideSatisfied {
		why = t.Reason
	}
	return wouldStay, "nothing", why
}
