package speed

import (
	"cmp"
	"slices"
	"time"

	"roost/ci/speed/took"
)

// The entrants.
const (
	StatFloor  = "stat floor"
	HashFloor  = "hash floor"
	SpawnFloor = "spawn floor"

	Roost       = "roost"
	RoostVerify = "roost, no time stamp believed"
	RoostDry    = "roost, dry run"
	RoostEvents = "roost, with events"
	RoostInside = "roost, tasks in process"
	RoostLimits = "roost, with limits and retries"
	RoostWhy    = "roost, why"

	Ninja   = "ninja"
	Samurai = "samurai"
	Make    = "GNU make"
	GoTask  = "go-task"
	Ansible = "Ansible"
)

// Phase is what is done before a run, and so what the run has to do.
type Phase string

// The phases of a shape, in the order in which they are measured.
const (
	Cold    Phase = "cold"        // nothing is made, no state
	NoOp    Phase = "no-op"       // nothing has changed
	Leaf    Phase = "one leaf"    // the content of one source
	Touched Phase = "all touched" // the times of all sources, not their content
	Bare    Phase = "bare"        // cold, and tasks read and make no files
	Probes  Phase = "probes"      // hosts that answer after a while
)

// Key names a cell of the results.
type Key struct {
	Shape string // "layered 10000"
	Phase Phase
	Who   string
}

// Run is one measured run of one entrant.
type Run struct {
	took.Process
	Said  took.Run      // of the contender
	First time.Duration // from the start of the process to the first stamp file; 0: not looked at
}

// Cell is the runs of one entrant in one phase.
type Cell struct {
	Key
	Runs  []Run
	Noisy bool // some were made while something else used the processors
}

func (c *Cell) wall() time.Duration {
	return median(c.Runs, func(r Run) time.Duration { return r.Wall })
}

func (c *Cell) cpu() time.Duration {
	return median(c.Runs, func(r Run) time.Duration { return r.CPU })
}

func (c *Cell) first() time.Duration {
	return median(c.Runs, func(r Run) time.Duration { return r.First })
}

// peak is the largest, not the median: a limit of memory is one for each run.
func (c *Cell) peak() int64 {
	return slices.MaxFunc(c.Runs, func(a, b Run) int { return cmp.Compare(a.Peak, b.Peak) }).Peak
}

// median is the middle one, of an even number the lower of the two.
func median[T any, V cmp.Ordered](all []T, value func(T) V) V {
	values := make([]V, len(all))
	for i, one := range all {
		values[i] = value(one)
	}
	slices.Sort(values)
	return values[(len(values)-1)/2]
}
