package graph

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// flaky fails so many times, and then works.
func flaky(fails int, err error, did *int) func(context.Context) (string, error) {
	return func(context.Context) (string, error) {
		if *did++; *did <= fails {
			return "", err
		}
		return "at last", nil
	}
}

func TestRetries(t *testing.T) {
	broken := errors.New("the link broke")
	tests := []struct {
		name    string
		err     error
		fails   int
		retries int
		budget  int
		did     int
		ok      bool
	}{
		{"works at last", Transient(broken), 2, 3, 0, 3, true},
		{"tries no more", Transient(broken), 5, 3, 0, 4, false},
		{"not transient", broken, 1, 3, 0, 1, false},
		{"no retries asked for", Transient(broken), 1, 0, 0, 1, false},
		{"the run's budget is used up", Transient(broken), 5, 5, 2, 3, false},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				did, told := 0, 0
				g := New()
				pure(g, "h/copy", flaky(test.fails, test.err, &did), func(t *Task) { t.Retries(test.retries); t.Lane("l") })
				pure(g, "h/other", constant(""), func(t *Task) { t.Lane("l") }) // it gets the lane in between
				began := time.Now()
				_, err := g.Run(t.Context(), Options{Retries: test.budget, Watch: []func(Event){func(e Event) {
					if e.Kind == TaskRetrying {
						told++
					}
				}}})
				if (err == nil) != test.ok || did != test.did || told != test.did-1 {
					t.Errorf("%v; worked %d times, told %d times", err, did, told)
				}
				if waited := time.Since(began); waited < time.Duration(told)*200*time.Millisecond {
					t.Errorf("waited only %s", waited)
				}
			})
		})
	}
}

func TestEffectThatWasDoneIsNotRepeated(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		applied := 0
		g := New()
		Effect(g, "h/set", func(t *Task) Change[string] {
			t.Retries(3)
			return Change[string]{
				Check: func(context.Context) (State[string], error) { return State[string]{Done: applied > 0}, nil },
				Apply: func(context.Context) error {
					applied++
					return Transient(errors.New("the answer was lost"))
				},
			}
		})
		if _, err := g.Run(t.Context(), Options{}); err != nil || applied != 1 {
			t.Errorf("%v, applied %d times", err, applied)
		}
	})
}

func TestStopWhileWaitingToRetry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		did := 0
		g := New()
		pure(g, "h/copy", flaky(9, Transient(errors.New("no")), &did), func(t *Task) { t.Retries(9) })
		result, err := g.Run(ctx, Options{})
		if got, _ := result.Status("h/copy"); got != StatusCancelled || !errors.Is(err, ErrStopped) || did != 1 {
			t.Errorf("%s, %v, worked %d times", got, err, did)
		}
	})
}

func TestTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := New()
		pure(g, "h/eval", func(ctx context.Context) (string, error) { <-ctx.Done(); return "", ctx.Err() },
			func(t *Task) { t.Timeout(time.Minute) })
		began := time.Now()
		result, err := g.Run(t.Context(), Options{})
		if got, _ := result.Status("h/eval"); got != StatusFailed || !strings.Contains(err.Error(), "it took longer than 1m0s") {
			t.Errorf("%s, %v", got, err)
		}
		if waited := time.Since(began); waited != time.Minute {
			t.Errorf("waited %s", waited)
		}
	})
}

func TestMaxFailures(t *testing.T) {
	fail := func(context.Context) (string, error) { return "", errors.New("no") }
	declare := func() *Graph {
		g := New()
		one := pure(g, "a/fails", fail)
		_ = one
		two := pure(g, "b/fails", fail, func(t *Task) { t.Finally(one) })
		pure(g, "c/works", constant(""), func(t *Task) { t.Finally(two) })
		return g
	}
	for limit, want := range map[int][3]Status{
		0: {StatusFailed, StatusFailed, StatusRan},
		1: {StatusFailed, StatusCancelled, StatusCancelled},
		2: {StatusFailed, StatusFailed, StatusCancelled},
	} {
		result, err := declare().Run(t.Context(), Options{MaxFailures: limit})
		var got [3]Status
		for i, task := range []string{"a/fails", "b/fails", "c/works"} {
			got[i], _ = result.Status(task)
		}
		if got != want || err == nil || errors.Is(err, ErrStopped) {
			t.Errorf("limit %d: %v, want %v; %v", limit, got, want, err)
		}
	}
}

