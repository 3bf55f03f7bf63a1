package graph

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	for env, run := range map[string]func(context.Context, string, ...func(Event)) (*Result, error){crashEnv: runCrashWorld, onceCrashEnv: runOnceWorld} {
		if dir := os.Getenv(env); dir != "" {
			if _, err := run(context.Background(), dir, crashAt(os.Getenv(crashAtEnv))); err != nil {
				fmt.Fprintln(os.Stderr, err)
				os.Exit(1)
			}
			os.Exit(0)
		}
	}
	goleak.VerifyTestMain(m)
}

func pure(g *Graph, name string, run func(context.Context) (string, error), declare ...func(*Task)) Ref[string] {
	return Pure(g, name, func(t *Task) Compute[string] {
		for _, d := range declare {
			d(t)
		}
		return Compute[string]{Run: run}
	})
}

func ok(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// valueOf is the value of the task number id.
func valueOf(r *Result, id int32) any {
	v, _ := r.run.value(id)
	return v
}

func constant(s string) func(context.Context) (string, error) {
	return func(context.Context) (string, error) { return s, nil }
}

func TestInvalidGraphs(t *testing.T) {
	tests := []struct {
		name    string
		declare func(*Graph)
		want    string
	}{
		{"twice", func(g *Graph) { pure(g, "a/x", constant("")); pure(g, "a/x", constant("")) }, "a/x is declared twice"},
		{"no step", func(g *Graph) { pure(g, "a", constant("")) }, `task name "a": want GROUP/STEP`},
		{"unknown name", func(g *Graph) { pure(g, "a/x", constant("")); g.Order("a/x", "b/y") }, "a/x waits for b/y: both must be declared"},
		{"cycle", func(g *Graph) {
			for _, n := range []string{"a/x", "b/x", "c/x", "d/x"} {
				pure(g, n, constant(""))
			}
			g.Order("a/x", "b/x")
			g.Order("b/x", "c/x")
			g.Order("c/x", "a/x")
			g.Order("d/x", "a/x")
		}, "a/x waits for b/x waits for c/x waits for a/x"},
		{"itself", func(g *Graph) { pure(g, "a/x", constant("")); g.Order("a/x", "a/x") }, "a/x waits for a/x"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			g := New()
			test.declare(g)
			result, err := g.Run(t.Context(), Options{})
			if result != nil || err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got %v, %v; want an error with %q", result, err, test.want)
			}
		})
	}
}

func TestOrderByNameIsKept(t *testing.T) {
	var first atomic.Bool
	g := New()
	pure(g, "server/x", func(context.Context) (string, error) {
		if !first.Load() {
			return "", errors.New("ran before the router")
		}
		return "", nil
	})
	pure(g, "router/x", func(context.Context) (string, error) { first.Store(true); return "", nil })
	g.Order("server/x", "router/x")
	if _, err := g.Run(t.Context(), Options{}); err != nil {
		t.Error(err)
	}
}

// fileGraph is one file, trimmed, then counted: the trimming cuts off.
func fileGraph(dir string, trims, counts *int) *Graph {
	g := New()
	trimmed := pure(g, "f/trim", func(context.Context) (string, error) {
		*trims++
		data, err := os.ReadFile(filepath.Join(dir, "in"))
		return strings.TrimSpace(string(data)), err
	}, func(t *Task) { t.Files(dir, "in") })
	Pure(g, "f/count", func(t *Task) Compute[int] {
		in := Use(t, trimmed)
		return Compute[int]{Run: func(ctx context.Context) (int, error) { *counts++; return len(in.Get(ctx)), nil }}
	})
	return g
}

