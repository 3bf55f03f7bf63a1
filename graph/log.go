package graph

import (
	"bytes"
	"context"
	"errors"
	"io"
	"strings"
	"sync"
)

// Log returns where a task's working function writes what a reader may want to
// see: each line becomes an event, and the last ones are shown if it fails.
// Outside a task it discards. The writer is safe for use by many goroutines.
func Log(ctx context.Context) io.Writer {
	if w, ok := ctx.Value(workingKey{}).(*working); ok {
		return &w.log
	}
	return io.Discard
}

const (
	tailLines = 20
	lineBytes = 4096 // a longer line is cut into several
)

// taskLog cuts what a task writes into lines.
type taskLog struct {
	run *run
	id  int32

	mu   sync.Mutex
	part []byte
	tail []string
}

func (l *taskLog) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.part = append(l.part, p...)
	for {
		i := bytes.IndexByte(l.part, '\n')
		if i < 0 && len(l.part) < lineBytes {
			return len(p), nil
		}
		if i < 0 {
			i = lineBytes - 1
		}
		l.line(string(l.part[:i]))
		l.part = l.part[i+1:]
	}
}

func (l *taskLog) line(text string) {
	text = strings.TrimRight(text, "\r")
	l.tail = append(l.tail, text)
	if len(l.tail) > tailLines {
		l.tail = l.tail[1:]
	}
	l.run.events.log(l.run.name(l.id), text)
}

// close sends what is left and returns the last lines.
func (l *taskLog) close() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.part) > 0 {
		l.line(string(l.part))
		l.part = nil
	}
	return l.tail
}

// events numbers events and gives them to the watchers, one at a time. Workers
// send log lines, the scheduler everything else.
type events struct {
	o Options

	mu   sync.Mutex
	seq  int
	logs map[string]io.WriteCloser
	errs []error
}

func newEvents(o Options) *events { return &events{o: o, logs: map[string]io.WriteCloser{}} }

func (s *events) send(e Event) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.seq++
	e.Version, e.Seq, e.Time = EventVersion, s.seq, s.o.Now()
	for _, watch := range s.o.Watch {
		watch(e)
	}
}

func (s *events) log(task, text string) {
	s.send(Event{Kind: TaskLog, Task: task, Text: text})
	if s.o.LogTo == nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	w, ok := s.logs[task]
	if !ok {
		var err error
		if w, err = s.o.LogTo(task); err != nil {
			s.errs = append(s.errs, err)
		}
		s.logs[task] = w
	}
	if w != nil {
		if _, err := io.WriteString(w, text+"\n"); err != nil {
			s.errs = append(s.errs, err)
			s.logs[task] = nil // once is enough
		}
	}
}

func (s *events) close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, w := range s.logs {
		if w != nil {
			s.errs = append(s.errs, w.Close())
		}
	}
	return errors.Join(s.errs...)
}

func firstLine(s string) string {
	line, _, _ := strings.Cut(s, "\n")
	return line
}
