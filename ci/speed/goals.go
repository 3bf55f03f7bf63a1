package speed

import (
	"fmt"
	"time"
)

// What the goals of the probes are made of; package contender has the same fleet.
const (
	probesAtOnce  = 128
	probeLatency  = 50 * time.Millisecond
	probeDeadline = 2 * time.Second
	deadOne       = 20
)

// figure is what a goal is held to.
type figure struct {
	value float64
	known bool // all that it is made of was measured
	noisy bool // some of it while something else used the processors
}

// goal is a bound on a figure that is computed from the results.
type goal struct {
	id, what string
	bound    float64
	least    bool   // the bound is the least, not the most
	unit     string // behind the figure
	figure   func(*Results) figure
	tests    string // the tests that hold it, where it is no figure
}

// verdict is the goal's figure and whether it is met.
func (g goal) verdict(r *Results) (text, verdict string) {
	if g.tests != "" {
		return "", "tests: " + g.tests
	}
	f := g.figure(r)
	switch {
	case !f.known:
		return "", "not measured"
	case g.least && f.value >= g.bound, !g.least && f.value <= g.bound:
		verdict = "met"
	default:
		verdict = "**not met**"
	}
	text = short(f.value) + g.unit
	if f.noisy {
		text += "~"
	}
	return text, verdict
}

func (g goal) limit() string {
	switch {
	case g.tests != "":
		return ""
	case g.least:
		return "at least " + short(g.bound) + g.unit
	}
	return "at most " + short(g.bound) + g.unit
}

// short shows three digits that count.
func short(v float64) string {
	switch {
	case v >= 100 || v == float64(int64(v)):
		return fmt.Sprintf("%.0f", v)
	case v >= 10:
		return fmt.Sprintf("%.1f", v)
	}
	return fmt.Sprintf("%.2f", v)
}

// figures reads one shape's cells, and notes when one is missing or noisy.
type figures struct {
	r         *Results
	shape     string
	ok, noisy bool
}

func (r *Results) of(shape string) *figures { return &figures{r: r, shape: shape, ok: true} }

func (r *Results) cell(k Key) *Cell {
	for _, c := range r.Cells {
		if c.Key == k {
			return c
		}
	}
	return nil
}

// some returns a figure of a cell.
func some[T any](f *figures, phase Phase, who string, of func(*Cell) T) (v T) {
	c := f.r.cell(Key{f.shape, phase, who})
	if c == nil {
		f.ok = false
		return v
	}
	f.noisy = f.noisy || c.Noisy
	return of(c)
}

func ms(d time.Duration) float64 { return d.Seconds() * 1000 }

// wall is the median, in ms.
func (f *figures) wall(phase Phase, who string) float64 { return ms(some(f, phase, who, (*Cell).wall)) }

// best is the wall of the fastest file engine, in ms.
func (f *figures) best(phase Phase) float64 {
	best := ""
	for _, who := range fileEngines {
		c := f.r.cell(Key{f.shape, phase, who})
		if c != nil && (best == "" || c.wall() < f.r.cell(Key{f.shape, phase, best}).wall()) {
			best = who
		}
	}
	return f.wall(phase, best)
}

// over is a quotient as a goal's figure.
func (f *figures) over(a, b float64) figure {
	if !f.ok || b == 0 {
		return figure{}
	}
	return figure{a / b, true, f.noisy}
}

// ratio is the wall of one entrant in terms of another's.
func ratio(shape string, phase Phase, a string, than Phase, b string) func(*Results) figure {
	return func(r *Results) figure {
		f := r.of(shape)
		return f.over(f.wall(phase, a), f.wall(than, b))
	}
}

// toBest is roost's wall in terms of that of the best file engine.
func toBest(shape string, phase Phase, who string) func(*Results) figure {
	return func(r *Results) figure {
		f := r.of(shape)
		return f.over(f.wall(phase, who), f.best(phase))
	}
}

