package show

import (
	"fmt"
	"io"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/charmbracelet/x/ansi"
	"pgregory.net/rapid"

	"roost/graph"
	"roost/internal/report"
)

// upTo is the run as it was at a second of its record, and that moment.
func upTo(t *testing.T, name string, second float64) (*report.Run, time.Time) {
	events, _ := record(t, name)
	now := events[0].Time.Add(time.Duration(second * float64(time.Second)))
	run := report.New()
	for _, e := range events {
		if !e.Time.After(now) {
			run.Add(e)
		}
	}
	return run, now
}

func TestView(t *testing.T) {
	for _, c := range []struct {
		golden, record string
		seconds        []float64
		s              screen
	}{
		{"view-40.txt", "four", []float64{0.5, 12.5, 30}, screen{width: 40, height: 24}},
		{"view-80.txt", "four", []float64{0, 0.5, 4, 9, 12.5, 18, 30}, screen{width: 80, height: 24}},
		{"view-120.txt", "four", []float64{0.5, 12.5, 30}, screen{width: 120, height: 24}},
		{"view-ascii.txt", "every", []float64{0.5, 12.5, 90}, screen{width: 110, height: 24, ascii: true}},
		{"view-colour.txt", "every", []float64{12.5, 90}, screen{width: 110, height: 8, color: true}},
	} {
		t.Run(c.golden, func(t *testing.T) {
			var frames strings.Builder
			for _, second := range c.seconds {
				run, now := upTo(t, c.record, second)
				text := view(run, c.s, now)
				fits(t, text, c.s)
				fmt.Fprintf(&frames, "--- at %g s\n%s\n", second, text)
			}
			golden(t, c.golden, frames.String())
		})
	}
}

func TestFailureStaysAbove(t *testing.T) {
	run, _ := upTo(t, "four", 30)
	var text strings.Builder
	for _, s := range []screen{{width: 60, height: 24}, {width: 100, height: 24, color: true}, {width: 30, height: 5, ascii: true}} {
		lines := strings.Join(failure(run.Task("raum/activate"), s), "\n")
		fits(t, lines, screen{width: s.width})
		fmt.Fprintf(&text, "--- %d columns\n%s\n", s.width, lines)
	}
	golden(t, "failure.txt", text.String())
}

// fits fails the test when a frame does not fit its screen.
func fits(t interface{ Errorf(string, ...any) }, text string, s screen) {
	lines := strings.Split(text, "\n")
	if s.height > 0 && len(lines) > max(s.height-1, 2) {
		t.Errorf("%d lines on a screen of %d:\n%s", len(lines), s.height, text)
	}
	for _, line := range lines {
		if w := ansi.StringWidth(line); w >= s.width && w > 0 {
			t.Errorf("a line of %d cells on a screen of %d: %s", w, s.width, line)
		}
	}
}

// fleet is a run over n hosts: one in nine is done, one in four works.
func fleet(n int) *report.Run {
	run := report.New()
	start := time.Date(2026, 3, 14, 9, 26, 53, 0, time.UTC)
	plan := &graph.Plan{}
	for i := range n {
		for _, step := range []string{"eval", "build", "activate"} {
			plan.Tasks = append(plan.Tasks, graph.Planned{Task: fmt.Sprintf("host%03d/%s", i, step), Decision: graph.DecideRun})
		}
	}
	run.Add(graph.Event{Kind: graph.RunStarted, Time: start, Run: &graph.RunInfo{Verb: "update:all", Tasks: 3 * n}})
	run.Add(graph.Event{Kind: graph.PlanReady, Time: start, Plan: plan})
	for i, t := range plan.Tasks {
		host := i / 3
		e := graph.Event{Time: start.Add(time.Second), Task: t.Task}
		switch {
		case host%9 == 0:
			e.Kind, e.Status = graph.TaskFinished, graph.StatusRan
		case host == 100:
			e.Kind, e.Status, e.Error = graph.TaskFinished, graph.StatusFailed, "it broke"
		case host%20 == 1 && i%3 == 0:
			e.Kind = graph.TaskStarted
		default:
			continue
		}
		run.Add(e)
	}
	return run
}

func TestManyHostsFold(t *testing.T) {
	run := fleet(200)
	s := screen{width: 80, height: 24}
	text := view(run, s, run.Started.Add(4*time.Second))
	fits(t, text, s)
	golden(t, "view-200.txt", text+"\n")
}

func TestAnyScreen(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		run := fleet(rapid.IntRange(0, 40).Draw(t, "hosts"))
		s := screen{
			width: rapid.IntRange(0, 150).Draw(t, "width"), height: rapid.IntRange(0, 50).Draw(t, "height"),
			color: rapid.Bool().Draw(t, "color"), ascii: rapid.Bool().Draw(t, "ascii"),
		}
		run.Add(graph.Event{Kind: graph.TaskLog, Task: "host001/eval", Text: rapid.String().Draw(t, "log")})
		fits(t, view(run, s, run.Started.Add(time.Minute)), s)
	})
}

// TestLiveNeverBlocks sends a run's events to an output that takes nothing, as
// a terminal that is stopped: Close alone waits until it is read again.
func TestLiveNeverBlocks(t *testing.T) {
	in, out, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	if err := out.SetWriteDeadline(time.Now().Add(10 * time.Millisecond)); err != nil {
		t.Fatal(err)
	}
	for err == nil {
		_, err = out.Write(make([]byte, 4096))
	}
	if err := out.SetWriteDeadline(time.Time{}); err != nil {
		t.Fatal(err)
	}
	watcher := Live(out)
	events, _ := record(t, "every")
	for _, e := range events {
		watcher.Event(e)
	}
	for range 100_000 {
		watcher.Event(graph.Event{Kind: graph.TaskLog, Task: "raum/activate", Text: "a line"})
	}
	read := make(chan string)
	go func() {
		text, _ := io.ReadAll(in)
		read <- string(text)
	}()
	if err := watcher.Close(); err != nil {
		t.Fatal(err)
	}
	out.Close()
	text := <-read
	if !strings.Contains(text, "raum/activate failed") {
		t.Errorf("the failure was not printed:\n%s", text)
	}
	for _, mode := range []string{"\x1b[?2004h", "\x1b[?1049h", "\x1b[?1000h", "\x1b[?2026$p"} {
		if strings.Contains(text, mode) {
			t.Errorf("the terminal's mode was changed or asked for: %q", mode)
		}
	}
	if hidden, shown := strings.LastIndex(text, "\x1b[?25l"), strings.LastIndex(text, "\x1b[?25h"); shown < hidden {
		t.Error("the cursor was left hidden")
	}
}
