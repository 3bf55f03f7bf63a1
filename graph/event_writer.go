package graph

import (
	"fmt"
	"io"
	"sync"
	"time"
)

const (
	eventsHeld = 64 << 10               // bytes after which they are passed on
	eventsLate = 100 * time.Millisecond // or this long after the first of them
)

// EventWriter writes events as JSON lines. It gathers them, and passes them on
// when 64 KiB are there or the oldest has waited for 100 ms. After the first
// error it writes nothing more. It is safe for use by many goroutines.
//
//	events := graph.NewEventWriter(os.Stdout)
//	g.Run(ctx, graph.Options{Watch: []func(graph.Event){func(e graph.Event) { events.Write(&e) }}})
//	err := events.Close()
type EventWriter struct {
	to io.Writer

	mu    sync.Mutex
	held  []byte
	timer *time.Timer // set while something is held
	err   error
}

// NewEventWriter returns a writer to w. Close it, or what is held is lost.
func NewEventWriter(w io.Writer) *EventWriter {
	return &EventWriter{to: w, held: make([]byte, 0, eventsHeld+eventsHeld/8)}
}

// Write adds one event. It is passed on soon; Flush does it now.
func (w *EventWriter) Write(e *Event) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.err != nil {
		return
	}
	idle := len(w.held) == 0
	w.held = append(e.appendTo(w.held, w.drain), '\n')
	w.held = w.drain(w.held)
	switch {
	case !idle || len(w.held) == 0:
	case w.timer == nil:
		w.timer = time.AfterFunc(eventsLate, func() { w.Flush() }) // its error is kept
	default:
		w.timer.Reset(eventsLate)
	}
	if w.err != nil {
		w.err = fmt.Errorf("write event %d: %w", e.Seq, w.err)
	}
}

// drain passes on what is held, once it is enough. It returns what is held then.
func (w *EventWriter) drain(held []byte) []byte {
	if len(held) < eventsHeld {
		return held
	}
	if w.err == nil {
		_, w.err = w.to.Write(held)
	}
	return held[:0]
}

// Flush passes on all that is held.
func (w *EventWriter) Flush() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.err == nil && len(w.held) > 0 {
		_, w.err = w.to.Write(w.held)
	}
	w.held = w.held[:0]
	return w.err
}

// Close flushes, and returns the first error. The writer below stays open.
func (w *EventWriter) Close() error {
	err := w.Flush()
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.timer != nil {
		w.timer.Stop() // one that works just now finds nothing to do
	}
	return err
}