// leaf is what is more than a no-op when one source has changed, less one spawn,
// in no-ops.
func leaf(shapeName string, tasks int) func(*Results) figure {
	return func(r *Results) figure {
		f := r.of(shapeName)
		spawn := f.wall(Cold, SpawnFloor) / float64(tasks) * float64(r.Jobs)
		return f.over(f.wall(Leaf, Roost)-spawn, f.wall(NoOp, Roost))
	}
}

// perTask is a difference of two walls, or one wall, by the task.
func perTask(shapeName string, phase Phase, who, less string, tasks float64, unit time.Duration) func(*Results) figure {
	return func(r *Results) figure {
		f := r.of(shapeName)
		wall := f.wall(phase, who)
		if less != "" {
			wall -= f.wall(phase, less)
		}
		return f.over(wall*float64(time.Millisecond)/float64(unit), tasks)
	}
}

// perEvent is what an event costs, in microseconds.
func perEvent(r *Results) figure {
	f := r.of("layered 100000")
	events := some(f, Bare, RoostEvents, func(c *Cell) int { return c.Runs[0].Said.Events })
	return f.over((f.wall(Bare, RoostEvents)-f.wall(Bare, Roost))*1000, float64(events))
}

// peak is the most memory of phases, in MiB.
func peak(shapeName, who string, phases ...Phase) func(*Results) figure {
	return func(r *Results) figure {
		f, most := r.of(shapeName), int64(0)
		for _, phase := range phases {
			most = max(most, some(f, phase, who, (*Cell).peak))
		}
		return f.over(float64(most), 1<<20)
	}
}

// firstTask is when the first task began, in ms after the start of the process.
func firstTask(shapeName string, phase Phase) func(*Results) figure {
	return func(r *Results) figure {
		f := r.of(shapeName)
		return f.over(ms(some(f, phase, Roost, func(c *Cell) time.Duration {
			return median(c.Runs, func(r Run) time.Duration { return r.Said.First })
		})), 1)
	}
}

// slowestPass is that of the passes over a million tasks, in ms.
func slowestPass(r *Results) figure {
	var most time.Duration
	for _, p := range r.Passes {
		if p.Name != PassFloor {
			most = max(most, p.Took)
		}
	}
	return figure{value: ms(most), known: most > 0}
}

// probes is the wall in terms of the best possible schedule, or the deadline if
// that is longer.
func probes(r *Results) figure {
	const hosts = 1000
	dead := (hosts + deadOne - 1) / deadOne
	work := time.Duration(dead)*probeDeadline + time.Duration(hosts-dead)*probeLatency
	f := r.of("probes 1000")
	return f.over(f.wall(Probes, Roost), ms(max(work/probesAtOnce, probeDeadline)))
}

