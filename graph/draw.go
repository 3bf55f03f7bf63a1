package graph

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"unicode"
)

// Paint is the state in which a Shape is drawn, such as that of the last run.
// The zero Paint draws the tasks alone.
type Paint struct {
	Run    string            // the run's id, for the title
	Status map[string]Status // by task; a task that is not in it is drawn without
}

// title is what stands above a drawing.
func (p Paint) title() string {
	if p.Run == "" {
		return "Without the state of a run"
	}
	return "State of run " + p.Run
}

// tone sorts statuses into as many colours as a reader can tell apart. The word
// of the status is always drawn, too.
func tone(s Status) string {
	switch s {
	case StatusRan, StatusPlanned:
		return "good"
	case StatusCached, StatusSatisfied, StatusRead:
		return "same"
	case StatusFailed, StatusRefused, StatusBlocked:
		return "bad"
	case StatusUnneeded, "":
		return "none"
	}
	return "wait"
}

// tones are their colours: the ground and the line, on light and on dark pages.
var tones = []struct{ name, fill, line, darkFill, darkLine string }{
	{"bad", "#ffd7d5", "#b3261e", "#5c1a17", "#ff8f88"},
	{"good", "#d3f0d8", "#1a7f37", "#12401f", "#56d364"},
	{"none", "#ffffff", "#8a8f98", "#0d1117", "#8a8f98"},
	{"same", "#e6e9ee", "#57606a", "#30363d", "#9ea7b3"},
	{"wait", "#fff1c2", "#8a6100", "#4b3600", "#e3b341"},
}

// shapeGroup is the tasks of one group: Tasks[from:to].
type shapeGroup struct {
	name     string
	from, to int
}

func (s *Shape) groups() []shapeGroup {
	var groups []shapeGroup
	for at, t := range s.Tasks {
		if at == 0 || t.Group != s.Tasks[at-1].Group {
			groups = append(groups, shapeGroup{name: t.Group, from: at})
		}
		groups[len(groups)-1].to = at + 1
	}
	return groups
}

// visible takes the control characters out of a name: no format can hold them.
func visible(text string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return unicode.ReplacementChar
		}
		return r
	}, text)
}

