package show

import (
	"fmt"
	"os"
	"sync"
	"time"

	tea "charm.land/bubbletea/v2"

	"roost/graph"
	"roost/internal/report"
)

const (
	frames = 10 // a second, at most
	// The size of an output that does not tell its own.
	defaultWidth, defaultHeight = 80, 24
	// firstFrame is when the view appears. Bubble Tea takes the whole screen
	// for the frame until it has drawn one, and lines that are put above that
	// would scroll the screen away.
	firstFrame = 300 * time.Millisecond
)

// Live draws the run in a terminal, below what is already there: a line per
// host and one for the run. What fails is left above it, for good. Events only
// change the model, so the engine never waits for the terminal; the drawing
// goroutine, which Close ends, looks at it ten times a second.
func Live(out *os.File) Watcher {
	look := Look(out)
	l := &live{run: report.New(), end: make(chan struct{})}
	program := tea.NewProgram(
		&frame{l: l, screen: screen{defaultWidth, defaultHeight, look.Color, look.ASCII}},
		tea.WithOutput(out),
		tea.WithInput(nil),
		tea.WithoutSignalHandler(),
		tea.WithFPS(frames),
		tea.WithWindowSize(defaultWidth, defaultHeight),
	)
	go func() {
		defer close(l.end)
		if _, err := program.Run(); err != nil {
			l.failed = fmt.Errorf("draw the progress of the run: %w", err)
		}
	}()
	return Watcher{Event: l.event, Close: l.close}
}

// live is the run that is drawn. The engine writes it, the program reads it.
type live struct {
	mu      sync.Mutex
	run     *report.Run
	above   []*report.Task // failed, and not yet printed
	closing bool

	end    chan struct{} // closed when the program has ended
	failed error         // read after end
}

func (l *live) event(e graph.Event) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.run.Add(e)
	t := l.run.Task(e.Task)
	if t != nil && e.Kind == graph.TaskFinished && signOf(t) == failed {
		l.above = append(l.above, t)
	}
}

func (l *live) close() error {
	l.mu.Lock()
	l.closing = true
	l.mu.Unlock()
	<-l.end
	return l.failed
}

// frame is the program's model: it looks at the run at each tick.
type frame struct {
	l      *live
	screen screen
	last   bool // the final frame is drawn
}

type tick struct{}

func nextTick(after time.Duration) tea.Cmd {
	return tea.Tick(after, func(time.Time) tea.Msg { return tick{} })
}

func (f *frame) Init() tea.Cmd { return nextTick(firstFrame) }

// Update prints what failed since the last tick, line by line so that a long
// text scrolls as it should, and only then asks for the next tick: so the lines
// keep their order, and none is lost at the end.
func (f *frame) Update(msg tea.Msg) (tea.Model, tea.Cmd) {
	switch msg := msg.(type) {
	case tea.WindowSizeMsg:
		f.screen.width, f.screen.height = msg.Width, msg.Height
	case tick:
		f.l.mu.Lock()
		defer f.l.mu.Unlock()
		var then []tea.Cmd
		for _, t := range f.l.above {
			for _, line := range failure(t, f.screen) {
				then = append(then, tea.Println(line))
			}
		}
		f.l.above = nil
		if f.l.closing {
			f.last = true
			return f, tea.Sequence(append(then, tea.Quit)...)
		}
		return f, tea.Sequence(append(then, nextTick(time.Second/frames))...)
	}
	return f, nil
}

// View draws the frame. The last one ends its line, so that what is printed
// next starts below it. Nothing about the terminal's modes is changed.
func (f *frame) View() tea.View {
	f.l.mu.Lock()
	text := view(f.l.run, f.screen, time.Now())
	f.l.mu.Unlock()
	if f.last {
		text += "\n"
	}
	v := tea.NewView(text)
	v.DisableBracketedPasteMode = true
	return v
}