// goals are what is to be reached. Ratios are of medians of one measurement.
func goals() []goal {
	var all []goal
	add := func(id, what string, bound float64, unit string, figure func(*Results) figure) {
		all = append(all, goal{id: id, what: what, bound: bound, unit: unit, figure: figure})
	}
	atLeast := func(id, what string, bound float64, figure func(*Results) figure) {
		all = append(all, goal{id: id, what: what, bound: bound, least: true, unit: " x", figure: figure})
	}
	const l1k, l10k, l100k, l1m = "layered 1000", "layered 10000", "layered 100000", "layered 1000000"
	const f100, f1k, f10k = "fleet 100", "fleet 1000", "fleet 10000"
	for _, s := range []string{l10k, l100k} {
		add("G1", "no-op to the stat floor, "+s, 1.3, " x", ratio(s, NoOp, Roost, NoOp, StatFloor))
		add("G1", "no-op to the best peer, "+s, 0.5, " x", toBest(s, NoOp, Roost))
	}
	add("G1", "no-op to ninja, "+l100k, 0.25, " x", ratio(l100k, NoOp, Roost, NoOp, Ninja))
	for _, s := range []string{l10k, l100k} {
		add("G2", "no-op that hashes every byte to the hash floor, "+s, 1.3, " x", ratio(s, NoOp, RoostVerify, NoOp, HashFloor))
		add("G2", "the same to ninja's no-op by times, "+s, 1.5, " x", ratio(s, NoOp, RoostVerify, NoOp, Ninja))
	}
	for _, s := range []string{l10k, l100k} {
		add("G3", "all touched, 0 tasks run, to the no-op, "+s, 4, " x", ratio(s, Touched, Roost, NoOp, Roost))
	}
	add("G4", "one leaf, less one spawn, to the no-op, "+l10k, 1.5, " x", leaf(l10k, 10_000))
	add("G4", "one leaf, less one spawn, to the no-op, "+l100k, 1.5, " x", leaf(l100k, 100_000))
	for _, s := range []string{l10k, l100k} {
		add("G5", "cold to the spawn floor, "+s, 1.15, " x", ratio(s, Cold, Roost, Cold, SpawnFloor))
		add("G5", "cold to the best peer, "+s, 1.1, " x", toBest(s, Cold, Roost))
	}
	add("G5", "cold to ninja, "+l10k, 1, " x", ratio(l10k, Cold, Roost, Cold, Ninja))
	add("G6", "cold, in process, with its files, a task, "+l100k, 10, " us", perTask(l100k, Cold, RoostInside, "", 100_000, time.Microsecond))
	add("G6", "cold, in process, without files, with events, a task, "+l100k, 10, " us", perTask(l100k, Bare, RoostEvents, "", 100_000, time.Microsecond))
	add("G7", "peak memory, cold and no-op, "+l100k, 64, " MiB", peak(l100k, Roost, Cold, NoOp))
	add("G7", "peak memory, in process, without files, "+l1m, 600, " MiB", peak(l1m, Roost, Bare))
	add("G8", "slowest pass over 1,000,000 tasks and 2,700,000 edges", 50, " ms", slowestPass)
	add("G9", "first task, nothing known, "+l100k, 300, " ms", firstTask(l100k, Cold))
	add("G9", "first task, one leaf changed, "+l100k, 100, " ms", firstTask(l100k, Leaf))
	for _, s := range []string{l10k, l100k} {
		add("G10", "dry run to the no-op, "+s, 1.1, " x", ratio(s, NoOp, RoostDry, NoOp, Roost))
	}
	all = append(all, goal{id: "G10", what: "what a dry run lists is what a run does", tests: "random graphs, package graph"})
	add("G11", "why one task, whole process, "+l100k, 50, " ms", func(r *Results) figure {
		f := r.of(l100k)
		return f.over(f.wall(NoOp, RoostWhy), 1)
	})
	add("G12", "cold with events, of which the trace is made, to without, "+l10k, 1.03, " x", ratio(l10k, Cold, RoostEvents, Cold, Roost))
	add("G12", "an event, "+l100k+" without files", 1, " us", perEvent)
	add("G13", "no-op to the best peer, "+f1k, 0.5, " x", toBest(f1k, NoOp, Roost))
	add("G13", "no-op to ninja, "+f10k, 0.2, " x", ratio(f10k, NoOp, Roost, NoOp, Ninja))
	atLeast("G13", "go-task's no-op to ours, "+f100, 50, ratio(f100, NoOp, GoTask, NoOp, Roost))
	atLeast("G13", "Ansible's no-op to ours, "+f100, 1000, ratio(f100, NoOp, Ansible, NoOp, Roost))
	add("G14", "probes of 1,000 hosts, 50 ms each, 128 at once, 1 in 20 dead for 2 s, to the ideal", 1.2, " x", probes)
	atLeast("G15", "go-task's no-op to ours, "+l1k, 50, ratio(l1k, NoOp, GoTask, NoOp, Roost))
	return append(all,
		goal{id: "G16", what: "killed at any moment, the next run is right", tests: "kills at random moments, package graph"},
		goal{id: "G17", what: "cancelled, no process is left after the grace", tests: "storms of failures, packages graph and command"},
		goal{id: "G18", what: "lane, pool, time-out and retries, a task, " + l100k + " without files", bound: 100, unit: " ns",
			figure: perTask(l100k, Bare, RoostLimits, Roost, 100_000, time.Nanosecond)})
}
