package verbs

import (
	"context"
	"fmt"
	"io"
	"maps"
	"slices"

	"roost/graph"
	"roost/hosts"
	"roost/internal/ledger"
	"roost/internal/remote"
	"roost/internal/report"
)

// GraphOptions say what Graph draws, and how.
type GraphOptions struct {
	Format string // "dot", "mermaid", "json" or "svg"; empty: json if Options.JSON is set, else dot
	Focus  string // a task: draw it, what it needs and what needs it; empty: everything
}

var graphFormats = map[string]func(*graph.Shape, io.Writer, graph.Paint) error{
	"dot": (*graph.Shape).WriteDOT, "mermaid": (*graph.Shape).WriteMermaid, "json": (*graph.Shape).WriteJSON, "svg": (*graph.Shape).WriteSVG,
}

// GraphFormats are the formats of Graph, sorted.
func GraphFormats() []string { return slices.Sorted(maps.Keys(graphFormats)) }

// Graph draws the tasks of a verb for the selected hosts, in the state of the
// newest run. It declares them only: no file of a module is read, no program is
// started, no host is asked.
func Graph(ctx context.Context, o Options, v Verb, d GraphOptions) error {
	o.fill()
	switch {
	case d.Format == "" && o.JSON:
		d.Format = "json"
	case d.Format == "":
		d.Format = "dot"
	case d.Format != "json" && o.JSON:
		return exit(CodeUsage, fmt.Errorf("--json and --format %s: want one of them", d.Format))
	case graphFormats[d.Format] == nil:
		return exit(CodeUsage, fmt.Errorf("--format %s: want dot, mermaid, json or svg", d.Format))
	}
	fleet, selected, err := load(o)
	if err != nil {
		return err
	}
	shape, err := declared(ctx, v, fleet, selected, o.Args)
	if err != nil {
		return err
	}
	if d.Focus != "" {
		part, ok := shape.Focus(d.Focus)
		if !ok {
			var names []string
			for _, t := range shape.Tasks {
				names = append(names, t.Name)
			}
			return exit(CodeUsage, unknownTask(d.Focus, "the graph", names))
		}
		shape = part
	}
	paint, err := lastPaint(fleet.Dir)
	if err != nil {
		fmt.Fprintf(o.Stderr, "Drawn without the state of the last run: %v\n", err)
	}
	return graphFormats[d.Format](shape, o.Stdout, paint)
}

// declared is the shape of a verb's graph, of which nothing will run.
func declared(ctx context.Context, v Verb, fleet *hosts.Fleet, selected []*hosts.Host, args []string) (*graph.Shape, error) {
	work := &Work{Graph: graph.New(), Fleet: fleet, Selected: selected, Args: args, DrawOnly: true, Connect: unconnected}
	if err := declare(ctx, v, work); err != nil {
		return nil, err
	}
	shape, err := work.Graph.Shape()
	if err != nil {
		return nil, exit(CodeFailed, err)
	}
	return shape, nil
}

// unconnected is a connection that nobody will use.
func unconnected(h *hosts.Host) *remote.Conn {
	return remote.Dial(remote.Target{Name: h.Name, Address: h.SSH.Address}, remote.Options{})
}

// lastPaint is the state of the tasks in the newest recorded run; the zero
// Paint if there is none.
func lastPaint(fleet string) (graph.Paint, error) {
	state, err := ledger.Open(fleet)
	if err != nil {
		return graph.Paint{}, err
	}
	ids, err := state.Runs()
	if err != nil || len(ids) == 0 {
		return graph.Paint{}, err
	}
	id := ids[len(ids)-1]
	run, err := report.Load(state.EventsPath(id))
	if err != nil {
		return graph.Paint{}, err
	}
	paint := graph.Paint{Run: id, Status: map[string]graph.Status{}}
	for _, t := range run.Tasks() {
		status := t.End()
		if status == "" {
			status = "not ended" // the run was killed
		}
		paint.Status[t.Name] = status
	}
	return paint, nil
}
