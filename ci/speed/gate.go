package speed

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"time"

	"roost/ci/speed/shape"
)

// slack is what the gate allows over a goal.
const slack = 1.25

// The sizes of the gate.
const (
	gateTasks  = 10_000
	coldTasks  = 2_000  // processes take their time
	bareTasks  = 50_000 // enough that a task shows in the memory of a process
	smallTasks = 30
)

// Bounds of the gate that the goals give in another unit.
const (
	// 64 MiB at 100,000 tasks and 300,000 edges, all of the process.
	bytesATask = 64 << 20 / 100_000
	// 50 ms at a million tasks, on a machine where the floor takes 2.5 ms.
	passFloors = 20
)

// gate is one ratio that must hold.
type gate struct {
	goal, what string
	limit      float64 // without the slack
	pairs      int     // in a set
	unit       string
	// pair measures both sides once, one right after the other; the figure is
	// a by b.
	pair func(context.Context) (a, b float64, err error)
}

// mostSets bounds how often a gate is measured again before it fails.
const mostSets = 5

// hold measures pairs until the ratio holds, and returns it.
//
// What disturbs a run only ever makes it longer, so the fastest of each side is
// the best known of what it costs, and comes closer to it with each set; the
// sides take turns, so that a slow minute hits both. By this a run that is slow
// for once never fails the gate, and a floor that is slow for once never passes
// a regression. Where something disturbs all the time, a short run finds a gap
// and a longer one does not: so before it fails, the median of the ratios of all
// pairs counts as well. See the simulations in gate_test.go: the median of one
// set would let regressions pass.
func (g gate) hold(ctx context.Context, pause func(set int)) (float64, error) {
	a, b := math.Inf(1), math.Inf(1)
	var ratios []float64
	for set := range mostSets {
		if set > 0 {
			pause(set)
		}
		for range g.pairs {
			x, y, err := g.pair(ctx)
			if err != nil {
				return 0, fmt.Errorf("%s: %w", g.goal, err)
			}
			a, b = min(a, x), min(b, y)
			ratios = append(ratios, x/y)
		}
		if a/b <= g.limit*slack {
			return a / b, nil
		}
	}
	figure := min(a/b, median(ratios, func(r float64) float64 { return r }))
	if figure <= g.limit*slack {
		return figure, nil
	}
	return figure, fmt.Errorf("%s, %s: %s%s; the goal is %s%s, and with its slack of 25 %% %s%s (%d runs of each)",
		g.goal, g.what, short(figure), g.unit, short(g.limit), g.unit, short(g.limit*slack), g.unit, len(ratios))
}

// Gate holds the engine to the floor programs at 10,000 tasks, with 25 % slack.
// It prints each figure, measures all, and fails if any does not hold.
func Gate(ctx context.Context, out io.Writer) error {
	dir, _, err := scratch(gateTasks + bareTasks)
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	// The workspaces are there to be looked at, the programs to be run: a
	// folder in memory may not allow that.
	bin, err := os.MkdirTemp("", "roost-speed-bin-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(bin)
	gates, err := gates(ctx, dir, bin, out)
	if err != nil {
		return err
	}
	pause := func(set int) { time.Sleep(time.Duration(set) * 500 * time.Millisecond) }
	var errs []error
	for _, g := range gates {
		figure, err := g.hold(ctx, pause)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		errs = append(errs, err)
		if figure > 0 {
			fmt.Fprintf(out, "%-3s %-55s %8s%s (at most %s%s)\n", g.goal, g.what, short(figure), g.unit, short(g.limit*slack), g.unit)
		}
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("%w\n  `ROOST_BENCH=engine go tool mage bench` measures it all", err)
	}
	return nil
}

// gates prepares the workspaces, and says what is to be held.
func gates(ctx context.Context, dir, bin string, out io.Writer) ([]gate, error) {
	p, err := build(ctx, bin, out)
	if err != nil {
		return nil, err
	}
	l := launcher{p["launch"], bin}
	jobs := runtime.NumCPU()
	warm, err := gateWorkspace(dir, "warm", gateTasks)
	if err != nil {
		return nil, err
	}
	cold, err := gateWorkspace(dir, "cold", coldTasks)
	if err != nil {
		return nil, err
	}
	if err := warm.makeOuts(); err != nil {
		return nil, err
	}
	var stamps []string
	if _, err := l.run(ctx, p.contender(Roost, "layered", smallTasks, jobs, cold, "-stamps", "-dry")); err == nil {
		stamps = []string{"-stamps"}
	}
	ours := p.contender(Roost, "layered", gateTasks, jobs, warm, stamps...)
	looks := p.floor(StatFloor, jobs, warm)
	runs := p.contender(Roost, "layered", coldTasks, jobs, cold, stamps...)
	spawns := p.floor(SpawnFloor, jobs, cold)
	bare := p.contender(Roost, "layered", bareTasks, jobs, cold, "-bare")
	small := p.contender(Roost, "layered", smallTasks, jobs, cold, "-bare")

	// The first run makes the state, the second finds files at rest.
	first := ours
	first.argv = append(first.argv[:len(first.argv):len(first.argv)], "-inprocess")
	for _, e := range []entrant{first, ours} {
		if _, err := l.run(ctx, e); err != nil {
			return nil, err
		}
		time.Sleep(settle)
	}
	if stamps != nil {
		if err := l.remakes(ctx, ours); err != nil {
			return nil, err
		}
	}
	wall := func(ctx context.Context, phase Phase, e entrant) (float64, error) {
		r, err := l.measure(ctx, phase, e)
		return ms(r.Wall), err
	}
	both := func(phaseA Phase, a entrant, phaseB Phase, b entrant) func(context.Context) (float64, float64, error) {
		return func(ctx context.Context) (float64, float64, error) {
			x, errA := wall(ctx, phaseA, a)
			y, errB := wall(ctx, phaseB, b)
			return x, y, errors.Join(errA, errB)
		}
	}
	return []gate{
		{"G1", "no-op to the stat floor", 1.3, 9, " x", both(NoOp, ours, NoOp, looks)},
		{"G3", "all touched, 0 tasks run, to the no-op", 4, 5, " x", both(Touched, ours, NoOp, ours)},
		{"G5", "cold to the spawn floor, " + strconv.Itoa(coldTasks) + " tasks", 1.15, 3, " x", both(Cold, runs, Cold, spawns)},
		{"G7", "memory, " + strconv.Itoa(bareTasks) + " tasks", bytesATask, 2, " bytes a task", func(ctx context.Context) (float64, float64, error) {
			large, errA := l.measure(ctx, Bare, bare)
			little, errB := l.measure(ctx, Bare, small)
			return float64(large.Peak - little.Peak), bareTasks - smallTasks, errors.Join(errA, errB)
		}},
		{"G8", "slowest pass to the floor, 1,000,000 tasks", passFloors, 1, " x", func(ctx context.Context) (float64, float64, error) {
			all, err := passes(ctx)
			return slowestPass(&Results{Passes: all}).value, ms(passFloor(all)), err
		}},
	}, nil
}

func gateWorkspace(dir, name string, n int) (*workspace, error) {
	s, err := shape.New("layered", n)
	if err != nil {
		return nil, err
	}
	return newWorkspace(filepath.Join(dir, name), s)
}

func passFloor(all []Pass) time.Duration {
	for _, p := range all {
		if p.Name == PassFloor {
			return p.Took
		}
	}
	return 0
}