func TestEdgeKinds(t *testing.T) {
	var order []string
	note := func(name string, err error) func(context.Context) (string, error) {
		return func(context.Context) (string, error) { order = append(order, name); return name, err }
	}
	effect := func(g *Graph, name string, done bool, err error, declare func(*Task)) Ref[string] {
		return Effect(g, name, func(t *Task) Change[string] {
			declare(t)
			return Change[string]{
				Check: func(context.Context) (State[string], error) { return State[string]{Done: done}, nil },
				Apply: func(ctx context.Context) error { done = true; _, err := note(name, err)(ctx); return err },
			}
		})
	}
	g := New()
	g.declareOrder(t, pure(g, "a/fails", note("a/fails", errors.New("no"))), note)
	router := effect(g, "router/set", false, errors.New("router failed"), func(*Task) {})
	done := effect(g, "quiet/set", true, nil, func(*Task) {})
	effect(g, "server/set", false, nil, func(t *Task) { t.Behind(router); t.Behind(done) })
	result, err := g.Run(t.Context(), Options{Jobs: 1})
	if err == nil {
		t.Fatal("the failures are gone")
	}
	for task, want := range map[string]Status{
		"b/after": StatusBlocked, "b/finally": StatusRan, "server/set": StatusRan, "quiet/set": StatusSatisfied,
	} {
		if got, _ := result.Status(task); got != want {
			t.Errorf("%s: %s, want %s", task, got, want)
		}
	}
	text := strings.Join(order, " ")
	if strings.Index(text, "router/set") > strings.Index(text, "server/set") ||
		strings.Index(text, "a/fails") > strings.Index(text, "b/finally") {
		t.Errorf("order: %s", text)
	}
}

// declareOrder declares what stands after a failure: one that needs its
// success, and one that needs its end.
func (g *Graph) declareOrder(t *testing.T, first Ref[string], note func(string, error) func(context.Context) (string, error)) {
	t.Helper()
	pure(g, "b/after", note("b/after", nil), func(t *Task) { t.After(first) })
	pure(g, "b/finally", note("b/finally", nil), func(t *Task) { t.Finally(first) })
}

// gauge watches how much of a resource is in use at once.
type gauge struct {
	mu        sync.Mutex
	now, most int
}

func (g *gauge) add(n int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.now += n
	g.most = max(g.most, g.now)
}

// What a task used is what it takes in the next run: two that were thought to
// need the whole pool each then run side by side.
func TestPoolsLearn(t *testing.T) {
	dir := t.TempDir()
	for _, run := range []struct{ most int }{{1}, {2}} {
		synctest.Test(t, func(t *testing.T) {
			cache, err := OpenCache(dir)
			if err != nil {
				t.Fatal(err)
			}
			var atOnce gauge
			g := New()
			for _, name := range []string{"a/eval", "b/eval"} {
				pure(g, name, func(ctx context.Context) (string, error) {
					atOnce.add(1)
					defer atOnce.add(-1)
					time.Sleep(time.Second)
					Used(ctx, "memory", 400)
					return "", nil
				}, func(t *Task) { t.Measured("memory", 1000) })
			}
			_, err = g.Run(t.Context(), Options{Cache: cache, Fresh: true, Pools: map[string]int{"memory": 1000}})
			if err != nil || atOnce.most != run.most {
				t.Errorf("%v; %d at once, want %d", err, atOnce.most, run.most)
			}
		})
	}
}

// A task that ran out of memory among others works once more, alone.
func TestExhaustedRunsAlone(t *testing.T) {
	for _, enough := range []bool{true, false} {
		synctest.Test(t, func(t *testing.T) {
			var atOnce gauge
			tries := 0
			g := New()
			for _, name := range []string{"a/eval", "b/eval", "c/eval"} {
				pure(g, name, func(context.Context) (string, error) {
					atOnce.add(1)
					defer atOnce.add(-1)
					time.Sleep(time.Second)
					if name != "b/eval" {
						return "", nil
					}
					if tries++; tries > 1 && atOnce.now > 1 {
						t.Error("the second try was not alone")
					}
					if tries > 1 && enough {
						return "", nil
					}
					return "", Exhausted("memory", errors.New("was killed"))
				}, func(t *Task) { t.Measured("memory", 100) })
			}
			result, err := g.Run(t.Context(), Options{Pools: map[string]int{"memory": 1000}})
			status, _ := result.Status("b/eval")
			if tries != 2 || (status == StatusRan) != enough || (err == nil) != enough {
				t.Errorf("enough %v: %d tries, %s, %v", enough, tries, status, err)
			}
		})
	}
}
