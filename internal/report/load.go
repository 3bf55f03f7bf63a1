package report

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"

	"roost/graph"
)

// Load reads the events of a run from a file of JSON lines. A run that was
// killed may leave half a line at the end: it is counted in Run.Torn. A line
// elsewhere that is no event is an error.
func Load(path string) (*Run, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("read the events of a run: %w", err)
	}
	defer f.Close()
	run, lines := New(), bufio.NewReader(f)
	for n := 1; ; n++ {
		text, err := lines.ReadBytes('\n')
		last := errors.Is(err, io.EOF)
		if err != nil && !last {
			return nil, fmt.Errorf("read the events of a run: %w", err)
		}
		if text = bytes.TrimSpace(text); len(text) > 0 {
			var e graph.Event
			switch err := json.Unmarshal(text, &e); {
			case err != nil && last:
				run.Torn++
			case err != nil:
				return nil, fmt.Errorf("%s:%d: this line is no event: %w", path, n, err)
			case e.Version > graph.EventVersion:
				return nil, fmt.Errorf("%s:%d: event version %d, this roost knows %d: read it with the roost that wrote it",
					path, n, e.Version, graph.EventVersion)
			default:
				run.Add(e)
			}
		}
		if last {
			return run, nil
		}
	}
}
