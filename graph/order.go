package graph

import (
	"cmp"
	"errors"
	"fmt"
	"iter"
	"slices"
	"strings"

	dag "github.com/dominikbraun/graph"
)

// The passes over a whole graph. Each takes a time that grows with tasks and
// edges alone. dominikbraun/graph is asked for what it is good at, naming a
// circle, and only among the tasks that Kahn's order leaves over; its own sorts
// are quadratic in v0.23.0 (10,000 tasks take it 9 to 16 s), and it takes 9 us
// and 1.8 KB to hold a task.

// inOrder goes through the tasks, each after what it needs.
func (c *compiled) inOrder() iter.Seq[int32] {
	return func(yield func(int32) bool) {
		for i := range int32(len(c.rows)) {
			if c.topo != nil {
				i = c.topo[i]
			}
			if !yield(i) {
				return
			}
		}
	}
}

// backwards goes through the tasks, each before what it needs.
func (c *compiled) backwards() iter.Seq[int32] {
	return func(yield func(int32) bool) {
		for i := int32(len(c.rows)) - 1; i >= 0; i-- {
			id := i
			if c.topo != nil {
				id = c.topo[i]
			}
			if !yield(id) {
				return
			}
		}
	}
}

// users are the edges to those that need a task. They are turned round when
// somebody first asks: a run in which nothing has changed does not.
func (c *compiled) users(id int32) []edge {
	if c.userStart == nil {
		c.turnRound()
	}
	return c.userEdges[c.userStart[id]:c.userStart[id+1]]
}

func (c *compiled) turnRound() {
	n := len(c.rows)
	start := make([]int32, n+1)
	for _, e := range c.edges {
		start[e.task()+1]++
	}
	for i := range n {
		start[i+1] += start[i]
	}
	c.userEdges = make([]edge, len(c.edges))
	at := slices.Clone(start[:n])
	for id := range int32(n) {
		for _, e := range c.needs(id) {
			c.userEdges[at[e.task()]] = makeEdge(id, e.kind())
			at[e.task()]++
		}
	}
	c.userStart = start
}

// kahn is Kahn's order; it is short when there is a circle.
func (c *compiled) kahn() []int32 {
	waits := make([]int32, len(c.rows))
	ready := make([]int32, 0, len(c.rows))
	for id := range waits {
		if waits[id] = int32(len(c.needs(int32(id)))); waits[id] == 0 {
			ready = append(ready, int32(id))
		}
	}
	for i := 0; i < len(ready); i++ {
		for _, user := range c.users(ready[i]) {
			if waits[user.task()]--; waits[user.task()] == 0 {
				ready = append(ready, user.task())
			}
		}
	}
	return ready
}

// order is the order of plans: by group, then by depth, then by name.
func (c *compiled) order() []int32 {
	if c.planOrder != nil {
		return c.planOrder
	}
	depth := c.depths()
	groups := make([]string, len(c.rows))
	c.planOrder = make([]int32, len(c.rows))
	for id := range c.planOrder {
		groups[id], _ = splitName(c.name(int32(id)))
		c.planOrder[id] = int32(id)
	}
	slices.SortFunc(c.planOrder, func(a, b int32) int {
		return cmp.Or(
			strings.Compare(groups[a], groups[b]),
			cmp.Compare(depth[a], depth[b]),
			strings.Compare(c.name(a), c.name(b)))
	})
	return c.planOrder
}

// depths are how many tasks lie on the longest way to each.
func (c *compiled) depths() []int32 {
	depth := make([]int32, len(c.rows))
	for id := range c.inOrder() {
		for _, e := range c.needs(id) {
			depth[id] = max(depth[id], depth[e.task()]+1)
		}
	}
	return depth
}

// CycleError is a cycle in the graph: each task waits for the next, the last for the first.
type CycleError struct{ Tasks []string }

func (e *CycleError) Error() string {
	return "tasks wait for each other in a circle: " + strings.Join(append(e.Tasks, e.Tasks[0]), " waits for ")
}

// mostSearched is among how many tasks the shortest circle is looked for. Where
// more are left over, one circle is found by a walk.
const mostSearched = 1000

// cycle names a circle.
func (c *compiled) cycle() error {
	ended := make([]bool, len(c.rows))
	for _, id := range c.topo {
		ended[id] = true
	}
	var left []int32
	for id := range ended {
		if !ended[id] {
			left = append(left, int32(id))
		}
	}
	circle := c.walk(left, ended)
	if len(left) <= mostSearched {
		var err error
		if circle, err = c.shorter(circle, left, ended); err != nil {
			return fmt.Errorf("look for the circle: %w", err)
		}
	}
	names := make([]string, len(circle))
	for i, id := range circle {
		names[i] = c.name(id)
	}
	first := slices.Index(names, slices.Min(names)) // equal graphs give equal errors
	return &CycleError{Tasks: slices.Concat(names[first:], names[:first])}
}

// walk goes from need to need, among tasks all of which wait for another, until
// it comes to one that it has seen.
func (c *compiled) walk(left []int32, ended []bool) []int32 {
	seen := map[int32]int{}
	var path []int32
	for id := left[0]; ; {
		if at, ok := seen[id]; ok {
			return path[at:]
		}
		seen[id] = len(path)
		path = append(path, id)
		for _, e := range c.needs(id) {
			if !ended[e.task()] {
				id = e.task()
				break
			}
		}
	}
}

// shorter is the shortest circle through the first by name of a circle's tasks.
// dominikbraun/graph holds those left over, and finds the way back.
func (c *compiled) shorter(circle, left []int32, ended []bool) ([]int32, error) {
	d := dag.New(func(id int32) int32 { return id }, dag.Directed())
	for _, id := range left {
		if err := d.AddVertex(id); err != nil {
			return nil, err
		}
	}
	for _, id := range left {
		for _, e := range c.needs(id) {
			if ended[e.task()] {
				continue
			}
			if err := d.AddEdge(id, e.task()); err != nil && !errors.Is(err, dag.ErrEdgeAlreadyExists) {
				return nil, err
			}
		}
	}
	start := slices.MinFunc(circle, func(a, b int32) int { return strings.Compare(c.name(a), c.name(b)) })
	for _, e := range c.needs(start) {
		if e.task() == start {
			return []int32{start}, nil
		}
		if ended[e.task()] {
			continue
		}
		back, err := dag.ShortestPath(d, e.task(), start)
		if err == nil && len(back) <= len(circle) {
			circle = append([]int32{start}, back[:len(back)-1]...)
		} else if err != nil && !errors.Is(err, dag.ErrTargetNotReachable) {
			return nil, err
		}
	}
	return circle, nil
}
