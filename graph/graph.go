package graph

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// Graph is a set of declared tasks. Declare it in one goroutine; then Plan and
// Run may be called any number of times, one at a time.
//
// It lies in a few flat pieces of memory: a task has a row, and its edges, files
// and values stand in one piece each, task after task.
type Graph struct {
	names    texts
	rows     []row
	codes    []code
	rares    []rare
	edges    []edge
	fileUses []uint32 // a file's number, and whether it is read or made
	files    fileNames
	text     []byte // values, as lines of records

	open     bool // a task is being declared
	ordered  bool // there are edges by name
	byName   []nameEdge
	problems []error
	once     string      // a once-only task, if there is one
	keep     *Cache      // keeps declarations
	mapped   *columnFile // what they lie in, if they were kept
}

// row is a declared task. Where its edges, files and values end, those of the
// next begin.
type row struct {
	edges, files, text uint32
	code, at           int32 // which code, and the task's number among those that share it
	rare               int32 // in Graph.rares, + 1
	version            int32
	heavy              bool
	interruptible      bool
}

type nameEdge struct{ task, needs string }

// fileUse is how a task uses a file.
type fileUse uint8

const (
	reads fileUse = iota
	makes
)

// edge leads to a task from one it needs, with its kind.
type edge uint32

type edgeKind uint8

// The kinds of edges, the most binding first.
const (
	uses   edgeKind = iota // its value is needed before the task can be decided
	afters                 // it must have ended well before the task may work
	lasts                  // it must have ended, however, before the task may work
	behind                 // if it works at all, then before the task
)

func makeEdge(need int32, kind edgeKind) edge { return edge(need)<<2 | edge(kind) }
func (e edge) task() int32                    { return int32(e >> 2) }
func (e edge) kind() edgeKind                 { return edgeKind(e & 3) }

// New returns an empty graph.
func New() *Graph { return &Graph{} }

// Len returns how many tasks are declared.
func (g *Graph) Len() int { return len(g.rows) }

// Order makes one task wait for another, both by name: for an edge that is
// known by name only, such as "router before servers". Names that do not exist
// are an error of the graph, told by Plan and Run.
func (g *Graph) Order(task, needs string) {
	g.byName = append(g.byName, nameEdge{task, needs})
}

func (g *Graph) name(id int32) string { return g.names.string(id) }

// declare declares one task with code of its own.
func (g *Graph) declare(name string, kind Kind, declare func(*Task) code) int32 {
	g.codes = append(g.codes, code{kind: kind})
	own := int32(len(g.codes) - 1)
	t := &Task{g: g, id: g.begin([]byte(name), own)}
	c := declare(t)
	c.kind = kind
	g.codes[own] = c
	g.open = false
	return t.id + 1
}

// begin begins a task, and returns its id. Ids are places in rows and names.
func (g *Graph) begin(name []byte, code int32) int32 {
	if g.open {
		panic("graph: task " + string(name) + " is declared while another one is")
	}
	g.open = true
	id, isNew := g.names.add(name)
	if !isNew {
		g.problems = append(g.problems, fmt.Errorf("task %s is declared twice", name))
		// It gets a name that nobody can have, so that ids stay dense.
		id, _ = g.names.add(fmt.Appendf(nil, "%s\n%d", name, len(g.rows)))
	} else if !goodName(name) {
		g.problems = append(g.problems, fmt.Errorf("task name %q: want GROUP/STEP, without spaces", name))
	}
	g.rows = append(g.rows, row{
		edges: uint32(len(g.edges)), files: uint32(len(g.fileUses)), text: uint32(len(g.text)), code: code,
	})
	return id
}

// goodName says whether a name is GROUP/STEP, without white space.
func goodName(name []byte) bool {
	slash := -1
	for i, c := range name {
		switch {
		case c == ' ' || c == '\t' || c == '\n':
			return false
		case c == '/' && slash < 0:
			slash = i
		}
	}
	return slash > 0 && slash < len(name)-1
}

// size is how much a graph holds of each thing.
type size struct{ rows, names, edges, uses, text, files, paths int }

func (g *Graph) size() size {
	return size{len(g.rows), len(g.names.arena), len(g.edges), len(g.fileUses), len(g.text), g.files.paths.len(), len(g.files.paths.arena)}
}

// reserve makes room for n tasks more like those that came after a size: a graph
// that grows bit by bit is copied again and again.
func (g *Graph) reserve(since size, n int) {
	now := g.size()
	more := func(is, was int) int { return (is-was)*n/(now.rows-since.rows) + 16 }
	g.rows = slices.Grow(g.rows, n)
	g.edges = slices.Grow(g.edges, more(now.edges, since.edges))
	g.fileUses = slices.Grow(g.fileUses, more(now.uses, since.uses))
	g.text = slices.Grow(g.text, more(now.text, since.text))
	g.names.reserve(n, more(now.names, since.names))
	g.files.paths.reserve(more(now.files, since.files), more(now.paths, since.paths))
}

