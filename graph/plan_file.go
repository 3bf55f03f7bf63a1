package graph

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
)

// WriteLines writes the plan as one JSON object, a task a line: it can be read
// whole, or searched line by line. The first line ends in "[", the last is "]}"
// and does not end: more may follow it.
func (p *Plan) WriteLines(w io.Writer) error {
	held := make([]byte, 0, eventsHeld+eventsHeld/8)
	var err error
	held = p.appendJSON(held, "\n", func(b []byte) []byte {
		if len(b) < eventsHeld {
			return b
		}
		if err == nil {
			_, err = w.Write(b)
		}
		return b[:0]
	})
	if err == nil {
		_, err = w.Write(held)
	}
	return err
}

// ReadPlan reads the file with the plan of a run.
func ReadPlan(path string) (*Plan, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read the plan of a run: %w", err)
	}
	var p Plan
	err = json.Unmarshal(data, &p)
	if err == nil && p.Version == 0 {
		err = errors.New("it has no version")
	}
	if err != nil {
		return nil, fmt.Errorf("the plan %s is damaged: %w", path, err)
	}
	if p.Version != PlanVersion {
		return nil, fmt.Errorf("%s is of plan version %d, this roost knows %d: read it with the roost that wrote it", path, p.Version, PlanVersion)
	}
	return &p, nil
}
