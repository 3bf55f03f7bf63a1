package show

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"roost/graph"
)

var update = flag.Bool("update", false, "write the golden files anew")

func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s differs (-want +got); look at it, then: go test ./internal/show -update\n%s", path, diff)
	}
}

// record returns the events of a run that the tests of package report keep.
func record(t testing.TB, name string) (events []graph.Event, text string) {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join("..", "report", "testdata", name+".jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range strings.Split(strings.TrimSpace(string(raw)), "\n") {
		var e graph.Event
		if err := json.Unmarshal([]byte(line), &e); err != nil {
			t.Fatal(err)
		}
		events = append(events, e)
	}
	return events, string(raw)
}

func TestPlain(t *testing.T) {
	for _, c := range []struct {
		golden, record string
		o              Options
	}{
		{"plain-every.txt", "every", Options{}},
		{"plain-every-verbose.txt", "every", Options{Verbose: true}},
		{"plain-dry.txt", "dry", Options{}},
	} {
		t.Run(c.golden, func(t *testing.T) {
			var out bytes.Buffer
			watcher := Plain(&out, c.o)
			events, _ := record(t, c.record)
			for _, e := range events {
				watcher.Event(e)
			}
			if err := watcher.Close(); err != nil {
				t.Fatal(err)
			}
			golden(t, c.golden, out.String())
		})
	}
}

func TestPlainSaysWhatBecameKnown(t *testing.T) {
	var out bytes.Buffer
	watcher := Plain(&out, Options{})
	for _, decision := range []graph.Decision{graph.DecideUnknown, graph.DecideRun} {
		watcher.Event(graph.Event{Kind: graph.TaskDecided, Task: "a/build", Decision: decision, Reason: "b changed"})
	}
	if got, want := out.String(), "a         build     now known: run: b changed\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

// A plan says how long the rest takes: what ended before it was ready is over.
func TestPlainSaysHowLongThePlanTakes(t *testing.T) {
	var out bytes.Buffer
	watcher := Plain(&out, Options{})
	watcher.Event(graph.Event{Kind: graph.TaskFinished, Task: "a/eval", Status: graph.StatusCached})
	watcher.Event(graph.Event{Kind: graph.PlanReady, Plan: &graph.Plan{Tasks: []graph.Planned{
		{Task: "a/eval", Decision: graph.DecideRun, Expect: 40},
		{Task: "a/build", Decision: graph.DecideRun, Reason: "a.nix changed", Needs: []string{"a/eval"}, Expect: 2},
		{Task: "a/copy", Decision: graph.DecideUnknown, Needs: []string{"a/build"}, Expect: 1.25},
	}}})
	want := `plan: 2 run, 1 unknown
  a
    build  run        a.nix changed (about 2.0 s)
    copy   unknown    (about 1.2 s)
it takes at least 3.2 s: a/build, a/copy
`
	if got := out.String(); !strings.HasSuffix(got, want) {
		t.Errorf("got\n%swant\n%s", got, want)
	}
}

func TestJSONIsTheEventsAndNothingElse(t *testing.T) {
	events, want := record(t, "every")
	var out bytes.Buffer
	watcher := JSON(&out)
	for _, e := range events {
		watcher.Event(e)
	}
	if err := watcher.Close(); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, out.String()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// fullDisk takes some writes, then none.
type fullDisk struct{ room, tried int }

var errFull = errors.New("no space left on device")

func (f *fullDisk) Write(p []byte) (int, error) {
	if f.tried++; f.tried > f.room {
		return 0, errFull
	}
	return len(p), nil
}

func TestWriteErrorsAreKept(t *testing.T) {
	events, _ := record(t, "every")
	for _, c := range []struct {
		name  string
		make  func(*fullDisk) Watcher
		times int // JSON gathers what is little
	}{
		{"json", func(f *fullDisk) Watcher { return JSON(f) }, 200},
		{"plain", func(f *fullDisk) Watcher { return Plain(f, Options{}) }, 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			disk := &fullDisk{room: 3}
			watcher := c.make(disk)
			for range c.times {
				for _, e := range events {
					watcher.Event(e)
				}
			}
			if err := watcher.Close(); !errors.Is(err, errFull) {
				t.Errorf("Close: %v, want %v", err, errFull)
			}
			if disk.tried != 4 {
				t.Errorf("%d writes were tried, want none after the first that failed", disk.tried)
			}
		})
	}
}

func TestUTF8Locale(t *testing.T) {
	for _, c := range []struct {
		all, ctype, lang string
		want             bool
	}{
		{"", "", "", false},
		{"", "", "C.UTF-8", true},
		{"", "", "en_GB.utf8", true},
		{"C", "", "en_GB.UTF-8", false},
		{"", "de_DE.UTF-8", "C", true},
		{"POSIX", "", "", false},
	} {
		if got := utf8Locale(c.all, c.ctype, c.lang); got != c.want {
			t.Errorf("LC_ALL=%q LC_CTYPE=%q LANG=%q: %v, want %v", c.all, c.ctype, c.lang, got, c.want)
		}
	}
}
