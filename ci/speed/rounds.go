package speed

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// quiet is how much of the processors others may use in a round.
const quiet = 0.15

// round is one run of each entrant, one after the other.
type round struct {
	runs    []Run
	foreign float64 // the part of the processors that others used
}

// interleave makes rounds until there are enough quiet ones, and at most half as
// many again and one. Then it keeps the quietest, in the order in which they were
// made, and says whether any of them was not quiet.
func interleave(ctx context.Context, want int, one func(context.Context) (round, error)) (kept []round, noisy bool, err error) {
	calm := 0
	for made := 0; calm < want && made < want+want/2+1; made++ {
		r, err := one(ctx)
		if err != nil {
			return nil, false, err
		}
		kept = append(kept, r)
		if r.foreign <= quiet {
			calm++
		}
	}
	limit := slices.SortedFunc(slices.Values(kept), func(a, b round) int { return cmp.Compare(a.foreign, b.foreign) })[want-1].foreign
	kept = slices.DeleteFunc(kept, func(r round) bool { return r.foreign > limit })[:want]
	return kept, limit > quiet, nil
}

// processors is what the machine's processors have done so far, and how much of
// it was for us and the processes that we have waited for.
type processors struct {
	at        time.Time
	busy, own time.Duration
}

// now reads both.
func processorsNow() (p processors, err error) {
	data, err := os.ReadFile("/proc/stat")
	if err != nil {
		return p, err
	}
	if p.busy, err = busy(string(data)); err != nil {
		return p, err
	}
	p.at = time.Now()
	for _, who := range []int{syscall.RUSAGE_SELF, syscall.RUSAGE_CHILDREN} {
		var u syscall.Rusage
		if err := syscall.Getrusage(who, &u); err != nil {
			return p, err
		}
		p.own += time.Duration(u.Utime.Nano() + u.Stime.Nano())
	}
	return p, nil
}

// tick is the unit of /proc/stat, which Linux fixes for programs.
const tick = 10 * time.Millisecond

// busy reads the first line of /proc/stat: user, nice, system, idle, iowait,
// irq, softirq, steal; what a hypervisor steals is used by others as well.
func busy(stat string) (time.Duration, error) {
	line, _, _ := strings.Cut(stat, "\n")
	fields := strings.Fields(line)
	if len(fields) < 9 || fields[0] != "cpu" {
		return 0, fmt.Errorf("/proc/stat begins with %q", line)
	}
	var ticks int64
	for _, i := range []int{1, 2, 3, 6, 7, 8} {
		n, err := strconv.ParseInt(fields[i], 10, 64)
		if err != nil {
			return 0, fmt.Errorf("/proc/stat: %w", err)
		}
		ticks += n
	}
	return time.Duration(ticks) * tick, nil
}

// foreign is the part of all processors that others used from p to q. A tick is
// coarse, so a short time says little: it is taken as quiet unless more than two
// ticks a processor were used.
func (p processors) foreign(q processors) float64 {
	used := (q.busy - p.busy) - (q.own - p.own) - time.Duration(2*runtime.NumCPU())*tick
	whole := q.at.Sub(p.at) * time.Duration(runtime.NumCPU())
	return max(0, used.Seconds()/whole.Seconds())
}
