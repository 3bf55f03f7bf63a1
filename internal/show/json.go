package show

import (
	"io"

	"roost/graph"
)

// JSON writes each event as one line of JSON, and nothing else: soon, as
// graph.EventWriter does it. After the first error it writes no more.
func JSON(w io.Writer) Watcher {
	events := graph.NewEventWriter(w)
	return Watcher{Event: func(e graph.Event) { events.Write(&e) }, Close: events.Close}
}
