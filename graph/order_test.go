package graph

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// drawnGraph is a random graph: edges of all kinds by Ref, and more by name,
// with which there may be circles.
type drawnGraph struct {
	names []string
	needs [][]int // of all kinds, each once
	g     *Graph
}

func drawGraph(t *rapid.T, most int, forward bool) *drawnGraph {
	n := rapid.IntRange(1, most).Draw(t, "tasks")
	random := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 1))
	d := &drawnGraph{g: New(), needs: make([][]int, n)}
	add := func(task, need int) {
		if !slices.Contains(d.needs[task], need) {
			d.needs[task] = append(d.needs[task], need)
		}
	}
	var refs []Ref[string]
	for i := range n {
		// The order of names is another one than that of declaration.
		d.names = append(d.names, fmt.Sprintf("g%d/t%03d-%d", random.IntN(4), random.IntN(1000), i))
		refs = append(refs, pure(d.g, d.names[i], constant(""), func(t *Task) {
			for range min(i, random.IntN(4)) {
				need := random.IntN(i)
				add(i, need)
				switch random.IntN(4) {
				case 0:
					Use(t, refs[need])
				case 1:
					t.After(refs[need])
				case 2:
					t.Finally(refs[need])
				case 3:
					t.Behind(refs[need])
				}
			}
		}))
	}
	for range rapid.IntRange(0, n).Draw(t, "by name") {
		task, need := random.IntN(n), random.IntN(n)
		if !forward && need >= task {
			if need == task {
				continue
			}
			task, need = need, task
		}
		add(task, need)
		d.g.Order(d.names[task], d.names[need])
	}
	return d
}

// depth is the longest way to a task, by plain recursion; -1 where it is in a
// circle or behind one.
func (d *drawnGraph) depth(id int, known map[int]int) int {
	if depth, ok := known[id]; ok {
		return depth
	}
	known[id] = -1 // on the way: who comes back to it is in a circle
	deepest := 0
	for _, need := range d.needs[id] {
		depth := d.depth(need, known)
		if depth < 0 {
			return -1
		}
		deepest = max(deepest, depth+1)
	}
	known[id] = deepest
	return deepest
}

func (d *drawnGraph) depths() (depths []int, circle bool) {
	known := map[int]int{}
	for id := range d.names {
		depths = append(depths, d.depth(id, known))
		circle = circle || depths[id] < 0
	}
	return depths, circle
}

// check holds compile, and all passes over the graph, against the references.
func (d *drawnGraph) check(t *rapid.T) (circle []string) {
	depths, isCircle := d.depths()
	c, err := d.g.compile()
	if isCircle {
		e, is := errors.AsType[*CycleError](err)
		if !is {
			t.Fatalf("there is a circle; compile says %v", err)
		}
		d.checkCircle(t, e.Tasks)
		return e.Tasks
	}
	if err != nil {
		t.Fatal(err)
	}
	got := c.depths()
	for id := range d.names {
		if int(got[id]) != depths[id] {
			t.Fatalf("%s lies at depth %d, want %d", d.names[id], got[id], depths[id])
		}
	}
	forwards, backwards := slices.Collect(c.inOrder()), slices.Collect(c.backwards())
	d.checkOrder(t, "in order", forwards)
	d.checkOrder(t, "kahn", c.kahn())
	if slices.Reverse(backwards); !slices.Equal(forwards, backwards) {
		t.Fatalf("forwards %v, backwards %v", forwards, backwards)
	}
	want := make([]int32, len(d.names))
	for id := range want {
		want[id] = int32(id)
	}
	key := func(id int32) string {
		group, _, _ := strings.Cut(d.names[id], "/")
		return fmt.Sprintf("%s %06d %s", group, depths[id], d.names[id])
	}
	slices.SortFunc(want, func(a, b int32) int { return strings.Compare(key(a), key(b)) })
	if !slices.Equal(want, c.order()) {
		t.Fatalf("the order of the plan is %v, want %v", c.order(), want)
	}
	d.checkUsers(t, c)
	return nil
}

