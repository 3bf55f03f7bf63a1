package report

import (
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"roost/graph"
)

// What a search finds in a large record is what reading it whole finds. The
// record is long enough to be searched in several parts.
func TestFindInALargeRecord(t *testing.T) {
	path, failed, blocked := bigRecord(t, 100_000)
	record, err := OpenRecord(path)
	if err != nil {
		t.Fatal(err)
	}
	defer record.Close()
	whole, err := Load(path)
	if err != nil {
		t.Fatal(err)
	}
	var want []string
	for _, task := range whole.Tasks() {
		want = append(want, task.Name)
	}
	if diff := cmp.Diff(want, record.Names()); diff != "" {
		t.Fatalf("(-whole +names):\n%.500s", diff)
	}
	some := []string{want[0], want[len(want)/2-1], want[len(want)/2], want[len(want)/3], failed, blocked}
	for _, tasks := range [][]string{some, some[:1], some[1:2], some[2:3], some[4:5], some[5:], {"none/such"}} {
		run, err := record.Find(tasks...)
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range tasks {
			if diff := cmp.Diff(whole.Task(name), run.Task(name)); diff != "" {
				t.Errorf("%s (-whole +found):\n%s", name, diff)
			}
		}
		if n := len(run.Tasks()); n > len(tasks) {
			t.Errorf("%d tasks were found, %d looked for", n, len(tasks))
		}
	}
	users, err := record.Users(want[0])
	if err != nil || len(users) != 7 || users[0] != want[1] {
		t.Errorf("%s is needed by %q (%v)", want[0], users, err)
	}
}

// A line is found by its beginning, which names the version of its schema.
func TestEventTaskKnowsTheVersion(t *testing.T) {
	e := graph.Event{Version: graph.EventVersion, Kind: graph.TaskStarted, Task: "a/eval"}
	if name, ok := eventTask(e.AppendJSON(nil)); !ok || nameAt(name) != "a/eval" {
		t.Errorf("the task of %s is not found (%q): every line is read whole, which is slow", e.AppendJSON(nil), name)
	}
	e.Version++
	if name, ok := eventTask(e.AppendJSON(nil)); ok {
		t.Errorf("version %d is taken for version %d: %s", e.Version, graph.EventVersion, name)
	}
}

func TestRecordsThatCannotBeRead(t *testing.T) {
	event := func(e graph.Event) string {
		e.Version = graph.EventVersion
		return string(e.AppendJSON(nil)) + "\n"
	}
	ready := event(graph.Event{Kind: graph.RunStarted, Run: &graph.RunInfo{ID: "r"}}) + event(graph.Event{Kind: graph.PlanReady}) +
		event(graph.Event{Kind: graph.TaskStarted, Task: "a/eval"})
	for _, c := range []struct{ name, events, plan, says string }{
		{"no plan", ready, "", "plan.json: no such file"},
		{"a damaged plan", ready, `{"version":1,"tasks":[` + "\n" + `{"task":"a/ev`, "is damaged"},
		{"a plan without a version", ready, `{}`, "is damaged"},
		{"a plan of another version", ready, strings.Replace(`{"version":1,"tasks":[]}`, "1", strconv.Itoa(graph.PlanVersion+1), 1), "read it with the roost that wrote it"},
		{"another version of events", `{"v":99,"seq":1,"time":"2026-03-14T09:26:53Z","kind":"task.started","task":"a/eval"}`, "", ":1: event version 99, this roost knows"},
		{"a damaged event", ready[:10] + "\n" + ready, `{"version":1,"tasks":[]}`, ":1: this line is no event"},
	} {
		t.Run(c.name, func(t *testing.T) {
			path := t.TempDir() + "/events.jsonl"
			if err := os.WriteFile(path, []byte(c.events), 0o600); err != nil {
				t.Fatal(err)
			}
			if c.plan != "" {
				if err := os.WriteFile(planPath(path), []byte(c.plan), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			_, errLoad := Load(path)
			record, err := OpenRecord(path)
			if err != nil {
				t.Fatal(err)
			}
			defer record.Close()
			_, errFind := record.Find("a/eval")
			for how, err := range map[string]error{"Load": errLoad, "Find": errFind} {
				if err == nil || !strings.Contains(err.Error(), c.says) {
					t.Errorf("%s: %v, want words about %q", how, err, c.says)
				}
			}
		})
	}
	if _, err := OpenRecord(t.TempDir() + "/none"); err == nil {
		t.Error("a record that is not there was opened")
	}
}

func TestLoadInfo(t *testing.T) {
	path := t.TempDir() + "/events.jsonl"
	first := `{"v":1,"seq":1,"time":"2026-03-14T09:26:53Z","kind":"run.started","run":{"id":"r","verb":"update:all","args":["--on","m"],"tasks":3}}`
	for _, c := range []struct {
		events, verb string
		bad          bool
	}{
		{first, "update:all", false},
		{first + "\nno event at all\n", "update:all", false},
		{first[:40], "", false},
		{"", "", false},
		{"no event\n" + first, "", true},
		{strings.Replace(first, `"v":1`, `"v":99`, 1), "", true},
	} {
		if err := os.WriteFile(path, []byte(c.events), 0o600); err != nil {
			t.Fatal(err)
		}
		info, err := LoadInfo(path)
		if info.Verb != c.verb || (err != nil) != c.bad {
			t.Errorf("%.60q: the verb is %q, %v; want %q, an error: %v", c.events, info.Verb, err, c.verb, c.bad)
		}
	}
}
