package report

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"time"
)

// Sizes of the timeline, in units of the SVG's view box.
const (
	laneLabel = 130.0
	laneWidth = 860.0
	barHeight = 15.0
	barStep   = 18.0
	laneGap   = 6.0
	axisRoom  = 26.0
	maxLanes  = 150 // above this, the hosts that took longest are drawn
)

// timeline is a drawing: one lane per group, one bar per task that worked.
type timeline struct {
	Width, Height float64
	Axis          float64 // where the lanes end
	Ticks         []tick
	Lanes         []lane
	Left          int // groups that are not drawn
}

type tick struct {
	X     float64
	Label string
}

type lane struct {
	Name        string
	Y, H, TextY float64
	Bars        []bar
}

type bar struct {
	X, Y, W, H   float64
	TextX, TextY float64
	Label        string // empty where there is no room
	Title        string
	Task         *Task
	Critical     bool
}

// timeline lays out the bars; tasks of a group that worked at the same time lie
// below each other.
func (r *Run) timeline(critical map[*Task]bool) timeline {
	end := r.Seconds
	for _, t := range r.Tasks() {
		_, to := r.span(t)
		end = max(end, to)
	}
	end = max(end, 0.1)
	groups, left := r.lanes(critical)
	d := timeline{Width: laneLabel + laneWidth + 20, Left: left}
	scale := laneWidth / end
	y := laneGap
	for _, g := range groups {
		l := lane{Name: laneName(g.Name), Y: y}
		var rows []float64 // where each row of bars is free again
		for _, t := range g.byStart(r) {
			from, to := r.span(t)
			row := slices.IndexFunc(rows, func(free float64) bool { return free <= from+1e-9 })
			if row < 0 {
				row, rows = len(rows), append(rows, 0)
			}
			rows[row] = to
			b := bar{
				X: laneLabel + from*scale, Y: y + float64(row)*barStep, W: max((to-from)*scale, 1.5), H: barHeight,
				Task: t, Critical: critical[t],
				Title: fmt.Sprintf("%s: %s, %s, from %.1f s to %.1f s", Clean(t.Name), statusWord(t.End()), Took(to-from), from, to),
			}
			if b.Critical {
				b.Title += ", on the critical path"
			}
			if float64(len(t.Step))*6.5+8 < b.W {
				b.Label, b.TextX, b.TextY = Clean(t.Step), b.X+5, b.Y+11.5
			}
			l.Bars = append(l.Bars, b)
		}
		l.H = float64(len(rows)) * barStep
		l.TextY = y + 11.5
		y += l.H + laneGap
		d.Lanes = append(d.Lanes, l)
	}
	d.Axis, d.Height = y, y+axisRoom
	step := niceStep(end / 8)
	for s := 0.0; s <= end+1e-9; s += step {
		d.Ticks = append(d.Ticks, tick{laneLabel + s*scale, fmt.Sprintf("%g s", math.Round(s*100)/100)})
	}
	return d
}

// laneName is a group's name, as long as there is room for beside the drawings.
func laneName(name string) string { return cut(Clean(name), 18, "…") }

// lanes returns the groups in which something worked: all, or the most telling
// ones.
func (r *Run) lanes(critical map[*Task]bool) (groups []*Group, left int) {
	for _, g := range r.Groups {
		if len(g.byStart(r)) > 0 {
			groups = append(groups, g)
		}
	}
	if len(groups) <= maxLanes {
		return groups, 0
	}
	weight := func(g *Group) float64 {
		w := g.Seconds()
		for _, t := range g.Tasks {
			if critical[t] || toneOf(t.End()) == toneBad {
				w += 1e9
			}
		}
		return w
	}
	heavy := slices.SortedStableFunc(slices.Values(groups), func(a, b *Group) int { return cmp.Compare(weight(b), weight(a)) })[:maxLanes]
	left = len(groups) - maxLanes
	return slices.DeleteFunc(groups, func(g *Group) bool { return !slices.Contains(heavy, g) }), left
}

// byStart returns the group's tasks that worked, in the order in which they
// began.
func (g *Group) byStart(r *Run) []*Task {
	var worked []*Task
	for _, t := range g.Tasks {
		if from, to := r.span(t); to > from {
			worked = append(worked, t)
		}
	}
	slices.SortStableFunc(worked, func(a, b *Task) int {
		fromA, _ := r.span(a)
		fromB, _ := r.span(b)
		return cmp.Compare(fromA, fromB)
	})
	return worked
}

// span is when the task worked, in seconds of the run; 0, 0 when it did not.
func (r *Run) span(t *Task) (from, to float64) {
	since := func(at time.Time) float64 { return max(at.Sub(r.Started).Seconds(), 0) }
	switch {
	case t.Running():
		return since(t.Started), max(r.Seconds, since(t.Started))
	case t.Ended.IsZero():
		return 0, 0
	case !t.Started.IsZero():
		return since(t.Started), max(since(t.Ended), since(t.Started))
	}
	return max(since(t.Ended)-t.Seconds, 0), since(t.Ended)
}

// niceStep is the smallest of 1, 2, 5, 10, 20, 50, ... tenths of seconds that
// is not below the wish.
func niceStep(wish float64) float64 {
	for unit := 0.1; ; unit *= 10 {
		for _, n := range []float64{1, 2, 5} {
			if n*unit >= wish {
				return n * unit
			}
		}
	}
}
