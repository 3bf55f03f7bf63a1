package speed

import (
	"context"
	"errors"
	"runtime"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"roost/ci/speed/took"
)

func TestInterleave(t *testing.T) {
	for _, test := range []struct {
		name    string
		want    int
		foreign []float64 // of the rounds, in turn
		kept    []int     // by number
		made    int
		noisy   bool
	}{
		{"quiet", 3, []float64{0, 0.1, 0.15}, []int{0, 1, 2}, 3, false},
		{"one is disturbed and made again", 3, []float64{0, 0.5, 0.1, 0.02}, []int{0, 2, 3}, 4, false},
		{"never quiet: the quietest, in their order", 2, []float64{0.9, 0.3, 0.8, 0.2}, []int{1, 3}, 4, true},
		{"all the same", 2, []float64{0.3, 0.3, 0.3, 0.3}, []int{0, 1}, 4, true},
		{"one of one", 1, []float64{0.4, 0.05}, []int{1}, 2, false},
	} {
		made := 0
		rounds, noisy, err := interleave(t.Context(), test.want, func(context.Context) (round, error) {
			r := round{runs: []Run{{Process: took.Process{Exit: made}}}, foreign: test.foreign[made]}
			made++
			return r, nil
		})
		if err != nil {
			t.Fatal(err)
		}
		var kept []int
		for _, r := range rounds {
			kept = append(kept, r.runs[0].Exit)
		}
		if diff := cmp.Diff(test.kept, kept); diff != "" || made != test.made || noisy != test.noisy {
			t.Errorf("%s: %d made, noisy %v\n%s", test.name, made, noisy, diff)
		}
	}
	broken := errors.New("it crashed")
	if _, _, err := interleave(t.Context(), 1, func(context.Context) (round, error) { return round{}, broken }); !errors.Is(err, broken) {
		t.Errorf("a round that fails: %v", err)
	}
}

func TestBusy(t *testing.T) {
	const good = "cpu  100 20 30 4000 50 6 7 8 9 10\ncpu0 1 2 3 4 5 6 7 8 9 10\n"
	if got, err := busy(good); err != nil || got != 171*tick {
		t.Errorf("%v, %v; want %v", got, err, 171*tick)
	}
	for _, bad := range []string{"", "cpu 1 2 3\n", "cpu0 1 2 3 4 5 6 7 8\n", "cpu 1 2 x 4 5 6 7 8\n"} {
		if _, err := busy(bad); err == nil {
			t.Errorf("%q was read", bad)
		}
	}
}

func TestForeign(t *testing.T) {
	all := time.Duration(runtime.NumCPU())
	began := processors{at: time.Unix(100, 0), busy: 50 * time.Second, own: time.Second}
	second := time.Unix(101, 0)
	for _, test := range []struct {
		name  string
		after processors
		want  float64
	}{
		{"all was ours", processors{second, began.busy + all*time.Second, began.own + all*time.Second}, 0},
		{"ticks say less than we know", processors{second, began.busy, began.own + time.Second}, 0},
		{"half was others'", processors{second, began.busy + all*520*time.Millisecond, began.own}, 0.5},
		{"two ticks a processor say nothing", processors{time.Unix(100, 1e8), began.busy + 2*all*tick, began.own}, 0},
	} {
		if got := began.foreign(test.after); got < test.want-1e-9 || got > test.want+1e-9 {
			t.Errorf("%s: %v, want %v", test.name, got, test.want)
		}
	}
}

func TestMedian(t *testing.T) {
	self := func(i int) int { return i }
	for _, test := range []struct {
		all  []int
		want int
	}{{[]int{7}, 7}, {[]int{9, 1}, 1}, {[]int{9, 1, 5}, 5}, {[]int{4, 3, 2, 1}, 2}} {
		before := append([]int(nil), test.all...)
		if got := median(test.all, self); got != test.want || !cmp.Equal(before, test.all) {
			t.Errorf("median of %v is %d, want %d; now %v", before, got, test.want, test.all)
		}
	}
}

func TestReadPasses(t *testing.T) {
	const out = `goos: linux
BenchmarkPass/floor-2         	       5	   3829968 ns/op
BenchmarkPass/floor-2         	       5	   2398027 ns/op
BenchmarkPass/critical-path-2 	       5	  46187998 ns/op	  100 B/op
BenchmarkPass/who-needs       	       5	     11.5 ns/op
PASS
`
	got, err := readPasses(out)
	want := []Pass{{"floor", 2398027}, {"critical-path", 46187998}, {"who-needs", 11}}
	if diff := cmp.Diff(want, got); diff != "" || err != nil {
		t.Errorf("%v\n%s", err, diff)
	}
	for _, bad := range []string{"", "BenchmarkPass/order-2 5 1 ns/op\n", "BenchmarkPass/floor-2 5 1 ns/op\n", "BenchmarkPass/floor-2 5 x ns/op\n"} {
		if _, err := readPasses(bad); err == nil {
			t.Errorf("%q was read", bad)
		}
	}
}
