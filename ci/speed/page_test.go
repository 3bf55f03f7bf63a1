package speed

import (
	"encoding/xml"
	"strings"
	"testing"
	"time"

	"roost/ci/speed/took"
)

// sample are results as a measurement would give them, small enough to be
// computed by hand.
func sample() *Results {
	r := &Results{Jobs: 2, InMemory: true, Versions: []string{"ninja 1.11.1"}, Missing: []string{"samurai (no package)"}, Stamps: true,
		Passes: []Pass{{PassFloor, 2500 * time.Microsecond}, {"order", 9 * time.Millisecond}, {"critical", 51 * time.Millisecond}}}
	add := func(shape string, phase Phase, who string, peak int64, walls ...int) *Cell {
		c := &Cell{Key: Key{shape, phase, who}}
		for _, wall := range walls {
			w := time.Duration(wall) * time.Millisecond
			c.Runs = append(c.Runs, Run{Process: took.Process{Wall: w, CPU: w / 2, Peak: peak << 20}})
		}
		r.Cells = append(r.Cells, c)
		return c
	}
	const l1k, l10k = "layered 1000", "layered 10000"
	add(l1k, NoOp, StatFloor, 2, 4, 4, 5)
	add(l1k, NoOp, Roost, 5, 6, 7, 8)
	add(l1k, NoOp, GoTask, 170, 700, 650, 800)
	add(l10k, Cold, SpawnFloor, 2, 6000, 6100, 6200)
	cold := add(l10k, Cold, Roost, 9, 6900, 7000, 9000)
	for i := range cold.Runs {
		cold.Runs[i].First = 55 * time.Millisecond
	}
	add(l10k, Cold, RoostEvents, 9, 7200, 7210, 7300)
	add(l10k, Cold, Ninja, 12, 6900, 6950, 7100).Noisy = true
	add(l10k, NoOp, StatFloor, 2, 20, 20, 21)
	add(l10k, NoOp, Roost, 10, 24, 26, 100)
	add(l10k, NoOp, HashFloor, 2, 50, 50, 51)
	add(l10k, NoOp, RoostVerify, 9, 70, 75, 80)
	add(l10k, NoOp, RoostDry, 9, 27, 27, 27)
	add(l10k, NoOp, Ninja, 12, 80, 80, 90)
	add(l10k, NoOp, Make, 12, 70, 70, 90)
	add(l10k, Leaf, Roost, 10, 30, 31, 32)
	add(l10k, Leaf, Ninja, 10, 90, 91, 92)
	add(l10k, Touched, Roost, 10, 100, 104, 105)
	bare := add("layered 100000", Bare, Roost, 40, 500)
	add("layered 100000", Bare, RoostLimits, 40, 512)
	events := add("layered 100000", Bare, RoostEvents, 40, 800)
	events.Runs[0].Said.Events = 300_000
	bare.Runs[0].Said.Tasks = 100_000
	add("fleet 100", NoOp, Roost, 5, 7)
	add("fleet 100", NoOp, Ansible, 52, 16_000)
	add("probes 1000", Probes, Roost, 8, 2100)
	return r
}

func TestPage(t *testing.T) {
	golden(t, "page.md", Page(sample(), "speed.svg"))
	bare := Page(&Results{Jobs: 4}, "speed.svg")
	for _, want := range []string{"on a disk", "Peers: none", "does not know the files that tasks make yet", "| not measured |"} {
		if !strings.Contains(bare, want) {
			t.Errorf("the page of nothing does not say %q", want)
		}
	}
	if strings.Contains(bare, "| met |") || strings.Contains(bare, "NaN") || strings.Contains(bare, "Inf") {
		t.Errorf("the page of nothing has figures:\n%s", bare)
	}
}

// The goals' figures, against what a reader would compute from the samples.
func TestGoals(t *testing.T) {
	want := map[string]string{
		"no-op to the stat floor, layered 10000":                                             "1.30 x, met",
		"no-op to the best peer, layered 10000":                                              "0.37 x, met",
		"no-op that hashes every byte to the hash floor, layered 10000":                      "1.50 x, **not met**",
		"the same to ninja's no-op by times, layered 10000":                                  "0.94 x, met",
		"all touched, 0 tasks run, to the no-op, layered 10000":                              "4 x, met",
		"one leaf, less one spawn, to the no-op, layered 10000":                              "1.15 x, met", // (31 - 1.22) / 26
		"cold to the spawn floor, layered 10000":                                             "1.15 x, met",
		"cold to the best peer, layered 10000":                                               "1.01 x~, met",
		"cold to ninja, layered 10000":                                                       "1.01 x~, **not met**",
		"cold, in process, without files, with events, a task, layered 100000":               "8 us, met",
		"slowest pass over 1,000,000 tasks and 2,700,000 edges":                              "51 ms, **not met**",
		"dry run to the no-op, layered 10000":                                                "1.04 x, met",
		"cold with events, of which the trace is made, to without, layered 10000":            "1.03 x, met",
		"an event, layered 100000 without files":                                             "1 us, met",
		"Ansible's no-op to ours, fleet 100":                                                 "2286 x, met",
		"go-task's no-op to ours, layered 1000":                                              "100 x, met",
		"probes of 1,000 hosts, 50 ms each, 128 at once, 1 in 20 dead for 2 s, to the ideal": "1.05 x, met",
		"lane, pool, time-out and retries, a task, layered 100000 without files":             "120 ns, **not met**",
		"no-op to the stat floor, layered 100000":                                            ", not measured",
		"killed at any moment, the next run is right":                                        ", tests: kills at random moments, package graph",
	}
	r, found := sample(), 0
	for _, g := range goals() {
		figure, verdict := g.verdict(r)
		if w, ok := want[g.what]; ok {
			found++
			if got := figure + ", " + verdict; got != w {
				t.Errorf("%s, %s: %q, want %q", g.id, g.what, got, w)
			}
		}
	}
	if found != len(want) {
		t.Errorf("%d of %d goals are there", found, len(want))
	}
	for n := 1; n <= 18; n++ {
		if id := "| G" + short(float64(n)) + " |"; !strings.Contains(Page(r, ""), id) {
			t.Errorf("the page has no goal %s", id)
		}
	}
}

func TestPlot(t *testing.T) {
	plot, err := Plot(sample())
	ok(t, err)
	golden(t, "speed.svg", string(plot))
	ok(t, xml.Unmarshal(plot, new(struct{})))
	if _, err := Plot(&Results{}); err == nil {
		t.Error("nothing was drawn")
	}
}

func TestShort(t *testing.T) {
	for v, want := range map[float64]string{0: "0", 0.123: "0.12", 1.3: "1.30", 12.34: "12.3", 123.4: "123", 1234.5: "1234", 4: "4"} {
		if got := short(v); got != want {
			t.Errorf("short(%v) = %q, want %q", v, got, want)
		}
	}
	for n, want := range map[int]string{0: "0", 999: "999", 1000: "1,000", 1_000_000: "1,000,000"} {
		if got := thousands(n); got != want {
			t.Errorf("thousands(%d) = %q, want %q", n, got, want)
		}
	}
}
