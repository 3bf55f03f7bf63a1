package show

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"charm.land/lipgloss/v2"
	"github.com/charmbracelet/x/ansi"

	"roost/graph"
	"roost/internal/report"
)

// screen is what a frame may use.
type screen struct {
	width, height int
	color, ascii  bool
}

// sign is a task's state as it is drawn.
type sign int

const (
	waiting sign = iota
	running
	done
	unneeded // or so already
	deferred
	stopped
	blocked
	failed
	signs
)

var (
	green  = lipgloss.NewStyle().Foreground(lipgloss.Green)
	red    = lipgloss.NewStyle().Foreground(lipgloss.Red)
	yellow = lipgloss.NewStyle().Foreground(lipgloss.Yellow)
	cyan   = lipgloss.NewStyle().Foreground(lipgloss.Cyan)
	dim    = lipgloss.NewStyle().Faint(true)
)

var drawn = [signs]struct {
	glyph, ascii string
	style        lipgloss.Style
	word         string // in the status line; empty where it is not counted there
}{
	waiting:  {"○", ".", dim, ""},
	running:  {"●", "*", cyan, "running"},
	done:     {"✓", "+", green, ""},
	unneeded: {"–", "-", dim, ""},
	deferred: {"⏸", "~", yellow, "deferred"},
	stopped:  {"×", "c", yellow, "cancelled"},
	blocked:  {"⊘", "#", red, "blocked"},
	failed:   {"✗", "x", red, "failed"},
}

// signOf is the state of a task.
func signOf(t *report.Task) sign {
	switch t.End() {
	case graph.StatusRan, graph.StatusRead:
		return done
	case graph.StatusCached, graph.StatusSatisfied, graph.StatusUnneeded:
		return unneeded
	case graph.StatusFailed, graph.StatusRefused:
		return failed
	case graph.StatusBlocked:
		return blocked
	case graph.StatusDeferred:
		return deferred
	case graph.StatusCancelled:
		return stopped
	}
	if t.Running() {
		return running
	}
	return waiting
}

// draw is a sign on this screen.
func (s screen) draw(g sign) string {
	if s.ascii {
		return s.paint(drawn[g].style, drawn[g].ascii)
	}
	return s.paint(drawn[g].style, drawn[g].glyph)
}

func (s screen) paint(style lipgloss.Style, text string) string {
	if !s.color || text == "" {
		return text
	}
	return style.Render(text)
}

// text is other people's text, as this screen can show it.
func (s screen) text(t string) string {
	if !s.ascii {
		return t
	}
	return strings.Map(func(c rune) rune {
		if c > '~' {
			return '?'
		}
		return c
	}, t)
}

// cut shortens a line to the screen. The last cell stays free: a terminal may
// wrap when it is written.
func (s screen) cut(line string) string {
	ellipsis := "…"
	if s.ascii {
		ellipsis = "..."
	}
	return ansi.Truncate(line, max(s.width-1, 0), ellipsis)
}

// state sorts the hosts: those that work now are shown before those that wait,
// and those that are done are folded first.
type state int

const (
	works state = iota
	waits
	troubled
	finished
	states
)

var stateWords = [states]string{"running", "waiting", "in trouble", "done"}

// stateOf is the state of a host. Before the plan is whole, more of its tasks
// may become known: it is not done.
func stateOf(run *report.Run, g *report.Group) state {
	open, trouble := run.Plan == nil, false
	for _, t := range g.Tasks {
		switch signOf(t) {
		case running:
			return works
		case waiting:
			open = true
		case failed, blocked:
			trouble = true
		}
	}
	switch {
	case trouble:
		return troubled
	case open:
		return waits
	}
	return finished
}

// view draws one frame: a line for each host, and one for the run. It never
// has more lines than the screen less one, nor longer ones than the screen.
func view(run *report.Run, s screen, now time.Time) string {
	shown, folded := fold(run, max(s.height-2, 1))
	layout := s.layout(run.Groups)
	var lines []string
	for _, g := range shown {
		lines = append(lines, s.cut(layout.row(run, g, now)))
	}
	if folded != "" {
		lines = append(lines, s.cut(s.paint(dim, folded)))
	}
	lines = append(lines, s.cut(status(run, now)))
	return strings.Join(lines, "\n")
}

// fold picks the hosts for which there is room, in their order, and says what
// the others do.
func fold(run *report.Run, room int) (shown []*report.Group, folded string) {
	groups := run.Groups
	if len(groups) <= room {
		return groups, ""
	}
	state := make(map[*report.Group]state, len(groups))
	for _, g := range groups {
		state[g] = stateOf(run, g)
	}
	chosen := make(map[*report.Group]bool, room)
	for want := works; want < states; want++ {
		for _, g := range groups {
			if state[g] == want && len(chosen) < room-1 {
				chosen[g] = true
			}
		}
	}
	var count [states]int
	for _, g := range groups {
		if chosen[g] {
			shown = append(shown, g)
		} else {
			count[state[g]]++
		}
	}
	var said []string
	for of, n := range count {
		if n > 0 {
			said = append(said, fmt.Sprintf("%d %s", n, stateWords[of]))
		}
	}
	return shown, "and " + report.Plural(len(groups)-len(shown), "host") + " more: " + strings.Join(said, ", ")
}

