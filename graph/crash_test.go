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
	"testing"
	"time"
)

// crashEnv makes this test binary run the crash world in the folder it names,
// until it is killed.
const crashEnv = "ROOST_TEST_CRASH_WORLD"

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

func runCrashWorld(ctx context.Context, dir string) (*Result, error) {
	cache, err := OpenCache(filepath.Join(dir, "cache"))
	if err != nil {
		return nil, err
	}
	return crashWorld(dir).Run(ctx, Options{Cache: cache, Jobs: 4})
}

// TestKilledAnywhere kills a run of 500 tasks at random moments. After one more
// run the world is right, and no effect was applied twice.
func TestKilledAnywhere(t *testing.T) {
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	input := func(i int) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, "in"), fmt.Appendf(nil, "v%d-", i), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	input(0)
	began := time.Now()
	if _, err := runCrashWorld(t.Context(), dir); err != nil {
		t.Fatal(err)
	}
	whole := time.Since(began) + 20*time.Millisecond // and the start of a process
	random := rand.New(rand.NewPCG(1, 2))
	cut, kills := 0, crashKills()
	for i := 1; i <= kills; i++ {
		if i%4 == 1 { // so that what was cut off is sometimes gone on with
			input(i)
		}
		cmd := exec.CommandContext(t.Context(), exe, "-test.run=^$")
		cmd.Env = append(os.Environ(), crashEnv+"="+dir)
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Duration(random.Int64N(int64(whole))))
		if cmd.Process.Kill() == nil && cmd.Wait() != nil {
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
