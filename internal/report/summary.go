package report

import (
	"fmt"
	"io"
	"slices"
	"strings"

	"charm.land/lipgloss/v2"
	"github.com/charmbracelet/x/ansi"

	"roost/graph"
)

// Options say how Summary writes.
type Options struct {
	Width int  // of a line, in cells; 0 is 80
	Color bool // with ANSI colours
	ASCII bool // for a terminal without UTF-8
}

const (
	defaultWidth = 80
	narrowest    = 40  // a table that is narrower says nothing
	widest       = 160 // longer lines are hard to read
	manyHosts    = 40  // above this, unchanged hosts share one row
	shownLog     = 10  // lines of a failed task's log
)

// Summary writes the table of the hosts, what was done in numbers, and the
// problems. A dry run has what would happen instead of what did.
func Summary(w io.Writer, run *Run, o Options) error {
	p := newPage(o)
	if run.Info.Dry {
		p.plan(run)
	} else {
		p.hosts(run)
	}
	if !run.Done {
		p.wrap("", p.paint(outcomeStyle[Unfinished],
			"The record ends before the run did: roost was stopped. Run the verb again; what was done is kept."))
	}
	for _, problem := range run.Problems() {
		p.problem(problem)
	}
	_, err := io.WriteString(w, p.out.String())
	return err
}

// page is a text that is being written.
type page struct {
	out      strings.Builder
	width    int
	ellipsis string
	o        Options
}

func newPage(o Options) *page {
	p := &page{width: o.Width, ellipsis: "…", o: o}
	if p.width <= 0 {
		p.width = defaultWidth
	}
	p.width = min(max(p.width, narrowest), widest)
	if o.ASCII {
		p.ellipsis = "..."
	}
	return p
}

// The colours of a terminal's own palette: readable on its background.
var (
	bold = lipgloss.NewStyle().Bold(true)
	dim  = lipgloss.NewStyle().Faint(true)

	outcomeStyle = map[Outcome]lipgloss.Style{
		Updated:    lipgloss.NewStyle().Foreground(lipgloss.Green),
		Done:       lipgloss.NewStyle().Foreground(lipgloss.Green),
		Failed:     lipgloss.NewStyle().Foreground(lipgloss.Red).Bold(true),
		Refused:    lipgloss.NewStyle().Foreground(lipgloss.Red),
		Blocked:    lipgloss.NewStyle().Foreground(lipgloss.Red),
		Cancelled:  lipgloss.NewStyle().Foreground(lipgloss.Yellow),
		Unfinished: lipgloss.NewStyle().Foreground(lipgloss.Yellow),
		Deferred:   lipgloss.NewStyle().Foreground(lipgloss.Yellow),
		Unchanged:  dim,
	}
)

// paint is the text in a style, where colour is asked for.
func (p *page) paint(s lipgloss.Style, text string) string {
	if !p.o.Color || text == "" {
		return text
	}
	return s.Render(text)
}

// text is other people's text, as this page can show it.
func (p *page) text(s string) string {
	if p.o.ASCII {
		return asASCII(s)
	}
	return s
}

// line writes one line.
func (p *page) line(text string) {
	p.out.WriteString(strings.TrimRight(text, " "))
	p.out.WriteByte('\n')
}

// wrap writes a text, broken to the page's width, after an indent.
func (p *page) wrap(indent, text string) {
	for _, part := range strings.Split(p.text(text), "\n") {
		if strings.HasPrefix(part, "  ") { // what to type next: a person copies it whole
			p.line(indent + part)
			continue
		}
		for _, line := range strings.Split(ansi.Wrap(part, p.width-len(indent), ""), "\n") {
			p.line(indent + line)
		}
	}
}

// column is one column of a table.
type column struct {
	title string
	most  int  // cells; 0 is no bound
	right bool // numbers
	rest  bool // takes the room that is left
}

// table writes rows in columns that fit the page; paint may colour a cell
// after it has its width.
func (p *page) table(columns []column, rows [][]string, paint func(row, col int, cell string) string) {
	widths := make([]int, len(columns))
	left, rest := p.width-2*(len(columns)-1), -1
	for c, col := range columns {
		widths[c] = ansi.StringWidth(col.title)
		for _, row := range rows {
			widths[c] = max(widths[c], ansi.StringWidth(row[c]))
		}
		if col.most > 0 {
			widths[c] = min(widths[c], max(col.most, len(col.title)))
		}
		if col.rest {
			rest = c
		} else {
			left -= widths[c]
		}
	}
	widths[rest] = min(widths[rest], max(left, len(columns[rest].title)))
	titles := make([]string, len(columns))
	for c, col := range columns {
		titles[c] = col.title
	}
	p.row(columns, widths, titles, func(_ int, cell string) string { return p.paint(bold, cell) })
	for r, row := range rows {
		p.row(columns, widths, row, func(c int, cell string) string { return paint(r, c, cell) })
	}
}