// checkOrder wants each task once, after what it needs.
func (d *drawnGraph) checkOrder(t *rapid.T, what string, ids []int32) {
	place := map[int32]int{}
	for i, id := range ids {
		place[id] = i
	}
	if len(place) != len(d.names) || len(ids) != len(d.names) {
		t.Fatalf("%s: %d of %d tasks, %d of them", what, len(place), len(d.names), len(ids))
	}
	for id, needs := range d.needs {
		for _, need := range needs {
			if place[int32(need)] >= place[int32(id)] {
				t.Fatalf("%s: %s does not come after %s", what, d.names[id], d.names[need])
			}
		}
	}
}

// checkUsers wants the edges turned round to be the edges.
func (d *drawnGraph) checkUsers(t *rapid.T, c *compiled) {
	var edges, users []string
	for id := range int32(len(d.names)) {
		for _, e := range c.needs(id) {
			edges = append(edges, fmt.Sprint(id, e.task(), e.kind()))
		}
		for _, e := range c.users(id) {
			users = append(users, fmt.Sprint(e.task(), id, e.kind()))
		}
	}
	slices.Sort(edges)
	slices.Sort(users)
	if !slices.Equal(edges, users) {
		t.Fatalf("edges %v, users %v", edges, users)
	}
}

// checkCircle wants each task to wait for the next by an edge that was declared.
func (d *drawnGraph) checkCircle(t *rapid.T, circle []string) {
	if len(circle) == 0 || len(slices.Compact(slices.Sorted(slices.Values(circle)))) != len(circle) {
		t.Fatalf("no circle: %v", circle)
	}
	for i, name := range circle {
		id, next := slices.Index(d.names, name), slices.Index(d.names, circle[(i+1)%len(circle)])
		if id < 0 || next < 0 || !slices.Contains(d.needs[id], next) {
			t.Fatalf("%s does not wait for %s; the circle is %v", name, circle[(i+1)%len(circle)], circle)
		}
	}
	if circle[0] != slices.Min(circle) {
		t.Fatalf("the circle does not begin with the first by name: %v", circle)
	}
}

func TestOrderAgainstReferences(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		drawGraph(t, 30, rapid.Bool().Draw(t, "forward")).check(t)
	})
}

// Order may be called, and the graph planned, again and again.
func TestOrderAgainAfterAPlan(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		d := drawGraph(t, 10, false)
		d.check(t)
		for range 3 {
			task, need := rapid.IntRange(0, len(d.names)-1).Draw(t, "task"), rapid.IntRange(0, len(d.names)-1).Draw(t, "need")
			if !slices.Contains(d.needs[task], need) {
				d.needs[task] = append(d.needs[task], need)
			}
			d.g.Order(d.names[task], d.names[need])
			if d.check(t) != nil {
				return
			}
		}
	})
}

// A circle among more tasks than are searched for the shortest one.
func TestCircleAmongMany(t *testing.T) {
	n := mostSearched + 500
	for _, length := range []int{1, 2, 7, n} {
		d := &drawnGraph{g: New(), needs: make([][]int, n)}
		var refs []Ref[string]
		for i := range n {
			d.names = append(d.names, fmt.Sprintf("g/t%05d", (i*7919)%n)) // n and 7919 have no common divisor
			refs = append(refs, pure(d.g, d.names[i], constant(""), func(t *Task) {
				if i > 0 {
					t.After(refs[i-1])
					d.needs[i] = append(d.needs[i], i-1)
				}
			}))
		}
		d.g.Order(d.names[0], d.names[length-1]) // all others hang on the circle
		d.needs[0] = append(d.needs[0], length-1)
		_, err := d.g.compile()
		e, is := errors.AsType[*CycleError](err)
		if !is || len(e.Tasks) != length {
			t.Fatalf("want a circle of %d tasks, got %v", length, err)
		}
		for i, name := range e.Tasks {
			id, next := slices.Index(d.names, name), slices.Index(d.names, e.Tasks[(i+1)%length])
			if !slices.Contains(d.needs[id], next) {
				t.Fatalf("%s does not wait for %s", name, e.Tasks[(i+1)%length])
			}
		}
	}
}
