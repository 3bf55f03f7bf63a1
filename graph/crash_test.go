package graph

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// crashEnv makes this test binary run the crash world in the folder it names,
// until it is killed.
const crashEnv = "ROOST_TEST_CRASH_WORLD"

// crashAtEnv says at which event of its run this process dies, counted from 1,
// and how many nanoseconds after it.
const crashAtEnv = "ROOST_TEST_CRASH_AT"

// crashAt watches a run and kills this process where at says: a moment that
// comes on a slow machine, too.
func crashAt(at string) func(Event) {
	var left int
	var later time.Duration
	if _, err := fmt.Sscanf(at, "%d %d", &left, &later); err != nil {
		panic(err)
	}
	die := func() { _ = syscall.Kill(os.Getpid(), syscall.SIGKILL) }
	return func(Event) {
		switch left--; {
		case left == 0 && later == 0:
			die()
		case left == 0:
			time.AfterFunc(later, die)
		}
	}
}

// crash runs the world that env names in a process of its own, which dies at any
// of so many events, or within some milliseconds after it. It says whether the
// process died before its run was over.
func crash(t *testing.T, env, dir string, events int, random *rand.Rand) bool {
	t.Helper()
	later := time.Duration(random.IntN(2)) * time.Duration(random.Int64N(int64(5*time.Millisecond)))
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^$")
	cmd.Env = append(os.Environ(), env+"="+dir, fmt.Sprintf("%s=%d %d", crashAtEnv, 1+random.IntN(events), later))
	out, err := cmd.CombinedOutput()
	if err != nil && cmd.ProcessState.ExitCode() != -1 {
		t.Fatalf("%v\n%s", err, out)
	}
	return err != nil
}

const crashChains = 50 // of nine pure tasks and an effect each

// crashKills is how often the run is killed: often in CI, where nobody waits.
func crashKills() int {
	if os.Getenv("ROOST_REQUIRE") == "all" {
		return 200
	}
	return 20
}

// crashWorld is a graph of which every task leaves a file: pure tasks compute
// from the file before, effects append to a journal of their own.
func crashWorld(dir string) *Graph {
	g := New()
	for chain := range crashChains {
		group := fmt.Sprintf("c%02d", chain)
		value := Pure(g, group+"/t0", func(t *Task) Compute[string] {
			t.Files(dir, "in")
			return Compute[string]{Run: func(context.Context) (string, error) {
				data, err := os.ReadFile(filepath.Join(dir, "in"))
				return string(data) + group, err
			}}
		})
		for step := 1; step < 9; step++ {
			before := value
			value = Pure(g, fmt.Sprintf("%s/t%d", group, step), func(t *Task) Compute[string] {
				in := Use(t, before)
				return Compute[string]{Run: func(ctx context.Context) (string, error) { return in.Get(ctx) + "+", nil }}
			})
		}
		Effect(g, group+"/write", func(t *Task) Change[string] {
			in := Use(t, value)
			path := filepath.Join(dir, group)
			return Change[string]{
				Check: func(ctx context.Context) (State[string], error) {
					data, err := os.ReadFile(path)
					if errors.Is(err, os.ErrNotExist) {
						err = nil
					}
					lines := strings.Split(strings.TrimSuffix(string(data), "\n"), "\n")
					now := lines[len(lines)-1]
					return State[string]{Done: now == in.Get(ctx), Value: now, Reason: "the last line is " + now}, err
				},
				// A line for each time it is applied: a repeat shows.
				Apply: func(ctx context.Context) error {
					f, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
					if err != nil {
						return err
					}
					_, err = f.WriteString(in.Get(ctx) + "\n") // one write: whole or not at all
					return errors.Join(err, f.Close())
				},
			}
		})
	}
	return g
}

func runCrashWorld(ctx context.Context, dir string, watch ...func(Event)) (*Result, error) {
	cache, err := OpenCache(filepath.Join(dir, "cache"))
	if err != nil {
		return nil, err
	}
	return crashWorld(dir).Run(ctx, Options{Cache: cache, Jobs: 4, Watch: watch})
}

// TestKilledAnywhere kills a run of 500 tasks at random moments. After one more
// run the world is right, and no effect was applied twice.
func TestKilledAnywhere(t *testing.T) {
	dir := t.TempDir()
	input := func(i int) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, "in"), fmt.Appendf(nil, "v%d-", i), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	input(0)
	events := 0 // of a run in which every task works
	if _, err := runCrashWorld(t.Context(), dir, func(Event) { events++ }); err != nil {
		t.Fatal(err)
	}
	random := rand.New(rand.NewPCG(1, 2))
	cut, kills := 0, crashKills()
	for i := 1; i <= kills; i++ {
		if i%2 == 1 { // so that what was cut off is sometimes gone on with
			input(i)
		}
		if crash(t, crashEnv, dir, events, random) {
			cut++
		}
	}
	result, err := runCrashWorld(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	if got := result.Counts[StatusRan] + result.Counts[StatusCached] + result.Counts[StatusSatisfied]; got != len(result.run.marks) {
		t.Errorf("%v of %d tasks", result.Counts, len(result.run.marks))
	}
	for chain := range crashChains {
		noRepeat(t, filepath.Join(dir, fmt.Sprintf("c%02d", chain)))
	}
	if cut < kills/4 {
		t.Errorf("only %d of %d runs were cut off: the test is too gentle", cut, kills)
	}
	t.Logf("%d of %d runs were cut off", cut, kills)
}

func noRepeat(t *testing.T, path string) {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Error(err)
		return
	}
	seen := map[string]bool{}
	for line := range strings.Lines(string(data)) {
		if seen[line] {
			t.Errorf("%s: %q was applied twice", filepath.Base(path), line)
		}
		seen[line] = true
	}
	if !strings.HasSuffix(string(data), "\n") {
		t.Errorf("%s is torn", path)
	}
}

// TestStormLeaksNothing cancels graphs of 1,000 failing tasks at random moments.
// TestMain looks for goroutines that are left.
func TestStormLeaksNothing(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 4))
	for range 20 {
		g := New()
		var refs []Ref[string]
		for i := range 1000 {
			fails, slow := random.IntN(10) == 0, random.IntN(20) == 0
			var needs []Ref[string]
			for range min(len(refs), random.IntN(3)) {
				needs = append(needs, refs[random.IntN(len(refs))])
			}
			refs = append(refs, pure(g, fmt.Sprintf("s/t%04d", i), func(ctx context.Context) (string, error) {
				if slow {
					select {
					case <-ctx.Done():
						return "", ctx.Err()
					case <-time.After(5 * time.Millisecond):
					}
				}
				if fails {
					return "", Transient(errors.New("fails"))
				}
				return "", nil
			}, func(t *Task) {
				for _, need := range needs {
					t.After(need)
				}
				t.Retries(1)
				t.Timeout(time.Second)
			}))
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Duration(random.IntN(60))*time.Millisecond)
		result, err := g.Run(ctx, Options{Retries: 50, MaxFailures: random.IntN(200)})
		cancel()
		if result == nil {
			t.Fatal(err)
		}
		sum := 0
		for _, n := range result.Counts {
			sum += n
		}
		if sum != 1000 || result.Counts[""] != 0 {
			t.Fatalf("the ends of tasks do not add up: %v", result.Counts)
		}
	}
}
