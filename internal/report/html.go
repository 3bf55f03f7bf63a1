package report

import (
	_ "embed"
	"fmt"
	"html/template"
	"io"
	"strings"

	"roost/graph"
)

//go:embed report.html
var pageText string

var pageTemplate = template.Must(template.New("report").Funcs(template.FuncMap{
	"took":  Took,
	"tone":  toneOf,
	"glyph": glyphOf,
}).Parse(pageText))

// HTML writes the run as one file that needs nothing else: no network, no
// script to be read, and no colour to be understood.
func HTML(w io.Writer, run *Run) error {
	path, seconds := run.CriticalPath()
	critical := make(map[*Task]bool, len(path))
	for _, t := range path {
		critical[t] = true
	}
	if err := pageTemplate.Execute(w, htmlPage{
		Run:      run,
		Title:    strings.TrimSpace(strings.Join(append([]string{run.Info.Verb}, run.Info.Args...), " ")),
		Sentence: run.sentence(),
		Tone:     run.tone(),
		Totals:   run.Totals(),
		Hosts:    run.htmlHosts(),
		Problems: run.Problems(),
		Path:     path,
		PathTook: seconds,
		Timeline: run.timeline(critical),
		Graph:    run.drawing(critical),
		Tasks:    run.Tasks(),
		Statuses: statuses,
	}); err != nil {
		return fmt.Errorf("write the report: %w", err)
	}
	return nil
}

// htmlPage is what the template reads.
type htmlPage struct {
	Run      *Run
	Title    string
	Sentence string
	Tone     tone
	Totals   Totals
	Hosts    []htmlHost
	Problems []Problem
	Path     []*Task
	PathTook float64
	Timeline timeline
	Graph    drawing
	Tasks    []*Task
	Statuses []status
}

type htmlHost struct {
	Group                  *Group
	Change                 Change
	Versions, What, Result string
	Tone                   tone
}

// htmlHosts are the rows of the hosts table. In a dry run they say what would
// happen.
func (r *Run) htmlHosts() []htmlHost {
	var rows []htmlHost
	for _, g := range r.Groups {
		if !g.IsHost() && !g.own {
			continue
		}
		row := htmlHost{Group: g, Change: g.Change(), What: g.What(), Result: g.Result()}
		row.Versions = row.Change.Versions(0)
		outcome, _ := g.Outcome()
		if r.Info.Dry {
			var would string
			outcome, would, row.What = g.forecast(0)
			row.Result = string(outcome)
			if outcome == wouldChange || outcome == notKnown {
				row.Result = would
			}
		}
		row.Tone = outcomeTone[outcome]
		rows = append(rows, row)
	}
	return rows
}

// tone is a class of the style sheet: how grave a status is.
type tone string

const (
	toneGood tone = "good" // something was done, and it is well
	toneSame tone = "same" // it was well already
	toneBad  tone = "bad"
	toneWait tone = "wait" // not now
	toneNone tone = "none" // nothing asked for it
)

var outcomeTone = map[Outcome]tone{
	Updated: toneGood, Done: toneGood, Unchanged: toneSame, Failed: toneBad, Refused: toneBad, Blocked: toneBad,
	Cancelled: toneWait, Deferred: toneWait, Unfinished: toneWait,
	wouldChange: toneGood, notKnown: toneWait, wouldStay: toneSame,
}

// status is how a task ended, with its tone and its sign.
type status struct {
	Status graph.Status
	Tone   tone
	Glyph  string
}

// Word is the status for a reader.
func (s status) Word() string { return statusWord(s.Status) }

// statuses are all of them, the gravest first.
var statuses = []status{
	{graph.StatusFailed, toneBad, "✗"},
	{graph.StatusRefused, toneBad, "!"},
	{graph.StatusBlocked, toneBad, "⊘"},
	{graph.StatusCancelled, toneWait, "×"},
	{graph.StatusDeferred, toneWait, "‖"},
	{"", toneWait, "?"}, // it never ended
	{graph.StatusRan, toneGood, "✓"},
	{graph.StatusRead, toneSame, "✓"},
	{graph.StatusPlanned, toneGood, "○"},
	{graph.StatusSatisfied, toneSame, "="},
	{graph.StatusCached, toneSame, "="},
	{graph.StatusUnneeded, toneNone, "–"},
}

// statusWord is a status for a reader.
func statusWord(s graph.Status) string { return first(string(s), "not ended") }

// graveness is the place of a status in statuses.
func graveness(s graph.Status) int {
	for i := range statuses {
		if statuses[i].Status == s {
			return i
		}
	}
	return graveness("") // a status of a later version
}

func toneOf(s graph.Status) tone    { return statuses[graveness(s)].Tone }
func glyphOf(s graph.Status) string { return statuses[graveness(s)].Glyph }

// tone is the gravest tone of the run.
func (r *Run) tone() tone {
	result := toneGood
	if !r.Done {
		result = toneWait
	}
	for _, t := range r.Tasks() {
		switch toneOf(t.End()) {
		case toneBad:
			return toneBad
		case toneWait:
			if t.End() != "" || t.Running() {
				result = toneWait
			}
		}
	}
	return result
}

// sentence says how the run ended.
func (r *Run) sentence() string {
	n := r.Totals()
	var said []string
	for i := len(outcomes) - 1; i >= 0; i-- {
		if count := n.Hosts[outcomes[i]]; count > 0 {
			said = append(said, Plural(count, "host")+" "+string(outcomes[i]))
		}
	}
	text := strings.Join(said, ", ")
	switch {
	case r.Info.Dry:
		text = "A dry run: this is what would happen, nothing was changed"
	case text == "" && r.tone() == toneBad:
		text = "Tasks of the fleet failed"
	case text == "":
		text = "No host was asked for"
	}
	if !r.Done {
		text = "The record ends before the run did. So far: " + text
	}
	return text + "."
}
