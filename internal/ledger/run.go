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

	events *os.File
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
	r.events = f
	return r, nil
}

// ReportPath is where the run's HTML report belongs.
func (r *Run) ReportPath() string { return filepath.Join(r.Dir, "report.html") }

// Event records one event. It is on disk before an effect begins, and when one
// has ended: what may have been done to a host is never forgotten.
func (r *Run) Event(e graph.Event) {
	if e.Kind == graph.TaskLog {
		return // LogTo keeps it
	}
	line, err := json.Marshal(e)
	if err == nil {
		_, err = r.events.Write(append(line, '\n'))
	}
	effect := e.TaskKind == graph.KindEffect && (e.Kind == graph.TaskStarted || e.Kind == graph.TaskFinished && e.Status != graph.StatusSatisfied)
	if err == nil && (effect || e.Kind == graph.RunFinished) {
		err = r.events.Sync()
	}
	r.keep(err)
	if e.Kind == graph.PlanReady {
		plan, err := json.MarshalIndent(e.Plan, "", "  ")
		if err == nil {
			err = renameio.WriteFile(filepath.Join(r.Dir, "plan.json"), append(plan, '\n'), 0o600)
		}
		r.keep(err)
	}
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
func (r *Run) Close() error { return errors.Join(append(r.errs, r.events.Close())...) }

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
