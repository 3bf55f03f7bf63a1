package speed

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"

	"roost/ci/speed/shape"
)

// Options say what is measured.
type Options struct {
	Out     io.Writer                              // what is done, line by line
	Most    int                                    // tasks of the largest graph; 0 = 1,000,000
	Install func(context.Context, ...string) error // installs Debian packages
}

// Results are what was measured.
type Results struct {
	Jobs     int
	InMemory bool     // workspaces were in memory, not on a disk
	Versions []string // of the peers
	Missing  []string // peers that could not be had
	Stamps   bool     // the engine knows the files that tasks make
	Cells    []*Cell
	Passes   []Pass
}

// bench is a measurement at work.
type bench struct {
	Options
	Results
	programs
	launcher
}

// Measure measures everything. It takes about an hour with the largest graphs.
func Measure(ctx context.Context, o Options) (*Results, error) {
	if o.Most == 0 {
		o.Most = 1_000_000
	}
	b := &bench{Options: o}
	b.Jobs = runtime.NumCPU()
	dir, err := os.MkdirTemp("", "roost-speed-bin-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	if b.programs, err = build(ctx, dir, o.Out); err != nil {
		return nil, err
	}
	b.launcher = launcher{b.programs["launch"], dir}
	b.Versions, b.Missing = b.find(ctx, dir, o.Install)
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	for _, one := range sets {
		if err := b.set(ctx, one); err != nil {
			return nil, err
		}
	}
	if b.Passes, err = passes(ctx); err != nil {
		return nil, err
	}
	return &b.Results, nil
}

// set is one graph with those who run it, and how many rounds of each phase.
type set struct {
	shape  string
	n      int
	peers  []string
	rounds map[Phase]int // a phase without rounds is left out
	// few are the peers of which all touched is measured too: to run everything
	// again is their answer, and takes as long as a cold run.
	few []string
}

var fileEngines = []string{Ninja, Samurai, Make}

var sets = []set{
	{shape: "layered", n: 1000, peers: append(fileEngines[:3:3], GoTask), few: fileEngines, rounds: map[Phase]int{Cold: 3, NoOp: 7, Leaf: 5, Touched: 5}},
	{shape: "layered", n: 10_000, peers: fileEngines, rounds: map[Phase]int{Cold: 3, NoOp: 9, Leaf: 5, Touched: 5}},
	{shape: "layered", n: 100_000, peers: fileEngines, rounds: map[Phase]int{Cold: 1, NoOp: 7, Leaf: 5, Touched: 5}},
	{shape: "layered", n: 100_000, rounds: map[Phase]int{Bare: 5}},
	{shape: "layered", n: 1_000_000, rounds: map[Phase]int{Bare: 1}},
	{shape: "fleet", n: 100, peers: append(fileEngines[:3:3], GoTask, Ansible), rounds: map[Phase]int{Cold: 1, NoOp: 5, Leaf: 5}},
	{shape: "fleet", n: 1000, peers: fileEngines, rounds: map[Phase]int{Cold: 1, NoOp: 7, Leaf: 5}},
	{shape: "fleet", n: 10_000, peers: fileEngines[:2], rounds: map[Phase]int{Cold: 1, NoOp: 7}},
	{shape: "probes", n: 1000, rounds: map[Phase]int{Probes: 3}},
}

// set measures one graph in all its phases.
func (b *bench) set(ctx context.Context, one set) error {
	s, err := shape.New(one.shape, one.n)
	if one.shape == "probes" {
		s, err = shape.New("fleet", 1) // it has no files; any workspace will do
	}
	if err != nil {
		return err
	}
	if max(s.Len(), one.n) > b.Most {
		fmt.Fprintf(b.Out, "%s %d: left out, larger than %d\n", one.shape, one.n, b.Most)
		return nil
	}
	dir, inMemory, err := scratch(s.Len() * (len(one.peers) + 2)) // the floors have one as well
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	b.InMemory = inMemory
	e, err := b.enter(ctx, one, s, dir)
	if err != nil {
		return err
	}
	for _, phase := range []Phase{Cold, NoOp, Leaf, Touched, Bare, Probes} {
		if one.rounds[phase] == 0 {
			continue
		}
		if phase == NoOp {
			if err := b.rest(ctx, one.shape, e); err != nil {
				return err
			}
		}
		if err := b.phase(ctx, fmt.Sprintf("%s %d", one.shape, one.n), phase, one.rounds[phase], e[phase]); err != nil {
			return err
		}
	}
	return nil
}

