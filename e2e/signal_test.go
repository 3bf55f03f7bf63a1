package e2e

import (
	"math/rand/v2"
	"strings"
	"syscall"
	"testing"
	"time"

	"roost/graph"
)

func TestSignals(t *testing.T) {
	for _, c := range []struct {
		signal syscall.Signal
		step   string
		code   int
	}{
		{syscall.SIGINT, "eval", 130},
		{syscall.SIGTERM, "eval", 143},
		{syscall.SIGINT, "copy", 130},
		{syscall.SIGTERM, "copy", 143},
		{syscall.SIGINT, "activate", 130},
		{syscall.SIGTERM, "activate", 143},
	} {
		t.Run(c.signal.String()+" during "+c.step, func(t *testing.T) {
			f := booted(t)
			f.change(t, everyone...)
			switch c.step {
			case "copy":
				f.payload(t, "heron", 25_000_000)
				must(t, f.lab.Slow(t.Context(), "heron", 0, 20_000_000)) // 10 seconds of copying
			case "activate":
				f.set(t, "heron", "faults.slowSwitch", "3")
			}
			old := f.current(t, "heron")
			p := f.start(t)
			p.await(t, graph.TaskStarted, "heron/"+c.step)
			if c.step == "copy" {
				time.Sleep(500 * time.Millisecond)
			}
			signalled := time.Now()
			p.signal(t, c.signal)
			r := p.wait(t)
			r.want(t, c.code)
			p.leftNothing(t)
			// Well below the minute that an effect has: the machine may be busy.
			if took := time.Since(signalled); took > 40*time.Second {
				t.Error(r.failure("it took %s to stop", took))
			}
			if c.step == "activate" {
				r.ended(t, "heron/activate", graph.StatusRan)
				r.running(t, f, "heron")
			} else if now := f.current(t, "heron"); now != old {
				t.Error(r.failure("heron runs %s", now))
			}
			must(t, f.lab.Mend(t.Context(), "heron"))

			r = f.run(t)
			r.want(t, 0)
			r.running(t, f, everyone...)
			if strings.Contains(r.stderr, "cut off") {
				t.Error(r.failure("a run that ended in order counts as cut off"))
			}
			for _, host := range everyone {
				if n := f.switches(t, host, r.system(t, host)); n != 1 {
					t.Error(r.failure("%d activations on %s, want 1", n, host))
				}
			}
		})
	}
}

func TestKilledAtRandomMoments(t *testing.T) {
	f := booted(t)
	f.change(t, everyone...)
	whole := f.run(t)
	whole.want(t, 0)
	const seed, kills = 20250722, 10
	random := rand.New(rand.NewPCG(seed, 0))
	var first *process
	for i := range kills {
		// One moment in each tenth of a run.
		moment := time.Duration((float64(i) + random.Float64()) / kills * float64(whole.took))
		version := f.change(t, everyone...)
		p := f.start(t)
		time.Sleep(moment)
		_ = p.cmd.Process.Kill() // perhaps it was quicker
		killed := p.wait(t)
		if first == nil {
			first = p
		}
		last := graph.EventKind("nothing")
		for _, e := range killed.events {
			last = e.Kind
		}
		t.Logf("%s: killed after %s, the record ends with %s", version, moment, last)

		r := f.run(t)
		r.want(t, 0)
		r.running(t, f, everyone...)
		cutOff := killed.record != "" && last != graph.RunFinished
		if said := strings.Contains(r.stderr, "was cut off"); said != cutOff {
			t.Error(r.failure("it says that the last run was cut off: %v, want %v", said, cutOff))
		}
		for _, host := range everyone {
			if n := f.switches(t, host, r.system(t, host)); n != 1 {
				t.Error(r.failure("%d activations on %s, want 1; the run before was killed after %s:\n%s", n, host, moment, killed.stdout))
			}
		}
		for _, host := range web {
			if got := f.version(t, host); got != version {
				t.Error(r.failure("the web server of %s answers %q, want %q", host, got, version))
			}
		}
	}
	f.run(t).didNothing(t)
	first.leftNothing(t) // its ssh masters end by themselves, 15 seconds after their last use
}