func TestCacheCutsOffEarly(t *testing.T) {
	dir := t.TempDir()
	write := func(s string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, "in"), []byte(s), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	var trims, counts int
	run := func(wantTrims, wantCounts int) *Result {
		t.Helper()
		trims, counts = 0, 0
		cache, err := OpenCache(filepath.Join(dir, "cache"))
		if err != nil {
			t.Fatal(err)
		}
		result, err := fileGraph(dir, &trims, &counts).Run(t.Context(),
			Options{Cache: cache})
		if err != nil {
			t.Fatal(err)
		}
		if trims != wantTrims || counts != wantCounts {
			t.Errorf("ran trim %d and count %d times, want %d and %d", trims, counts, wantTrims, wantCounts)
		}
		return result
	}
	write("abc")
	run(1, 1)
	run(0, 0)
	write("abc \n") // other content, equal result: what follows is not run
	result := run(1, 0)
	if got := result.Plan.Tasks[0].Reason; got != "in changed" {
		t.Errorf("reason %q", got)
	}
	write("abd")
	run(1, 1)
	write("abe") // the same size, most likely the same tick
	run(1, 1)
	write("abd")
	run(0, 0) // an older result is still known
	ok(t, os.RemoveAll(filepath.Join(dir, "cache", "index")))
	run(0, 0) // results do not hang on the index
}

func TestDamagedStateIsComputedAgain(t *testing.T) {
	dir := t.TempDir()
	os.WriteFile(filepath.Join(dir, "in"), []byte("abc"), 0o600)
	var trims, counts int
	run := func() {
		t.Helper()
		cache, err := OpenCache(filepath.Join(dir, "cache"))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := fileGraph(dir, &trims, &counts).Run(t.Context(),
			Options{Cache: cache}); err != nil {
			t.Fatal(err)
		}
	}
	run()
	damaged := 0
	err := filepath.WalkDir(dir, func(path string, e os.DirEntry, err error) error {
		if err == nil && !e.IsDir() && e.Name() != "in" {
			damaged++
			return os.WriteFile(path, []byte(`{"version":1,"value":"wrong"}`), 0o600)
		}
		return err
	})
	if err != nil || damaged < 1 {
		t.Fatalf("damaged %d files: %v", damaged, err)
	}
	run()
	if trims != 2 || counts != 2 {
		t.Errorf("ran %d and %d times, want 2 and 2", trims, counts)
	}
}

func TestDryRunRecordsNothing(t *testing.T) {
	dir := t.TempDir()
	cache, _ := OpenCache(dir)
	applied := false
	g := New()
	out := pure(g, "h/eval", constant("x"))
	Effect(g, "h/set", func(t *Task) Change[string] {
		Use(t, out)
		return Change[string]{
			Check: func(context.Context) (State[string], error) { return State[string]{Reason: "not yet"}, nil },
			Apply: func(context.Context) error { applied = true; return nil },
		}
	})
	for range 2 {
		plan, err := g.Plan(t.Context(), Options{Cache: cache})
		if err != nil {
			t.Fatal(err)
		}
		if plan.Tasks[0].Decision != DecideRun || plan.Tasks[1].Decision != DecideRun {
			t.Errorf("plan %+v", plan.Tasks)
		}
	}
	files, _ := filepath.Glob(filepath.Join(dir, "*/*"))
	last, _ := filepath.Glob(filepath.Join(dir, "*.json"))
	if applied || len(files)+len(last) > 0 {
		t.Errorf("a dry run left %v %v, applied %v", files, last, applied)
	}
}

func TestEffectMustBeProved(t *testing.T) {
	g := New()
	Effect(g, "h/set", func(*Task) Change[string] {
		return Change[string]{
			Check: func(context.Context) (State[string], error) { return State[string]{Reason: "still the old one"}, nil },
			Apply: func(context.Context) error { return nil },
		}
	})
	_, err := g.Run(t.Context(), Options{})
	if err == nil || !strings.Contains(err.Error(), "h/set: applied, but the proof says no: still the old one") {
		t.Errorf("got %v", err)
	}
}