// row writes one row of a table. On a page too narrow for the table, its end
// is cut off: a row is one line.
func (p *page) row(columns []column, widths []int, cells []string, paint func(col int, cell string) string) {
	var line strings.Builder
	for c, text := range cells {
		if c > 0 {
			line.WriteString("  ")
		}
		text = cut(text, widths[c], p.ellipsis)
		blank := strings.Repeat(" ", max(widths[c]-ansi.StringWidth(text), 0))
		switch {
		case columns[c].right:
			line.WriteString(blank + paint(c, text))
		case c == len(cells)-1:
			line.WriteString(paint(c, text))
		default:
			line.WriteString(paint(c, text) + blank)
		}
	}
	p.line(cut(line.String(), p.width, p.ellipsis))
}

// hosts writes the table of a run that was done, and its totals.
func (p *page) hosts(run *Run) {
	columns := []column{
		{title: "HOST", most: p.width / 5},
		{title: "FROM -> TO", most: p.width * 23 / 100},
		{title: "WHAT CHANGED", rest: true},
		{title: "SECONDS", right: true},
		{title: "RESULT", most: p.width * 3 / 10},
	}
	const versions = 1
	if run.own() {
		columns[2].title = "WHAT RAN"
		columns = slices.Delete(columns, versions, versions+1)
	}
	hosts, hidden := run.hosts()
	var rows [][]string
	var result []Outcome
	for _, g := range hosts {
		outcome, _ := g.Outcome()
		result = append(result, outcome)
		row := []string{
			p.text(Clean(g.Name)),
			p.text(g.Change().Versions(columns[versions].most)),
			p.text(g.What()),
			fmt.Sprintf("%.1f", g.Seconds()),
			p.text(g.Result()),
		}
		if run.own() {
			row = slices.Delete(row, versions, versions+1)
		}
		rows = append(rows, row)
	}
	if len(rows) > 0 {
		p.table(columns, rows, func(row, col int, cell string) string {
			if col == len(columns)-1 {
				return p.paint(outcomeStyle[result[row]], cell)
			}
			return cell
		})
	}
	if hidden > 0 {
		p.line("and " + Plural(hidden, "host") + " unchanged")
	}
	if len(rows) > 0 || hidden > 0 {
		p.line("")
	}
	p.wrap("", run.Totals().String()+" in "+Took(run.Seconds))
}

// hosts returns the hosts to show one by one, and how many unchanged ones are
// left out because there are too many.
func (r *Run) hosts() (shown []*Group, hidden int) {
	for _, g := range r.Groups {
		if g.IsHost() || g.own {
			shown = append(shown, g)
		}
	}
	if len(shown) <= manyHosts {
		return shown, 0
	}
	all := shown
	shown = nil
	for _, g := range all {
		if outcome, _ := g.Outcome(); outcome != Unchanged || g.What() != "" || !g.IsHost() {
			shown = append(shown, g)
		}
	}
	return shown, len(all) - len(shown)
}

// String is the totals in one line: "2 effects applied, ..., 4 hosts unchanged".
func (n Totals) String() string {
	said := []string{n.Work()}
	for _, outcome := range outcomes {
		if count := n.Hosts[outcome]; count > 0 {
			said = append(said, Plural(count, "host")+" "+string(outcome))
		}
	}
	return strings.Join(said, ", ")
}

// Work says how much was done: "2 effects applied, 1 evaluation run, ...".
func (n Totals) Work() string {
	said := []string{Plural(n.Effects, "effect") + " applied"}
	if n.Own {
		said = []string{Plural(n.Ran, "task") + " run", said[0]}
	} else {
		said = append(said, Plural(n.Evaluations, "evaluation")+" run", Plural(n.Builds, "build")+" run")
	}
	if n.FailedEffects > 0 {
		said = append(said, Plural(n.FailedEffects, "effect")+" failed")
	}
	return strings.Join(said, ", ")
}

// problem writes one problem: where, what and why, the last of the log, and
// what it blocked. What to type next stands in the error.
func (p *page) problem(problem Problem) {
	t := problem.Tasks[0]
	where := p.text(Clean(t.Name))
	if more := len(problem.Tasks) - 1; more > 0 {
		where += fmt.Sprintf(" and %d more", more)
	}
	p.line("")
	p.line(p.paint(outcomeStyle[Outcome(problem.Status)], cut(where+" "+string(problem.Status), p.width, p.ellipsis)))
	p.wrap("  ", first(t.Why(), "no reason was given"))
	if log := t.Log; len(log) > 0 && problem.Status != graph.StatusDeferred {
		log = log[max(len(log)-shownLog, 0):]
		p.line("  its log ends with:")
		for _, line := range log {
			p.line("    " + p.paint(dim, cut(p.text(line), p.width-4, p.ellipsis)))
		}
	}
	if len(problem.Tasks) > 1 {
		p.wrap("  ", "the same: "+names(taskNames(problem.Tasks[1:]), 8))
	}
	if len(problem.Blocked) > 0 && problem.Status != graph.StatusDeferred {
		p.wrap("  ", "blocked by it: "+names(taskNames(problem.Blocked), 8))
	}
}

// taskNames are the tasks' names, safe to print.
func taskNames(tasks []*Task) []string {
	out := make([]string, len(tasks))
	for i, t := range tasks {
		out[i] = Clean(t.Name)
	}
	return out
}
