package graph

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// onceCrashEnv is crashEnv for the world of once-only tasks.
const onceCrashEnv = "ROOST_TEST_ONCE_WORLD"

const onceTasks = 60

// onceKills is how often the run is killed: often in CI, where nobody waits.
func onceKills() int {
	if os.Getenv("ROOST_REQUIRE") == "all" {
		return 100
	}
	return 20
}

// onceName is the i-th task's name; those of group l have a Look.
func onceName(i int) string { return fmt.Sprintf("%c/t%02d", "lh"[i%2], i) }

func onceFile(dir, task string) string {
	return filepath.Join(dir, strings.ReplaceAll(task, "/", ".")+".lines")
}

func onceLines(dir, task string) ([]string, error) {
	data, err := os.ReadFile(onceFile(dir, task))
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	return strings.Fields(string(data)), err
}

// onceWorld is a graph of tasks that append a line each to a file of their own,
// another for each new input.
func onceWorld(dir string) (*Graph, error) {
	in, err := os.ReadFile(filepath.Join(dir, "in"))
	if err != nil {
		return nil, err
	}
	g := New()
	for i := range onceTasks {
		name := onceName(i)
		Once(g, name, func(t *Task) OnceOnly[string] {
			t.Value("in", string(in))
			o := OnceOnly[string]{Run: func(context.Context) (string, error) {
				f, err := os.OpenFile(onceFile(dir, name), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
				if err != nil {
					return "", NotDone(err)
				}
				_, err = fmt.Fprintf(f, "%s\n", in)
				return string(in), errors.Join(err, f.Close())
			}}
			if strings.HasPrefix(name, "l/") {
				o.Look = func(context.Context) (State[string], error) {
					lines, err := onceLines(dir, name)
					return State[string]{Done: slices.Contains(lines, string(in)), Value: string(in)}, err
				}
			}
			return o
		})
	}
	return g, nil
}

func runOnceWorld(ctx context.Context, dir string, watch ...func(Event)) (*Result, error) {
	g, err := onceWorld(dir)
	if err != nil {
		return nil, err
	}
	intents, err := OpenIntents(filepath.Join(dir, "intents"))
	if err != nil {
		return nil, err
	}
	result, err := g.Run(ctx, Options{Intents: intents, Jobs: 4, Watch: watch})
	if failed, ok := errors.AsType[*RunError](err); ok && failed.OnlyRefused() {
		err = nil // what is unknown since an earlier kill
	}
	return result, err
}

// TestOnceKilledAnywhere kills a run of once-only tasks at random moments. No
// line is written twice; every line has a deed that says so or is unknown; one
// more run makes right what has a Look, and what a person settles.
func TestOnceKilledAnywhere(t *testing.T) {
	dir := t.TempDir()
	inputs := 0
	input := func() {
		t.Helper()
		inputs++
		if err := os.WriteFile(filepath.Join(dir, "in"), fmt.Appendf(nil, "v%d", inputs), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	input()
	events := 0 // of a run in which every task works
	if _, err := runOnceWorld(t.Context(), dir, func(Event) { events++ }); err != nil {
		t.Fatal(err)
	}
	random := rand.New(rand.NewPCG(5, 6))
	cut := 0
	for i := range onceKills() {
		if i%3 < 2 { // so that what was cut off is sometimes gone on with
			input()
		}
		if crash(t, onceCrashEnv, dir, events, random) {
			cut++
		}
		checkOnceWorld(t, dir)
	}
	// With a Look, one more run is enough; without, a person is asked first.
	result, err := runOnceWorld(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	unknown := settleOnceWorld(t, dir, fmt.Sprintf("v%d", inputs))
	for i := range onceTasks {
		name := onceName(i)
		status, reason := result.Status(name)
		if status == StatusRefused != (unknown[name] > 0) || status == StatusRefused && strings.HasPrefix(name, "l/") {
			t.Errorf("%s: %s, %s; unknown: %d", name, status, reason, unknown[name])
		}
	}
	if _, err = runOnceWorld(t.Context(), dir); err != nil {
		t.Fatal(err)
	}
	checkOnceWorld(t, dir)
	for i := range onceTasks {
		if lines, err := onceLines(dir, onceName(i)); err != nil || len(lines) == 0 || lines[len(lines)-1] != fmt.Sprintf("v%d", inputs) {
			t.Errorf("%s ends with another line: %v, %v", onceName(i), lines, err)
		}
	}
	if cut < onceKills()/4 {
		t.Errorf("only %d of %d runs were cut off: the test is too gentle", cut, onceKills())
	}
	t.Logf("%d of %d runs were cut off", cut, onceKills())
}

// deedOfLine says which line a deed was to write.
func deedOfLine(d Deed) string {
	return strings.Trim(d.record.byName()[`value "in"`], `"`)
}

// checkOnceWorld holds the journal against the files.
func checkOnceWorld(t *testing.T, dir string) {
	t.Helper()
	said := map[string]DeedState{}
	for _, d := range openIntents(t, filepath.Join(dir, "intents")).Deeds() {
		said[d.Task+" "+deedOfLine(d)] = d.State
	}
	for i := range onceTasks {
		name := onceName(i)
		lines, err := onceLines(dir, name)
		if err != nil {
			t.Fatal(err)
		}
		for at, line := range lines {
			if slices.Contains(lines[:at], line) {
				t.Errorf("%s has %q twice", name, line)
			}
			if state := said[name+" "+line]; state != DeedDone && state != DeedUnknown {
				t.Errorf("%s has %q, and the journal says %q", name, line, state)
			}
			delete(said, name+" "+line)
		}
	}
	for deed, state := range said {
		if state == DeedDone {
			t.Errorf("%s is done, and no line is there", deed)
		}
	}
}

// settleOnceWorld says of every unknown deed what its file shows. It returns how
// many there were of the newest input, by task.
func settleOnceWorld(t *testing.T, dir, newest string) map[string]int {
	t.Helper()
	i := openIntents(t, filepath.Join(dir, "intents"))
	unknown := map[string]int{}
	for _, d := range i.Deeds() {
		if d.State != DeedUnknown {
			continue
		}
		if deedOfLine(d) == newest {
			unknown[d.Task]++
		}
		lines, err := onceLines(dir, d.Task)
		state := DeedUndone
		if slices.Contains(lines, deedOfLine(d)) {
			state = DeedDone
		}
		if err := errors.Join(err, i.Settle(d.Task, d.Key, state, nil, time.Now())); err != nil {
			t.Fatal(err)
		}
	}
	return unknown
}