// hostGraph is the shape of a host's update: what is satisfied asks for nothing.
func hostGraph(host string, running *string, builds *atomic.Int32, probe error) *Graph {
	g := New()
	want := pure(g, host+"/eval", constant("new"))
	seen := Observe(g, host+"/probe", func(*Task) func(context.Context) (string, error) {
		return func(context.Context) (string, error) { return *running, probe }
	})
	built := pure(g, host+"/build", func(context.Context) (string, error) { builds.Add(1); return "out", nil },
		func(t *Task) { Use(t, want); t.Heavy() })
	set := Effect(g, host+"/activate", func(t *Task) Change[string] {
		want, seen := Use(t, want), Use(t, seen)
		t.After(built)
		check := func(now string, want string) State[string] {
			return State[string]{Done: now == want, Value: now, Reason: "runs " + now}
		}
		return Change[string]{
			Check: func(ctx context.Context) (State[string], error) { return check(seen.Get(ctx), want.Get(ctx)), nil },
			Apply: func(ctx context.Context) error { *running = want.Get(ctx); return nil },
			Prove: func(ctx context.Context) (State[string], error) { return check(*running, want.Get(ctx)), nil },
		}
	})
	Observe(g, host+"/health", func(t *Task) func(context.Context) (string, error) {
		t.After(set)
		return func(context.Context) (string, error) { return *running, nil }
	})
	return g
}

func TestSatisfiedEffectAsksForNothing(t *testing.T) {
	running := "old"
	var builds atomic.Int32
	g := hostGraph("h", &running, &builds, nil)
	plan, err := g.Plan(t.Context(), Options{})
	if err != nil || builds.Load() != 0 || running != "old" {
		t.Fatalf("plan: %v, %d builds, running %s", err, builds.Load(), running)
	}
	var text strings.Builder
	plan.Write(&text, true)
	want := `h
  eval      run        never ran
  probe     read
  build     run        never ran
  activate  run        runs old
  health    read       after h/activate
`
	if text.String() != want {
		t.Errorf("plan:\n%s", text.String())
	}
	for i, want := range []Status{StatusRan, StatusSatisfied} {
		result, err := g.Run(t.Context(), Options{})
		if err != nil {
			t.Fatal(err)
		}
		if got, _ := result.Status("h/activate"); got != want {
			t.Errorf("run %d: activate %s, want %s", i, got, want)
		}
		if i == 1 && result.Counts[StatusUnneeded] != 1 {
			t.Errorf("run %d: counts %v", i, result.Counts)
		}
	}
	if builds.Load() != 1 || running != "new" {
		t.Errorf("%d builds, running %s", builds.Load(), running)
	}
}

func TestUnreachableIsDeferred(t *testing.T) {
	running := "old"
	var builds atomic.Int32
	g := hostGraph("h", &running, &builds, Defer(errors.New("no answer")))
	result, err := g.Run(t.Context(), Options{})
	if err != nil {
		t.Fatal(err)
	}
	for _, task := range []string{"h/probe", "h/activate", "h/health"} {
		if got, reason := result.Status(task); got != StatusDeferred || reason != "no answer" {
			t.Errorf("%s: %s, %s", task, got, reason)
		}
	}
	if builds.Load() != 0 {
		t.Error("built for a host that is away")
	}
}

func TestFailuresAreToldOnce(t *testing.T) {
	g := New()
	bad := pure(g, "a/eval", func(context.Context) (string, error) { return "", errors.New("syntax error") })
	for i := range 3 {
		pure(g, fmt.Sprintf("b/%d", i), constant(""), func(t *Task) { Use(t, bad) })
	}
	pure(g, "c/boom", func(ctx context.Context) (string, error) { panic("at once") })
	ok := pure(g, "d/ok", constant("fine"))
	result, err := g.Run(t.Context(), Options{})
	run, is := errors.AsType[*RunError](err)
	if !is || len(run.Causes()) != 2 {
		t.Fatalf("got %v", err)
	}
	if got := run.Causes()[0]; got.Task != "a/eval" || len(got.Blocked) != 3 {
		t.Errorf("first cause %+v", got)
	}
	if !strings.Contains(run.Causes()[1].Error(), "panic: at once") {
		t.Errorf("second cause %v", run.Causes()[1])
	}
	if v, good := ValueOf(result, ok); !good || v != "fine" {
		t.Errorf("the other task: %v %v", v, good)
	}
}