// layout is how the rows of a frame are laid out.
type layout struct {
	s     screen
	host  int      // the width of the names
	steps []string // the columns; nil where there is only room for signs
}

// layout gives each step a column with its name where that leaves room for a
// log line, else only its sign.
func (s screen) layout(groups []*report.Group) layout {
	l := layout{s: s}
	width := 0
	for _, g := range groups {
		l.host = max(l.host, ansi.StringWidth(g.Name))
		for _, t := range g.Tasks {
			if g.IsHost() && !slices.Contains(l.steps, t.Step) && width <= s.width {
				l.steps = append(l.steps, t.Step)
				width += len(t.Step) + 4
			}
		}
	}
	l.host = min(l.host, max(s.width/4, 8))
	if l.host+2+width+24 > s.width {
		l.steps = nil
	}
	return l
}

// row draws one host.
func (l layout) row(run *report.Run, g *report.Group, now time.Time) string {
	name := ansi.Truncate(l.s.text(report.Clean(g.Name)), l.host, "")
	name += strings.Repeat(" ", max(l.host-ansi.StringWidth(name), 0)+2)
	return strings.TrimRight(name+l.stepsOf(g)+l.doing(run, g, now), " ")
}

// stepsOf draws the steps of a host. The fleet has steps of its own, which stand
// in no columns.
func (l layout) stepsOf(g *report.Group) string {
	var text strings.Builder
	if l.steps == nil || !g.IsHost() {
		for _, t := range g.Tasks {
			text.WriteString(l.s.draw(signOf(t)))
		}
		return text.String() + "  "
	}
	for _, step := range l.steps {
		t := g.Step(step)
		if t == nil {
			text.WriteString(strings.Repeat(" ", len(step)+4))
			continue
		}
		is := signOf(t)
		label := step
		if is == waiting || is == unneeded {
			label = l.s.paint(dim, step)
		}
		text.WriteString(l.s.draw(is) + " " + label + "  ")
	}
	return text.String()
}

// doing says what a host does now, or how it ended.
func (l layout) doing(run *report.Run, g *report.Group, now time.Time) string {
	var current *report.Task
	for _, t := range g.Tasks {
		if t.Running() && (current == nil || t.Started.After(current.Started)) {
			current = t
		}
	}
	switch {
	case current != nil:
		text := elapsed(now.Sub(current.Started))
		if l.steps == nil || !g.IsHost() {
			text = report.Clean(current.Step) + " " + text
		}
		if n := len(current.Log); n > 0 {
			text += "  " + l.s.paint(dim, l.s.text(current.Log[n-1]))
		}
		return text
	case run.Info.Dry || !g.IsHost() || stateOf(run, g) == waits:
		return ""
	}
	return l.s.text(g.Result())
}

// status is the line about the whole run.
func status(run *report.Run, now time.Time) string {
	known, ended := 0, 0
	var count [signs]int
	for _, g := range run.Groups {
		for _, t := range g.Tasks {
			is := signOf(t)
			known++
			count[is]++
			if is != running && is != waiting {
				ended++
			}
		}
	}
	said := []string{fmt.Sprintf("%d of %d tasks", ended, max(run.Info.Tasks, known))}
	for is, n := range count {
		if word := drawn[is].word; word != "" && n > 0 {
			said = append(said, fmt.Sprintf("%d %s", n, word))
		}
	}
	took := time.Duration(run.Seconds * float64(time.Second))
	if !run.Done && !run.Started.IsZero() {
		took = now.Sub(run.Started)
	}
	phase := ""
	if run.Plan == nil {
		phase = "planning: "
	}
	return phase + strings.Join(said, ", ") + ", " + elapsed(took)
}

// elapsed is a time in whole seconds: a frame that changes more often than
// that tires the eye.
func elapsed(d time.Duration) string {
	if d < 10*time.Second {
		return fmt.Sprintf("%d s", max(int(d.Seconds()), 0))
	}
	return report.Took(d.Truncate(time.Second).Seconds())
}

// failure is what stays above the frame when a task fails: what, why, and the
// end of its log, wrapped to the screen.
func failure(t *report.Task, s screen) []string {
	lines := []string{s.draw(failed) + " " + s.paint(red, s.text(report.Clean(t.Name))+" "+string(t.Status))}
	add := func(indent, text string) {
		for _, part := range strings.Split(ansi.Wrap(s.text(text), max(s.width-1-len(indent), 10), ""), "\n") {
			lines = append(lines, indent+part)
		}
	}
	for _, line := range strings.Split(t.Why(), "\n") {
		add("    ", line)
	}
	for _, line := range t.Log[max(len(t.Log)-failureLog, 0):] {
		add("      ", line)
	}
	for i := range lines {
		lines[i] = s.cut(lines[i])
	}
	return lines
}

// failureLog is how many lines of its log a failed task shows at once.
const failureLog = 8
