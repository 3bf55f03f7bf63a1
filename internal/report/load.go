package report

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"roost/graph"
)

// Load reads the record of a run from its file of events, one a line. Where
// these do not hold the plan, it is in plan.json beside them. A run that was
// killed may leave half a line at the end: it is counted in Run.Torn. A line
// elsewhere that is no event is an error.
func Load(path string) (*Run, error) {
	run := New()
	err := Events(path, func(e graph.Event) error {
		run.Add(e)
		return nil
	}, func() { run.Torn++ })
	if err != nil {
		return nil, err
	}
	return run, nil
}

// LoadInfo reads what a run is off the beginning of its record; it is empty where
// that is missing. The rest of the record does not matter.
func LoadInfo(path string) (graph.RunInfo, error) {
	var info graph.RunInfo
	err := Events(path, func(e graph.Event) error {
		if e.Run != nil {
			info = *e.Run
		}
		return errEnough
	}, func() {})
	if errors.Is(err, errEnough) {
		err = nil
	}
	return info, err
}

// errEnough ends the reading of a record.
var errEnough = errors.New("that is enough")

// Events reads the events of a recorded run in their order, with the plan where
// it was. What is torn at the end is told to torn. It ends at the first error.
func Events(path string, each func(graph.Event) error, torn func()) error {
	return eachLine(path, func(n int, line []byte, last bool) error {
		e, err := readEvent(line)
		switch {
		case err != nil && last && !errors.As(err, new(versionError)):
			torn()
			return nil
		case err != nil:
			return fmt.Errorf("%s:%d: %w", path, n, err)
		}
		if err := addPlan(path, &e); err != nil {
			return err
		}
		return each(e)
	})
}

// addPlan puts into the event of a ready plan what lies beside the events.
func addPlan(path string, e *graph.Event) (err error) {
	if e.Kind == graph.PlanReady && e.Plan == nil {
		e.Plan, err = graph.ReadPlan(planPath(path))
	}
	return err
}

func planPath(events string) string { return filepath.Join(filepath.Dir(events), "plan.json") }

// versionError is the version of an event that a newer roost wrote.
type versionError int

func (v versionError) Error() string {
	return fmt.Sprintf("event version %d, this roost knows %d: read it with the roost that wrote it", int(v), graph.EventVersion)
}

func readEvent(line []byte) (graph.Event, error) {
	var e graph.Event
	if err := json.Unmarshal(line, &e); err != nil {
		return e, fmt.Errorf("this line is no event: %w", err)
	}
	if e.Version > graph.EventVersion {
		return e, versionError(e.Version)
	}
	return e, nil
}

// eachLine calls do for each line of a file that is not blank, with its number
// and without its end. The last line is the one that does not end: it may be
// torn. The bytes are good until do returns.
func eachLine(path string, do func(n int, line []byte, last bool) error) error {
	f, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("read the record of a run: %w", err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return fmt.Errorf("read the record of a run: %w", err)
	}
	buffer := make([]byte, min(info.Size()+1, 256<<10))
	held := 0 // bytes in it that are not yet done
	for n := 1; ; {
		got, err := f.Read(buffer[held:])
		end := errors.Is(err, io.EOF)
		if err != nil && !end {
			return fmt.Errorf("read the record of a run: %w", err)
		}
		rest := buffer[:held+got]
		for len(rest) > 0 {
			at := bytes.IndexByte(rest, '\n')
			if at < 0 && !end {
				break
			}
			line := rest
			if at >= 0 {
				line = rest[:at]
			}
			if len(bytes.TrimSpace(line)) > 0 {
				if err := do(n, line, at < 0); err != nil {
					return err
				}
			}
			n++
			rest = rest[len(line):]
			if at >= 0 {
				rest = rest[1:]
			}
		}
		if end {
			return nil
		}
		if held = copy(buffer, rest); held == len(buffer) {
			buffer = append(buffer, make([]byte, len(buffer))...)
		}
	}
}
