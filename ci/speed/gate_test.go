package speed

import (
	"context"
	"errors"
	"math/rand/v2"
	"testing"
)

// noises are how a machine disturbs a run of so many ms.
var noises = map[string]func(r *rand.Rand, ms float64) float64{
	"quiet": func(r *rand.Rand, ms float64) float64 { return ms * (1 + 0.03*r.Float64()) },
	// Two runs of five are hit, some of them hard.
	"bursts": func(r *rand.Rand, ms float64) float64 {
		if r.Float64() < 0.4 {
			return ms * (1 + 0.5*r.ExpFloat64())
		}
		return ms * (1 + 0.05*r.Float64())
	},
	// A neighbour takes the processor for 10 ms of every 25.
	"a neighbour": func(r *rand.Rand, ms float64) float64 {
		total, mine := 0.0, r.Float64() < 0.6
		for ms > 0 {
			if !mine {
				total, mine = total+10*r.ExpFloat64(), true
				continue
			}
			slice := min(15*r.ExpFloat64(), ms)
			total, ms, mine = total+slice, ms-slice, false
		}
		return total
	},
}

// A gate at its goal or a tenth above it never fails by noise, and never lets a
// regression to twice the goal pass: held on 2,000 simulated CI runs each.
func TestGateUnderNoise(t *testing.T) {
	const runs, limit = 2000, 1.3
	for name, noise := range noises {
		for _, floor := range []float64{8, 80, 1500} { // ms
			for _, pairs := range []int{3, 9} {
				if floor < 100 && pairs < 9 {
					continue // few pairs are for long runs, where noise is small
				}
				for _, test := range []struct {
					ratio float64
					holds bool
				}{{limit, true}, {1.1 * limit, true}, {2 * limit, false}} {
					r := rand.New(rand.NewPCG(1, 2))
					g := gate{limit: limit, pairs: pairs, pair: func(context.Context) (a, b float64, err error) {
						return noise(r, test.ratio*floor), noise(r, floor), nil
					}}
					wrong := 0
					for range runs {
						if _, err := g.hold(t.Context(), func(int) {}); (err == nil) != test.holds {
							wrong++
						}
					}
					if most := runs / 200; wrong > most {
						t.Errorf("%s, floor %v ms, %d pairs, ratio %v: wrong in %d of %d runs", name, floor, pairs, test.ratio, wrong, runs)
					}
				}
			}
		}
	}
}

func TestGateSets(t *testing.T) {
	runs, pauses := 0, 0
	g := gate{goal: "G0", what: "this to that", limit: 1, pairs: 3, unit: " x"}
	pause := func(int) { pauses++ }

	g.pair = func(context.Context) (float64, float64, error) { runs++; return 1.2, 1, nil }
	if ratio, err := g.hold(t.Context(), pause); ratio != 1.2 || err != nil || runs != 3 || pauses != 0 {
		t.Errorf("what holds at once: %v, %v, %d runs, %d pauses", ratio, err, runs, pauses)
	}

	runs = 0
	g.pair = func(context.Context) (float64, float64, error) {
		if runs++; runs < 5 {
			return 4, 1, nil
		}
		return 1.1, 1, nil
	}
	if ratio, err := g.hold(t.Context(), pause); ratio != 1.1 || err != nil || runs != 6 || pauses != 1 {
		t.Errorf("what is slow at first: %v, %v, %d runs, %d pauses", ratio, err, runs, pauses)
	}

	runs, pauses = 0, 0
	g.pair = func(context.Context) (float64, float64, error) { runs++; return 3, 1.5, nil }
	ratio, err := g.hold(t.Context(), pause)
	const want = "G0, this to that: 2 x; the goal is 1 x, and with its slack of 25 % 1.25 x (15 runs of each)"
	if ratio != 2 || err == nil || err.Error() != want || runs != 15 || pauses != 4 {
		t.Errorf("a regression: %v, %v, %d runs, %d pauses", ratio, err, runs, pauses)
	}

	broken := errors.New("it crashed")
	g.pair = func(context.Context) (float64, float64, error) { return 0, 0, broken }
	if _, err := g.hold(t.Context(), pause); !errors.Is(err, broken) {
		t.Errorf("a run that fails: %v", err)
	}
}