// WriteDOT writes the shape in Graphviz's language: `dot -Tsvg`. Boxes are pure
// tasks, ellipses observe, hexagons are effects.
func (s *Shape) WriteDOT(w io.Writer, p Paint) error {
	quote := strings.NewReplacer(`\`, `\\`, `"`, `\"`)
	id := func(name string) string { return `"` + quote.Replace(visible(name)) + `"` }
	label := func(lines ...string) string {
		for i, line := range lines { // labels know HTML's entities
			lines[i] = quote.Replace(strings.ReplaceAll(visible(line), "&", "&amp;"))
		}
		return `"` + strings.Join(lines, `\n`) + `"`
	}
	shapes := map[Kind]string{KindPure: "box", KindObserve: "ellipse", KindEffect: "hexagon"}
	edges := map[EdgeKind]string{EdgeUse: "solid", EdgeAfter: "dashed", EdgeFinally: "dotted", EdgeBehind: "dotted"}
	colours := map[string]string{}
	for _, t := range tones {
		colours[t.name] = fmt.Sprintf("fillcolor=%q, color=%q", t.fill, t.line)
	}
	var b bytes.Buffer
	fmt.Fprintf(&b, "digraph roost {\n  rankdir=LR;\n  label=%s;\n  node [style=filled, fontcolor=\"#1f2328\"];\n", label(p.title()))
	for n, g := range s.groups() {
		fmt.Fprintf(&b, "  subgraph cluster_%d {\n    label=%s;\n", n, label(g.name))
		for _, t := range s.Tasks[g.from:g.to] {
			lines := []string{t.Step}
			status := p.Status[t.Name]
			if status != "" {
				lines = append(lines, string(status))
			}
			fmt.Fprintf(&b, "    %s [label=%s, shape=%s, %s];\n", id(t.Name), label(lines...), shapes[t.Kind], colours[tone(status)])
		}
		b.WriteString("  }\n")
	}
	for _, e := range s.Edges {
		fmt.Fprintf(&b, "  %s -> %s [style=%s", id(s.Tasks[e.From].Name), id(s.Tasks[e.To].Name), edges[e.Kind])
		if e.Kind == EdgeFinally || e.Kind == EdgeBehind {
			fmt.Fprintf(&b, ", label=%q", e.Kind)
		}
		b.WriteString("];\n")
	}
	b.WriteString("}\n")
	_, err := w.Write(b.Bytes())
	return err
}

// WriteMermaid writes the shape as a Mermaid flowchart, as Markdown pages show
// it. Mermaid draws at most 500 edges unless the page allows it more.
func (s *Shape) WriteMermaid(w io.Writer, p Paint) error {
	// Any character but these is written by its number: no bracket, quote or
	// entity of a name is ever read as Mermaid's own.
	text := func(s string) string {
		var b strings.Builder
		for _, r := range visible(s) {
			if unicode.IsLetter(r) || unicode.IsDigit(r) || strings.ContainsRune(" ./:-_@+,", r) {
				b.WriteRune(r)
			} else {
				fmt.Fprintf(&b, "#%d;", r)
			}
		}
		return b.String()
	}
	shapes := map[Kind][2]string{KindPure: {"[", "]"}, KindObserve: {"([", "])"}, KindEffect: {"{{", "}}"}}
	arrows := map[EdgeKind]string{EdgeUse: "-->", EdgeAfter: "-.->", EdgeFinally: "-.->|finally|", EdgeBehind: "-.->|behind|"}
	var b bytes.Buffer
	fmt.Fprintf(&b, "---\ntitle: %q\n---\nflowchart LR\n", visible(p.title()))
	for n, g := range s.groups() {
		fmt.Fprintf(&b, "  subgraph g%d[\"%s\"]\n", n, text(g.name))
		for at := g.from; at < g.to; at++ {
			t := s.Tasks[at]
			label, status := text(t.Step), p.Status[t.Name]
			if status != "" {
				label += "<br>" + text(string(status))
			}
			around := shapes[t.Kind]
			fmt.Fprintf(&b, "    t%d%s\"%s\"%s:::%s\n", at, around[0], label, around[1], tone(status))
		}
		b.WriteString("  end\n")
	}
	for _, e := range s.Edges {
		fmt.Fprintf(&b, "  t%d %s t%d\n", e.From, arrows[e.Kind], e.To)
	}
	for _, t := range tones {
		fmt.Fprintf(&b, "  classDef %s fill:%s,stroke:%s,color:#1f2328\n", t.name, t.fill, t.line)
	}
	_, err := w.Write(b.Bytes())
	return err
}

// ShapeVersion is the version of the JSON form of a Shape.
const ShapeVersion = 1

// WriteJSON writes the shape as one JSON object on one line.
func (s *Shape) WriteJSON(w io.Writer, p Paint) error {
	type task struct {
		Task   string `json:"task"`
		Kind   Kind   `json:"kind"`
		Status Status `json:"status,omitempty"`
	}
	type edge struct {
		From string   `json:"from"`
		To   string   `json:"to"`
		Kind EdgeKind `json:"kind"`
	}
	doc := struct {
		Version int    `json:"version"`
		Run     string `json:"run,omitempty"`
		Tasks   []task `json:"tasks"`
		Edges   []edge `json:"edges"`
	}{ShapeVersion, p.Run, []task{}, []edge{}}
	for _, t := range s.Tasks {
		doc.Tasks = append(doc.Tasks, task{t.Name, t.Kind, p.Status[t.Name]})
	}
	for _, e := range s.Edges {
		doc.Edges = append(doc.Edges, edge{s.Tasks[e.From].Name, s.Tasks[e.To].Name, e.Kind})
	}
	return json.NewEncoder(w).Encode(doc)
}