// enter makes the workspaces of a set, and says who takes part in which phase.
func (b *bench) enter(ctx context.Context, one set, s shape.Shape, dir string) (map[Phase][]entrant, error) {
	if one.rounds[Bare]+one.rounds[Probes] > 0 {
		return b.enterBare(one, dir)
	}
	e := map[Phase][]entrant{}
	floor, err := newWorkspace(filepath.Join(dir, "floor"), s)
	if err != nil {
		return nil, err
	}
	ours, err := newWorkspace(filepath.Join(dir, "roost"), s)
	if err != nil {
		return nil, err
	}
	if err := b.knowsStamps(ctx, ours); err != nil {
		return nil, err
	}
	engine := func(who string, flags ...string) entrant {
		if b.Stamps && one.shape == "layered" { // a step on a host makes no file here
			flags = append(flags, "-stamps")
		}
		return b.contender(who, one.shape, one.n, b.Jobs, ours, flags...)
	}
	plain := engine(Roost)
	e[Cold] = []entrant{b.floor(SpawnFloor, b.Jobs, floor), plain}
	e[NoOp] = []entrant{b.floor(StatFloor, b.Jobs, floor), plain}
	e[Leaf], e[Touched] = []entrant{plain}, []entrant{plain}
	if one.shape == "layered" {
		e[Cold] = slices.Insert(e[Cold], 1, engine(RoostInside, "-inprocess"), engine(RoostEvents, "-events"))
		e[NoOp] = append(e[NoOp], b.floor(HashFloor, b.Jobs, floor), engine(RoostVerify, "-verify"), engine(RoostDry, "-dry"))
		why := engine(RoostWhy, "-why", s.Name(s.Leaf()))
		e[NoOp] = append(e[NoOp], why)
	}
	for _, who := range one.peers {
		w, err := newWorkspace(filepath.Join(dir, strings.ReplaceAll(who, " ", "-")), s)
		if err != nil {
			return nil, err
		}
		peer, ok, err := b.peer(who, b.Jobs, w)
		if err != nil {
			return nil, err
		}
		if !ok {
			continue
		}
		e[Cold], e[NoOp] = append(e[Cold], peer), append(e[NoOp], peer)
		if !peers[who].again {
			e[Leaf] = append(e[Leaf], peer)
		}
		if slices.Contains(one.few, who) {
			e[Touched] = append(e[Touched], peer)
		}
	}
	return e, nil
}

// enterBare is for graphs whose tasks have no files.
func (b *bench) enterBare(one set, dir string) (map[Phase][]entrant, error) {
	s, err := shape.New("fleet", 1)
	if err != nil {
		return nil, err
	}
	w, err := newWorkspace(dir, s)
	if err != nil {
		return nil, err
	}
	if one.shape == "probes" {
		return map[Phase][]entrant{Probes: {b.contender(Roost, one.shape, one.n, probesAtOnce, w)}}, nil
	}
	all := []entrant{b.contender(Roost, one.shape, one.n, b.Jobs, w, "-bare")}
	if one.rounds[Bare] > 1 {
		all = append(all,
			b.contender(RoostEvents, one.shape, one.n, b.Jobs, w, "-bare", "-events"),
			b.contender(RoostLimits, one.shape, one.n, b.Jobs, w, "-bare", "-limits"))
	}
	return map[Phase][]entrant{Bare: all}, nil
}

// knowsStamps asks the engine whether it knows the files that tasks make.
func (b *bench) knowsStamps(ctx context.Context, w *workspace) error {
	probe := b.contender(Roost, "layered", 30, b.Jobs, w, "-stamps", "-dry")
	_, err := b.run(ctx, probe)
	b.Stamps = err == nil
	return ctx.Err()
}

// rest lets everybody run once more after the cold runs, without a clock: what
// was made a moment ago is looked at more closely than what is old. The last cold
// run of the workspace need not have been that of the entrant.
func (b *bench) rest(ctx context.Context, shapeName string, e map[Phase][]entrant) error {
	if b.Stamps && shapeName == "layered" {
		if err := b.remakes(ctx, e[Leaf][0]); err != nil {
			return err
		}
	}
	time.Sleep(settle)
	for _, one := range e[NoOp] {
		switch one.who {
		case StatFloor, HashFloor, Ansible: // they keep nothing
			continue
		}
		if _, err := b.run(ctx, one); err != nil {
			return err
		}
	}
	return nil
}

// phase measures the entrants of one phase.
func (b *bench) phase(ctx context.Context, name string, phase Phase, want int, entrants []entrant) error {
	rounds, noisy, err := interleave(ctx, want, func(ctx context.Context) (round, error) {
		before, err := processorsNow()
		if err != nil {
			return round{}, err
		}
		r := round{runs: make([]Run, len(entrants))}
		for i, e := range entrants {
			if r.runs[i], err = b.measure(ctx, phase, e); err != nil {
				return r, err
			}
		}
		after, err := processorsNow()
		r.foreign = before.foreign(after)
		return r, err
	})
	if err != nil {
		return err
	}
	for i, e := range entrants {
		cell := &Cell{Key: Key{name, phase, e.who}, Noisy: noisy}
		for _, r := range rounds {
			cell.Runs = append(cell.Runs, r.runs[i])
		}
		b.Cells = append(b.Cells, cell)
		fmt.Fprintf(b.Out, "%-16s %-12s %-30s %10.1f ms  peak %6.1f MiB\n", name, phase, e.who, ms(cell.wall()), float64(cell.peak())/(1<<20))
	}
	return nil
}