func (g *Graph) row(id int32) *row     { return &g.rows[id] }
func (g *Graph) codeOf(id int32) *code { return &g.codes[g.rows[id].code] }
func (g *Graph) kind(id int32) Kind    { return g.codeOf(id).kind }

var noRare rare

func (g *Graph) rareOf(id int32) *rare {
	if at := g.rows[id].rare; at != 0 {
		return &g.rares[at-1]
	}
	return &noRare
}

// between is the part of one of the pieces that belongs to a task.
func (g *Graph) between(id int32, where func(*row) uint32, end int) (from, to uint32) {
	if int(id)+1 < len(g.rows) {
		end = int(where(&g.rows[id+1]))
	}
	return where(&g.rows[id]), uint32(end)
}

func (g *Graph) needs(id int32) []edge {
	from, to := g.between(id, func(r *row) uint32 { return r.edges }, len(g.edges))
	return g.edges[from:to:to]
}

func (g *Graph) filesOf(id int32) []uint32 {
	from, to := g.between(id, func(r *row) uint32 { return r.files }, len(g.fileUses))
	return g.fileUses[from:to:to]
}

func (g *Graph) textOf(id int32) []byte {
	from, to := g.between(id, func(r *row) uint32 { return r.text }, len(g.text))
	return g.text[from:to:to]
}

// compiled is a valid graph, with what a run needs to know of it as a whole.
type compiled struct {
	*Graph
	topo  []int32 // each task after what it needs; nil: ids are in that order
	sinks []int32 // tasks that nobody asks for: the goals, if none are named

	userStart []int32 // see users
	userEdges []edge
	planOrder []int32 // see order
}

// compile checks the graph. A Ref is known only when its task is declared, so
// ids are in topological order and no circle can be; only edges by name can
// make one.
func (g *Graph) compile() (*compiled, error) {
	forward := g.nameEdges()
	if len(g.problems) > 0 {
		return nil, fmt.Errorf("the task graph is not valid: %w", errors.Join(g.problems...))
	}
	if err := g.twoMakers(); err != nil {
		return nil, fmt.Errorf("the task graph is not valid: %w", err)
	}
	c := &compiled{Graph: g}
	if forward {
		if c.topo = c.kahn(); len(c.topo) < len(g.rows) {
			return nil, c.cycle()
		}
	}
	asked := make([]bool, len(g.rows))
	for _, e := range g.edges {
		if e.kind() != behind {
			asked[e.task()] = true
		}
	}
	for id, is := range asked {
		if !is {
			c.sinks = append(c.sinks, int32(id))
		}
	}
	return c, nil
}

// twoMakers finds a file that two tasks make: each would find it changed by the
// other, and work again, in every run.
func (g *Graph) twoMakers() error {
	makers := make([]int32, g.files.paths.len()) // ids + 1
	for id := range int32(len(g.rows)) {
		for _, use := range g.filesOf(id) {
			if fileUse(use&1) != makes {
				continue
			}
			file := int32(use >> 1)
			if other := makers[file]; other != 0 && other != id+1 {
				return fmt.Errorf("%s and %s both make %s", g.name(other-1), g.name(id), g.files.path(file))
			}
			makers[file] = id + 1
		}
	}
	return nil
}

// nameEdges puts the edges that are known by name among the others, and says
// whether one of them leads from a task that was declared later.
func (g *Graph) nameEdges() (forward bool) {
	if len(g.byName) > 0 {
		extra := make(map[int32][]edge)
		for _, e := range g.byName {
			task, need := g.names.find([]byte(e.task)), g.names.find([]byte(e.needs))
			if task < 0 || need < 0 {
				g.problems = append(g.problems, fmt.Errorf("%s waits for %s: both must be declared", e.task, e.needs))
				continue
			}
			if added := makeEdge(need, afters); !slices.Contains(g.needs(task), added) && !slices.Contains(extra[task], added) {
				extra[task] = append(extra[task], added)
			}
		}
		all := make([]edge, 0, len(g.edges)+len(g.byName))
		starts := make([]uint32, len(g.rows))
		for id := range int32(len(g.rows)) {
			starts[id] = uint32(len(all))
			all = append(append(all, g.needs(id)...), extra[id]...)
		}
		for id, start := range starts {
			g.rows[id].edges = start
		}
		g.edges, g.byName, g.ordered = all, nil, true
	}
	if !g.ordered {
		return false
	}
	for id := range int32(len(g.rows)) {
		for _, e := range g.needs(id) {
			if e.task() >= id {
				return true
			}
		}
	}
	return false
}

// splitName splits "malphas/eval" into its group and its step.
func splitName(name string) (group, step string) {
	group, step, _ = strings.Cut(name, "/")
	return group, step
}