func TestCancelStopsCleanly(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	var inFlight, after bool
	var mu sync.Mutex
	g := New()
	set := Effect(g, "h/set", func(*Task) Change[string] {
		done := false
		return Change[string]{
			Check: func(context.Context) (State[string], error) { return State[string]{Done: done}, nil },
			Apply: func(ctx context.Context) error {
				cancel()
				time.Sleep(20 * time.Millisecond) // an effect in flight ends, although the run was stopped
				mu.Lock()
				defer mu.Unlock()
				inFlight, done = true, true
				return ctx.Err()
			},
		}
	})
	Effect(g, "h/then", func(t *Task) Change[string] {
		Use(t, set)
		return Change[string]{
			Check: func(context.Context) (State[string], error) { after = true; return State[string]{}, nil },
			Apply: func(context.Context) error { return nil },
		}
	})
	pure(g, "i/slow", func(ctx context.Context) (string, error) { <-ctx.Done(); return "", ctx.Err() }, func(t *Task) { t.Heavy() })
	result, err := g.Run(ctx, Options{})
	if !errors.Is(err, ErrStopped) {
		t.Fatalf("got %v", err)
	}
	want := map[string]Status{"h/set": StatusRan, "h/then": StatusCancelled, "i/slow": StatusCancelled}
	for task, status := range want {
		if got, _ := result.Status(task); got != status {
			t.Errorf("%s: %s, want %s", task, got, status)
		}
	}
	if !inFlight || after {
		t.Errorf("in flight ended: %v, next began: %v", inFlight, after)
	}
}

func TestAbortStopsEffects(t *testing.T) {
	abort := make(chan struct{})
	g := New()
	Effect(g, "h/set", func(*Task) Change[string] {
		return Change[string]{
			Check: func(context.Context) (State[string], error) { return State[string]{}, nil },
			Apply: func(ctx context.Context) error { close(abort); <-ctx.Done(); return ctx.Err() },
		}
	})
	result, err := g.Run(t.Context(), Options{Abort: abort})
	if got, _ := result.Status("h/set"); got != StatusFailed || !errors.Is(err, ErrStopped) {
		t.Errorf("%s, %v", got, err)
	}
}

func TestLogsAndEvents(t *testing.T) {
	var kinds []string
	var tail []string
	g := New()
	pure(g, "h/build", func(ctx context.Context) (string, error) {
		for i := range 30 {
			fmt.Fprintf(Log(ctx), "line %d\n", i)
		}
		fmt.Fprint(Log(ctx), "the last")
		return "", errors.New("no")
	})
	_, err := g.Run(t.Context(), Options{Watch: []func(Event){func(e Event) {
		if e.Seq != len(kinds)+1 {
			t.Errorf("event %d has number %d", len(kinds)+1, e.Seq)
		}
		kinds = append(kinds, string(e.Kind))
		if e.Kind == TaskFinished {
			tail = e.Tail
		}
	}}})
	if err == nil || len(tail) != tailLines || tail[tailLines-1] != "the last" {
		t.Errorf("%v, tail %q", err, tail)
	}
	got := strings.Join(kinds, " ")
	got = strings.ReplaceAll(got, strings.Repeat(" task.log", 31), " LOGS")
	if want := "run.started task.decided task.started LOGS task.decided task.finished plan.ready run.finished"; got != want {
		t.Errorf("events: %s", got)
	}
}

// A key is made when a task is decided, and its files are read when it works.
// What was edited in between must not be kept under the key of before.
func TestFileEditedBetweenKeyAndWork(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "in")
	write := func(text string) {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	declare := func(meanwhile func()) (*Graph, Ref[string]) {
		g := New()
		return g, pure(g, "h/eval", func(context.Context) (string, error) {
			meanwhile()
			data, err := os.ReadFile(path)
			return string(data), err
		}, func(t *Task) { t.Files(dir, "in") })
	}
	cache, err := OpenCache(filepath.Join(dir, "cache"))
	if err != nil {
		t.Fatal(err)
	}
	write("old")
	g, _ := declare(func() { write("new") })
	if _, err := g.Run(t.Context(), Options{Cache: cache}); err == nil || !strings.Contains(err.Error(), "in changed while it was at work") {
		t.Errorf("got %v", err)
	}
	write("old")
	g, ref := declare(func() {})
	result, err := g.Run(t.Context(), Options{Cache: cache})
	if err != nil {
		t.Fatal(err)
	}
	if got, _ := ValueOf(result, ref); got != "old" {
		t.Errorf("the file says old, the cache says %q", got)
	}
}
