package show

import (
	"encoding/json"
	"fmt"
	"io"

	"roost/graph"
)

// JSON writes each event as one line of JSON, at once, and nothing else. After
// the first error it writes no more.
func JSON(w io.Writer) Watcher {
	var failed error
	return Watcher{
		Event: func(e graph.Event) {
			if failed != nil {
				return
			}
			line, err := json.Marshal(e)
			if err == nil {
				_, err = w.Write(append(line, '\n'))
			}
			if err != nil {
				failed = fmt.Errorf("write event %d as JSON: %w", e.Seq, err)
			}
		},
		Close: func() error { return failed },
	}
}
