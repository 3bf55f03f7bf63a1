package graph

import (
	"cmp"
	"slices"
)

// Shape is the graph as a drawing needs it: who waits for whom, and nothing of
// what the tasks do. It is data; equal declarations give equal shapes.
//
//	shape, err := g.Shape()
//	err = shape.WriteDOT(os.Stdout, graph.Paint{})
type Shape struct {
	Tasks []ShapeTask // in the order of plans: by group, then each after what it needs
	Edges []ShapeEdge // transitively reduced; in the order of Tasks, by To, then From
}

// ShapeTask is one task of a Shape.
type ShapeTask struct {
	Name        string
	Group, Step string // the two parts of the name
	Kind        Kind
	Depth       int // how many tasks lie on the longest way to it
}

// ShapeEdge says that To waits for From; both are places in Shape.Tasks.
type ShapeEdge struct {
	From, To int
	Kind     EdgeKind
}

// EdgeKind says how a task waits for another: it is the Task method that
// declared the edge. Graph.Order declares EdgeAfter.
type EdgeKind string

// The kinds of edges, the most binding first.
const (
	EdgeUse     EdgeKind = "use"
	EdgeAfter   EdgeKind = "after"
	EdgeFinally EdgeKind = "finally"
	EdgeBehind  EdgeKind = "behind"
)

// Shape describes the declared graph, as Plan and Run would take it; not at the
// same time as one of them. An edge which other edges imply is left out. The
// error says that the graph is not valid.
func (g *Graph) Shape() (*Shape, error) {
	c, err := g.compile()
	if err != nil {
		return nil, err
	}
	s := &Shape{Tasks: make([]ShapeTask, len(c.rows))}
	place := make([]int, len(c.rows)) // of an id in s.Tasks
	depths := c.depths()
	for at, id := range c.order() {
		group, step := splitName(c.name(id))
		s.Tasks[at] = ShapeTask{Name: c.name(id), Group: group, Step: step, Kind: c.kind(id), Depth: int(depths[id])}
		place[id] = at
	}
	s.Edges = reduced(c, place)
	slices.SortFunc(s.Edges, func(a, b ShapeEdge) int {
		return cmp.Or(cmp.Compare(a.To, b.To), cmp.Compare(a.From, b.From))
	})
	return s, nil
}

// edgeKinds are the words for the kinds of edges.
var edgeKinds = [...]EdgeKind{uses: EdgeUse, afters: EdgeAfter, lasts: EdgeFinally, behind: EdgeBehind}

// looseness is how much an edge binds: what is implied by edges that bind less
// is not implied at all. A value is as much of a need as a good end.
func (e edge) looseness() int { return int(max(e.kind(), afters) - afters) }

// bindings are the edges to a task, each need once, by its most binding edge.
func (c *compiled) bindings(id int32) []edge {
	all := slices.Clone(c.needs(id))
	slices.Sort(all) // by need, the most binding first
	return slices.CompactFunc(all, func(a, b edge) bool { return a.task() == b.task() })
}

// reduced returns the edges that no way of other edges implies. For each task
// it walks back from its needs, but never further than to the first of them in
// topological order: in a fleet, a few steps.
func reduced(c *compiled, place []int) []ShapeEdge {
	order := make([]int, len(c.rows)) // the place of an id in topological order
	to := make([][]edge, len(c.rows))
	at := 0
	for id := range c.inOrder() {
		order[id] = at
		to[id] = c.bindings(id)
		at++
	}
	seen := make([]int, len(c.rows)) // the number of the walk that came here
	walk := 0
	var edges []ShapeEdge
	var stack []int32
	for id := range int32(len(c.rows)) {
		for looseness := range 3 { // edges of this looseness are tried against all that bind as much
			first := len(c.rows)
			stack = stack[:0]
			walk++
			for _, e := range to[id] {
				if e.looseness() == looseness {
					first = min(first, order[e.task()])
				}
				if e.looseness() <= looseness {
					stack = append(stack, e.task())
				}
			}
			if first == len(c.rows) {
				continue // it has none
			}
			for len(stack) > 0 {
				at := stack[len(stack)-1]
				stack = stack[:len(stack)-1]
				for _, e := range to[at] {
					if need := e.task(); e.looseness() <= looseness && order[need] >= first && seen[need] != walk {
						seen[need] = walk
						stack = append(stack, need)
					}
				}
			}
			for _, e := range to[id] {
				if e.looseness() == looseness && seen[e.task()] != walk {
					edges = append(edges, ShapeEdge{place[e.task()], place[id], edgeKinds[e.kind()]})
				}
			}
		}
	}
	return edges
}

// Focus is the part of the shape around one task: what it needs, and what needs
// it; false if there is no such task.
func (s *Shape) Focus(task string) (*Shape, bool) {
	center := slices.IndexFunc(s.Tasks, func(t ShapeTask) bool { return t.Name == task })
	if center < 0 {
		return nil, false
	}
	needs, users := make([][]int, len(s.Tasks)), make([][]int, len(s.Tasks))
	for _, e := range s.Edges {
		needs[e.To] = append(needs[e.To], e.From)
		users[e.From] = append(users[e.From], e.To)
	}
	keep := reach(center, needs)
	for at, is := range reach(center, users) {
		keep[at] = keep[at] || is
	}
	part := &Shape{}
	place := make([]int, len(s.Tasks))
	for at, t := range s.Tasks {
		if keep[at] {
			place[at] = len(part.Tasks)
			part.Tasks = append(part.Tasks, t)
		}
	}
	for _, e := range s.Edges {
		if keep[e.From] && keep[e.To] {
			part.Edges = append(part.Edges, ShapeEdge{place[e.From], place[e.To], e.Kind})
		}
	}
	return part, true
}

// reach marks what can be reached from one place, and that place.
func reach(from int, next [][]int) []bool {
	seen := make([]bool, len(next))
	seen[from] = true
	for queue := []int{from}; len(queue) > 0; queue = queue[1:] {
		for _, at := range next[queue[0]] {
			if !seen[at] {
				seen[at] = true
				queue = append(queue, at)
			}
		}
	}
	return seen
}
