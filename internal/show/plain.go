package show

import (
	"bytes"
	"fmt"
	"io"
	"strings"

	"roost/graph"
	"roost/internal/report"
)

// planLines is how many tasks of a plan are listed.
const planLines = 40

// Plain writes lines for a pipe or a CI log: the plan, then each task that
// worked or went wrong as it ends. With Verbose it writes every task's end, its
// log, and the time of each line. Of a dry run without Verbose it writes the
// plan alone, so that the same plan is told in the same words.
func Plain(w io.Writer, o Options) Watcher {
	p := &plain{w: w, verbose: o.Verbose, run: report.New(), told: map[string]bool{}, host: usual, step: usual}
	return Watcher{
		Event: p.event,
		Close: func() error { return p.failed },
	}
}

// usual is how wide names mostly are: so the columns of the first lines do not
// jump.
const usual = len("activate")

type plain struct {
	w       io.Writer
	verbose bool
	run     *report.Run
	failed  error
	host    int // widths of the columns, which grow with the names seen
	step    int
	told    map[string]bool // groups that hang on another: said once for each
}

func (p *plain) event(e graph.Event) {
	before := graph.Decision("")
	if t := p.run.Task(e.Task); t != nil {
		before = t.Decision
	}
	p.run.Add(e)
	t := p.run.Task(e.Task)
	if t != nil {
		p.host, p.step = max(p.host, len(t.Group)), max(p.step, len(t.Step))
	}
	switch {
	case e.Kind == graph.PlanReady && e.Plan != nil:
		p.plan(e)
	case t == nil || p.run.Info.Dry && !p.verbose:
	case e.Kind == graph.TaskDecided && before == graph.DecideUnknown && e.Decision != before:
		p.task(e, t, fmt.Sprintf("now known: %s%s", e.Decision, because(t.Reason)))
	case e.Kind == graph.TaskStarted && p.verbose:
		p.task(e, t, "started")
	case e.Kind == graph.TaskLog && p.verbose:
		p.line(e, fmt.Sprintf("%s> %s", report.Clean(t.Name), report.Clean(e.Text)))
	case e.Kind == graph.TaskFinished:
		p.finished(e, t)
	}
}

// plan lists what will be done; with Verbose, every decision.
func (p *plain) plan(e graph.Event) {
	var counts []string
	for _, d := range []graph.Decision{
		graph.DecideRun, graph.DecideUnknown, graph.DecideRead, graph.DecideCached, graph.DecideSatisfied,
		graph.DecideDeferred, graph.DecideRefused, graph.DecideBlocked, graph.DecideFailed, graph.DecideUnneeded,
	} {
		if n := e.Plan.Count(d); n > 0 {
			counts = append(counts, fmt.Sprintf("%d %s", n, d))
		}
	}
	p.line(e, "plan: "+strings.Join(counts, ", "))
	var listed, open graph.Plan // what is told, and what is still to do
	left := 0
	for _, t := range e.Plan.Tasks {
		matters := t.Decision == graph.DecideRun || t.Decision == graph.DecideUnknown
		if ended := p.run.Task(t.Task); ended != nil && ended.Status != "" {
			matters = false // its own line has said so
			t.Expect = 0
		}
		open.Tasks = append(open.Tasks, t)
		switch {
		case !matters && !p.verbose:
		case len(listed.Tasks) == planLines && !p.verbose:
			left++
		default:
			t.Reason = report.Clean(t.Reason)
			listed.Tasks = append(listed.Tasks, t)
		}
	}
	var text bytes.Buffer
	listed.Write(&text, p.verbose) // a buffer has no errors
	for _, line := range strings.Split(strings.TrimRight(text.String(), "\n"), "\n") {
		if line != "" {
			p.line(e, "  "+line)
		}
	}
	if left > 0 {
		p.line(e, fmt.Sprintf("  and %d more", left))
	}
	if said := report.AtLeast(&open); said != "" {
		p.line(e, said)
	}
}

// finished says how a task ended.
func (p *plain) finished(e graph.Event, t *report.Task) {
	took := ""
	if t.Seconds > 0 {
		took = " in " + report.Took(t.Seconds)
	}
	switch t.Status {
	case graph.StatusRan:
		if t.Kind == graph.KindEffect {
			p.task(e, t, "applied"+took)
			return
		}
		p.task(e, t, "ran"+took)
	case graph.StatusRead:
		p.task(e, t, "read"+took)
	case graph.StatusFailed:
		p.task(e, t, "FAILED"+took+because(t.Error))
		for _, line := range t.Log {
			p.line(e, "    | "+line)
		}
	case graph.StatusRefused:
		p.task(e, t, "REFUSED"+because(t.Why()))
	case graph.StatusDeferred, graph.StatusBlocked:
		p.hangs(e, t)
	case graph.StatusCancelled:
		if p.verbose || !t.Started.IsZero() {
			p.task(e, t, "cancelled"+because(t.Why()))
		}
	default:
		if p.verbose {
			p.task(e, t, string(t.Status)+because(t.Reason))
		}
	}
}

// hangs says that a task is deferred or blocked. What hangs on a task of the
// same host goes without saying, and what hangs on another is said once.
func (p *plain) hangs(e graph.Event, t *report.Task) {
	cause := p.run.Task(t.Cause)
	switch {
	case cause == nil || cause == t || p.verbose:
	case cause.Group == t.Group || p.told[t.Group]:
		return
	default:
		p.told[t.Group] = true
	}
	why := because(t.Why())
	if cause != nil && cause != t {
		why = " by " + report.Clean(t.Cause) + why
	}
	p.task(e, t, string(t.Status)+why)
}

// because is ": why", or nothing; further lines are indented.
func because(why string) string {
	if why == "" {
		return ""
	}
	return ": " + strings.ReplaceAll(why, "\n", "\n    ")
}

// task writes a line about a task, in columns.
func (p *plain) task(e graph.Event, t *report.Task, text string) {
	p.line(e, fmt.Sprintf("%-*s  %-*s  %s", p.host, report.Clean(t.Group), p.step, report.Clean(t.Step), text))
}

// line writes one line, until writing fails.
func (p *plain) line(e graph.Event, text string) {
	if p.failed != nil {
		return
	}
	if p.verbose {
		text = e.Time.Format("15:04:05 ") + text
	}
	if _, err := fmt.Fprintln(p.w, strings.TrimRight(text, " ")); err != nil {
		p.failed = fmt.Errorf("write the progress of the run: %w", err)
	}
}
