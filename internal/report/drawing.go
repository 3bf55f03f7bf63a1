package report

import (
	"fmt"
	"slices"
	"strings"

	"roost/graph"
)

// Sizes of the graph, in units of the SVG's view box.
const (
	nodeLabel  = 130.0
	nodeWidth  = 116.0
	nodeStep   = 150.0 // from one column to the next
	nodeTurn   = 34.0  // where a line leaves its row, before its target
	nodeLine   = 15.0
	nodePad    = 8.0
	nodeGap    = 7.0
	groupGap   = 12.0
	foldHosts  = 60 // above this, hosts are folded into counts
	mostEdges  = 4000
	foldedName = "all hosts"
)

// drawing is the graph of tasks, laid out in columns by what needs what, one
// band of nodes per group.
type drawing struct {
	Width, Height float64
	Bands         []band
	Nodes         []*node
	Edges         []edge
	Folded        int // hosts that are folded into one band
	HiddenEdges   int
}

type band struct {
	Name        string
	Y, H, TextY float64
}

type node struct {
	X, Y, W, H float64
	Lines      []nodeText
	Title      string
	Tone       tone
	Critical   bool

	name, group, step string
	needs             []string
	column            int
}

type nodeText struct {
	X, Y float64
	Text string
}

type edge struct {
	Path     string // of the SVG
	Critical bool
}

// drawing lays out the graph of the plan.
func (r *Run) drawing(critical map[*Task]bool) drawing {
	hosts := 0
	for _, g := range r.Groups {
		if g.IsHost() {
			hosts++
		}
	}
	var d drawing
	var nodes []*node
	if hosts > foldHosts {
		d.Folded = hosts
		nodes = r.foldedNodes()
	} else {
		nodes = r.taskNodes(critical)
	}
	byName := make(map[string]*node, len(nodes))
	for _, n := range nodes {
		byName[n.name] = n
	}
	setColumns(nodes, byName)
	d.place(nodes)
	d.connect(byName)
	return d
}

// taskNodes makes a node of each task.
func (r *Run) taskNodes(critical map[*Task]bool) []*node {
	var nodes []*node
	for _, t := range r.Tasks() {
		n := &node{
			name: t.Name, group: t.Group, step: t.Step, needs: t.Needs,
			Tone: toneOf(t.End()), Critical: critical[t],
			Lines: []nodeText{{Text: glyphOf(t.End()) + " " + cut(Clean(first(t.Step, t.Name)), 12, "…")}},
			Title: Clean(t.Name) + ": " + statusWord(t.End()),
		}
		if why := firstLine(t.Why()); why != "" {
			n.Title += ": " + why
		}
		nodes = append(nodes, n)
	}
	return nodes
}

// foldedNodes makes a node of each step, with how many tasks ended how, and of
// each task of the fleet.
func (r *Run) foldedNodes() []*node {
	steps := map[string]*node{}
	counts := map[*node]map[graph.Status]int{}
	fold := func(t *Task) string {
		if t.Group == FleetGroup {
			return t.Name
		}
		return "/" + t.Step
	}
	var nodes []*node
	for _, t := range r.Tasks() {
		name := fold(t)
		n := steps[name]
		if n == nil {
			n = &node{name: name, group: t.Group, step: t.Step}
			if t.Group != FleetGroup {
				n.group = foldedName
			}
			steps[name], counts[n] = n, map[graph.Status]int{}
			nodes = append(nodes, n)
		}
		counts[n][t.End()]++
		for _, need := range t.Needs {
			if before := r.tasks[need]; before != nil && fold(before) != name && !slices.Contains(n.needs, fold(before)) {
				n.needs = append(n.needs, fold(before))
			}
		}
	}
	slices.SortStableFunc(nodes, func(a, b *node) int { return -strings.Compare(a.group, b.group) }) // the fleet first
	for _, n := range nodes {
		n.Lines = []nodeText{{Text: cut(Clean(n.step), 14, "…")}}
		var said []string
		for _, s := range statuses {
			count := counts[n][s.Status]
			if count == 0 {
				continue
			}
			if n.Tone == "" {
				n.Tone = s.Tone
			}
			said = append(said, fmt.Sprintf("%d %s", count, statusWord(s.Status)))
			n.Lines = append(n.Lines, nodeText{Text: s.Glyph + " " + said[len(said)-1]})
		}
		n.Title = Clean(n.step) + ": " + strings.Join(said, ", ")
	}
	return nodes
}

// setColumns puts each node one column after what it needs in its own group.
func setColumns(nodes []*node, byName map[string]*node) {
	const unset, visiting = -1, -2
	for _, n := range nodes {
		n.column = unset
	}
	var visit func(n *node)
	visit = func(n *node) {
		if n.column != unset {
			return // done, or the circle of a broken plan
		}
		n.column = visiting
		column := 0
		for _, need := range n.needs {
			if before := byName[need]; before != nil && before.group == n.group {
				visit(before)
				column = max(column, before.column+1)
			}
		}
		n.column = column
	}
	for _, n := range nodes {
		visit(n)
	}
}

// place gives the nodes their places: a band per group, a column per depth.
func (d *drawing) place(nodes []*node) {
	y := groupGap
	for start := 0; start < len(nodes); {
		end := start
		for end < len(nodes) && nodes[end].group == nodes[start].group {
			end++
		}
		below := map[int]float64{} // how far each column is filled
		height := 0.0
		for _, n := range nodes[start:end] {
			n.W, n.H = nodeWidth, nodePad+nodeLine*float64(len(n.Lines))
			n.X, n.Y = nodeLabel+float64(n.column)*nodeStep, y+below[n.column]
			for i := range n.Lines {
				n.Lines[i].X, n.Lines[i].Y = n.X+8, n.Y+nodePad/2+nodeLine*float64(i)+11
			}
			below[n.column] += n.H + nodeGap
			height = max(height, below[n.column]-nodeGap)
			d.Width = max(d.Width, n.X+n.W+10)
		}
		d.Bands = append(d.Bands, band{Name: laneName(nodes[start].group), Y: y - groupGap/2, H: height + groupGap, TextY: y + 15})
		y += height + groupGap
		start = end
	}
	d.Nodes, d.Height = nodes, y
}

// connect draws a line from each node to the nodes that need it.
func (d *drawing) connect(byName map[string]*node) {
	for _, n := range d.Nodes {
		for _, need := range n.needs {
			before := byName[need]
			if before == nil || before == n || implied(n, before, byName) {
				continue
			}
			if len(d.Edges) == mostEdges {
				d.HiddenEdges++
				continue
			}
			x1, y1 := before.X+before.W, before.Y+before.H/2
			x2, y2 := n.X, n.Y+n.H/2
			turn := max(x2-nodeTurn, x1) // straight on in its own row, then to the target
			d.Edges = append(d.Edges, edge{
				Path:     fmt.Sprintf("M%.1f %.1fH%.1fC%.1f %.1f %.1f %.1f %.1f %.1f", x1, y1, turn, x2, y1, turn, y2, x2, y2),
				Critical: n.Critical && before.Critical,
			})
		}
	}
}

// implied says that n needs before by way of another need, too: a line of its
// own would only cross the nodes between them.
func implied(n, before *node, byName map[string]*node) bool {
	seen := map[*node]bool{n: true, before: true}
	var reaches func(at *node) bool
	reaches = func(at *node) bool {
		for _, need := range at.needs {
			next := byName[need]
			if next == before && at != n {
				return true
			}
			if next != nil && !seen[next] {
				seen[next] = true
				if reaches(next) {
					return true
				}
			}
		}
		return false
	}
	return reaches(n)
}
