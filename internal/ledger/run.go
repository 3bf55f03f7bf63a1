package ledger

import (
	"bytes"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/google/renameio/v2"

	"roost/graph"
)

// Run is the record of one run, in runs/ID: plan.json, events.jsonl, logs/.
type Run struct {
	ID  string
	Dir string

	file   *os.File
	events *graph.EventWriter
	begun  map[string]bool // effects at work
	errs   []error
}

// NewRun begins a record. Its id sorts by time, to the millisecond.
func (s *State) NewRun(now time.Time) (*Run, error) {
	var salt [3]byte
	if _, err := rand.Read(salt[:]); err != nil {
		return nil, err
	}
	id := now.UTC().Format("20060102T150405.000Z") + "-" + hex.EncodeToString(salt[:])
	r := &Run{ID: id, Dir: s.Path("runs", id)}
	if err := os.MkdirAll(filepath.Join(r.Dir, "logs"), 0o700); err != nil {
		return nil, fmt.Errorf("begin the record of the run: %w", err)
	}
	f, err := os.OpenFile(s.EventsPath(id), os.O_CREATE|os.O_EXCL|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return nil, fmt.Errorf("begin the record of the run: %w", err)
	}
	r.file, r.events, r.begun = f, graph.NewEventWriter(f), map[string]bool{}
	return r, nil
}

// ReportPath is where the run's HTML report belongs.
func (r *Run) ReportPath() string { return filepath.Join(r.Dir, "report.html") }

// Event records one event. What is about the work of an effect is on disk before
// the effect begins, and when it has ended: what may have been done to a host is
// never forgotten. All else is in the file soon, see graph.EventWriter. The plan
// is in plan.json alone, which is whole before the event says that it is ready.
func (r *Run) Event(e graph.Event) {
	if e.Kind == graph.TaskLog {
		return // LogTo keeps it
	}
	if e.Kind == graph.PlanReady && e.Plan != nil {
		r.keep(writePlan(filepath.Join(r.Dir, "plan.json"), e.Plan))
		e.Plan = nil
	}
	r.events.Write(&e)
	switch {
	case e.Kind == graph.RunFinished || r.works(&e):
		err := r.events.Flush()
		if err == nil {
			err = r.file.Sync()
		}
		r.keep(err)
	case e.Kind == graph.RunStarted: // a record that is cut off early still says what was asked for
		r.keep(r.events.Flush())
	}
}

// works says that an attempt of an effect begins or has ended.
func (r *Run) works(e *graph.Event) bool {
	switch {
	case e.TaskKind != graph.KindEffect:
		return false
	case e.Kind == graph.TaskStarted:
		r.begun[e.Task] = true
		return true
	case e.Kind == graph.TaskRetrying || e.Kind == graph.TaskFinished:
		defer delete(r.begun, e.Task)
		return r.begun[e.Task]
	}
	return false
}

// writePlan writes the plan, whole or not at all.
func writePlan(path string, plan *graph.Plan) error {
	f, err := renameio.NewPendingFile(path, renameio.WithPermissions(0o600), renameio.WithTempDir(filepath.Dir(path)))
	if err != nil {
		return err
	}
	defer f.Cleanup()
	if err := plan.WriteLines(f); err != nil {
		return err
	}
	if _, err := f.Write([]byte{'\n'}); err != nil {
		return err
	}
	return f.CloseAtomicallyReplace()
}

// LogTo opens the log of one task: "malphas/build" goes to logs/malphas.build.log.
func (r *Run) LogTo(task string) (io.WriteCloser, error) {
	path := filepath.Join(r.Dir, "logs", strings.ReplaceAll(task, "/", ".")+".log")
	return os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
}

func (r *Run) keep(err error) {
	if err != nil && len(r.errs) == 0 { // a full disk says the same each time
		r.errs = append(r.errs, fmt.Errorf("record the run in %s: %w", r.Dir, err))
	}
}

// Close ends the record and reports the first thing that could not be recorded.
func (r *Run) Close() error {
	r.keep(r.events.Close())
	return errors.Join(append(r.errs, r.file.Close())...)
}

// CutOff names the newest run if its record ends before the run did: roost was
// killed then, or the machine lost its power.
func (s *State) CutOff() (id string, err error) {
	ids, err := s.Runs()
	if err != nil || len(ids) == 0 {
		return "", err
	}
	id = ids[len(ids)-1]
	f, err := os.Open(s.EventsPath(id))
	if errors.Is(err, os.ErrNotExist) {
		return id, nil
	}
	if err != nil {
		return "", err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return "", err
	}
	tail := make([]byte, min(info.Size(), 64<<10))
	if _, err := f.ReadAt(tail, info.Size()-int64(len(tail))); err != nil && err != io.EOF {
		return "", err
	}
	// A result inside an event may hold any text: only the last line counts,
	// and it counts when it is whole.
	tail = bytes.TrimSuffix(tail, []byte("\n"))
	var last graph.Event
	if json.Unmarshal(tail[bytes.LastIndexByte(tail, '\n')+1:], &last) == nil && last.Kind == graph.RunFinished {
		return "", nil
	}
	return id, nil
}
