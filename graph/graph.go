package graph

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"

	dag "github.com/dominikbraun/graph"
)

// Graph is a set of declared tasks. Declare it in one goroutine; then Plan and
// Run may be called any number of times, one at a time.
type Graph struct {
	tasks    []*Task
	declared dag.Graph[string, *Task]
	byName   []nameEdge
	problems []error
	once     string // a once-only task, if there is one
}

type nameEdge struct{ task, needs string }

// New returns an empty graph.
func New() *Graph {
	// Not PreventCycles: it searches once per edge (7 s at 10,000 tasks in
	// v0.23.0). Cycles are found once, in compile.
	return &Graph{declared: dag.New(func(t *Task) string { return t.name }, dag.Directed())}
}

// Len returns how many tasks are declared.
func (g *Graph) Len() int { return len(g.tasks) }

// Order makes one task wait for another, both by name: for an edge that is
// known by name only, such as "router before servers". Names that do not exist
// are an error of the graph, told by Plan and Run.
func (g *Graph) Order(task, needs string) {
	g.byName = append(g.byName, nameEdge{task, needs})
}

// hold puts a declared task into the library's graph, which knows names twice given.
func (g *Graph) hold(t *Task) {
	if group, step := splitName(t.name); group == "" || step == "" || strings.ContainsAny(t.name, " \t\n") {
		g.problems = append(g.problems, fmt.Errorf("task name %q: want GROUP/STEP, without spaces", t.name))
	}
	if err := g.declared.AddVertex(t); err != nil {
		if errors.Is(err, dag.ErrVertexAlreadyExists) {
			err = fmt.Errorf("task %s is declared twice", t.name)
		}
		g.problems = append(g.problems, err)
	}
	for _, need := range t.waitsFor() {
		g.edge(g.tasks[need].name, t.name)
	}
}

// waitsFor are the tasks an edge of any kind leads from.
func (t *Task) waitsFor() []int { return slices.Concat(t.uses, t.afters, t.lasts, t.behind) }

func (g *Graph) edge(from, to string) {
	if err := g.declared.AddEdge(from, to); err != nil && !errors.Is(err, dag.ErrEdgeAlreadyExists) {
		if errors.Is(err, dag.ErrVertexNotFound) {
			err = fmt.Errorf("%s waits for %s: both must be declared", to, from)
		}
		g.problems = append(g.problems, err)
	}
}

// CycleError is a cycle in the graph: each task waits for the next, the last for the first.
type CycleError struct{ Tasks []string }

func (e *CycleError) Error() string {
	return "tasks wait for each other in a circle: " + strings.Join(append(e.Tasks, e.Tasks[0]), " waits for ")
}

// compiled is the graph in the form that runs: ids and slices, sorted so that
// equal declarations give equal plans.
type compiled struct {
	tasks []*Task
	needs [][]int // what edges of any kind lead from
	users [][]int // the other way round
	order []int   // grouped by host; within a group each task after what it needs
	sinks []int   // tasks that nobody asks for: the goals, if none are named
}

func (g *Graph) compile() (*compiled, error) {
	for _, e := range g.byName {
		g.edge(e.needs, e.task)
	}
	ids := make(map[string]int, len(g.tasks))
	for _, t := range g.tasks {
		ids[t.name] = t.id
	}
	for _, e := range g.byName {
		from, okFrom := ids[e.needs]
		to, okTo := ids[e.task]
		if okFrom && okTo {
			g.tasks[to].afters = appendID(g.tasks[to].afters, from)
		}
	}
	g.byName = nil
	if len(g.problems) > 0 {
		return nil, fmt.Errorf("the task graph is not valid: %w", errors.Join(g.problems...))
	}
	c := &compiled{tasks: g.tasks, needs: make([][]int, len(g.tasks)), users: make([][]int, len(g.tasks))}
	for id, t := range g.tasks {
		for _, need := range t.waitsFor() {
			c.needs[id] = appendID(c.needs[id], need)
		}
		for _, need := range c.needs[id] {
			c.users[need] = append(c.users[need], id)
		}
	}
	topo := c.topological()
	if len(topo) < len(c.tasks) {
		return nil, g.cycle()
	}
	asked := make([]bool, len(c.tasks))
	for _, t := range c.tasks {
		for _, need := range slices.Concat(t.uses, t.afters, t.lasts) {
			asked[need] = true
		}
	}
	for id := range c.tasks {
		if !asked[id] {
			c.sinks = append(c.sinks, id)
		}
	}
	c.order = c.grouped(topo)
	return c, nil
}

// topological is Kahn's order; it is short when there is a cycle. The library's
// own sort is quadratic in v0.23.0 (29 s at 10,000 tasks).
func (c *compiled) topological() []int {
	waits := make([]int, len(c.tasks))
	ready := make([]int, 0, len(c.tasks))
	for id := range c.tasks {
		if waits[id] = len(c.needs[id]); waits[id] == 0 {
			ready = append(ready, id)
		}
	}
	for i := 0; i < len(ready); i++ {
		for _, user := range c.users[ready[i]] {
			if waits[user]--; waits[user] == 0 {
				ready = append(ready, user)
			}
		}
	}
	return ready
}

// grouped sorts by group, then by depth, then by name: the order of plans.
func (c *compiled) grouped(topo []int) []int {
	depth := make([]int, len(c.tasks))
	for _, id := range topo {
		for _, need := range c.needs[id] {
			depth[id] = max(depth[id], depth[need]+1)
		}
	}
	order := slices.Clone(topo)
	slices.SortFunc(order, func(a, b int) int {
		groupA, _ := splitName(c.tasks[a].name)
		groupB, _ := splitName(c.tasks[b].name)
		return cmp.Or(
			cmp.Compare(groupA, groupB),
			cmp.Compare(depth[a], depth[b]),
			cmp.Compare(c.tasks[a].name, c.tasks[b].name))
	})
	return order
}

// cycle names one cycle, from the library's strongly connected components.
func (g *Graph) cycle() error {
	components, err := dag.StronglyConnectedComponents(g.declared)
	if err != nil {
		return fmt.Errorf("look for the cycle: %w", err)
	}
	adjacency, err := g.declared.AdjacencyMap()
	if err != nil {
		return fmt.Errorf("look for the cycle: %w", err)
	}
	var cycles [][]string
	for _, component := range components {
		slices.Sort(component)
		_, self := adjacency[component[0]][component[0]]
		if len(component) > 1 || self {
			cycles = append(cycles, component)
		}
	}
	slices.SortFunc(cycles, slices.Compare)
	return &CycleError{Tasks: walk(cycles[0], adjacency)}
}

// walk finds a way through a component that comes back to its first task. Edges
// lead from what is needed to who needs it, so the way is returned backwards.
func walk(component []string, adjacency map[string]map[string]dag.Edge[string]) []string {
	start := component[0]
	from := map[string]string{}
	queue := []string{start}
	for len(queue) > 0 {
		at := queue[0]
		queue = queue[1:]
		for _, next := range component {
			if _, ok := adjacency[at][next]; !ok {
				continue
			}
			if next == start {
				var path []string
				for at != start {
					path = append(path, at)
					at = from[at]
				}
				return append([]string{start}, path...)
			}
			if _, seen := from[next]; !seen {
				from[next] = at
				queue = append(queue, next)
			}
		}
	}
	return component
}
