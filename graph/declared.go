package graph

import (
	"encoding/binary"
	"path/filepath"
	"slices"

	"github.com/zeebo/xxh3"
)

// What a batch declares can be kept, and mapped back in the next run instead of
// being declared again: as long as its Key is the same, it is the same. Only a
// batch that comes first in its graph is kept, for there its numbers are those
// of the graph, and what lies in the file is used where it lies.

var declaredLayout = columnLayout{magic: "roost-declared-1", numbers: 11, columns: 11}

// KeepIn lets the graph keep what batches with a Key declare in a cache, and
// take it from there. A nil cache keeps nothing.
func (g *Graph) KeepIn(c *Cache) { g.keep = c }

// declaredPath is where the newest declaration is kept.
func (c *Cache) declaredPath() string { return filepath.Join(c.dir, "declared") }

// keepable says whether a batch is one whose declaration can be kept.
func (g *Graph) keepable(first, code int32, key string) bool {
	return g.keep != nil && key != "" && first == 0 && code == 0 && len(g.rares) == 0 && !g.ordered && len(g.byName) == 0
}

// recall takes a batch of n tasks as it was declared under a key.
func (g *Graph) recall(key string, n int) bool {
	f, damaged := declaredLayout.open(g.keep.declaredPath())
	if f != nil {
		if want := declaredKey(key, n); f.numbers[0] != want[0] || f.numbers[1] != want[1] {
			return false
		}
		damaged = f.numbers[2] != xxh3.Hash(f.data[declaredLayout.header():])
	}
	if damaged {
		g.keep.mu.Lock()
		g.keep.say("a declaration that it kept was damaged, and is made anew")
		g.keep.mu.Unlock()
	}
	if f == nil || damaged {
		return false
	}
	size := func(i int) int { return int(f.numbers[3+i]) }
	ok := true
	names := texts{ // plans and events have parts of the names, and may outlive the graph
		arena: slices.Clone(column[byte](f, 0, size(0), &ok)), ends: column[uint32](f, 1, n, &ok), slots: column[int32](f, 2, size(1), &ok),
	}
	paths := texts{
		arena: column[byte](f, 3, size(2), &ok), ends: column[uint32](f, 4, size(3), &ok), slots: column[int32](f, 5, size(4), &ok),
	}
	rows, edges := column[row](f, 6, n, &ok), column[edge](f, 7, size(5), &ok)
	uses, text := column[uint32](f, 8, size(6), &ok), column[byte](f, 9, size(7), &ok)
	roots := fields{b: f.raw(10)}
	var rootNames []string
	for count := roots.uvarint(); count > 0 && !roots.bad; count-- {
		rootNames = append(rootNames, string(roots.text()))
	}
	if !ok || roots.bad {
		return false
	}
	g.names, g.rows, g.edges, g.fileUses, g.text, g.mapped = names, rows, edges, uses, text, f
	g.files = fileNames{roots: rootNames, paths: paths}
	return true
}

// remember keeps what a batch has declared. It is only quicker the next time,
// so that it could not be kept is no error.
func (g *Graph) remember(key string) {
	// Files that nobody keeps anything of need no folder either.
	if err := g.keep.begin(); err != nil {
		return
	}
	sums := xxh3.New()
	numbers := make([]uint64, declaredLayout.numbers)
	want := declaredKey(key, len(g.rows))
	numbers[0], numbers[1] = want[0], want[1]
	for i, n := range []int{
		len(g.names.arena), len(g.names.slots), len(g.files.paths.arena), len(g.files.paths.ends), len(g.files.paths.slots),
		len(g.edges), len(g.fileUses), len(g.text),
	} {
		numbers[3+i] = uint64(n)
	}
	_ = declaredLayout.write(g.keep.declaredPath(), numbers, func(w *columnWriter) {
		w.sums = sums
		writeSlice(w, g.names.arena)
		writeSlice(w, g.names.ends)
		writeSlice(w, g.names.slots)
		writeSlice(w, g.files.paths.arena)
		writeSlice(w, g.files.paths.ends)
		writeSlice(w, g.files.paths.slots)
		writeSlice(w, g.rows)
		writeSlice(w, g.edges)
		writeSlice(w, g.fileUses)
		writeSlice(w, g.text)
		writeRoots(w, g.files.roots)
		numbers[2] = sums.Sum64()
	})
}

// declaredKey is what a batch is known by.
func declaredKey(key string, n int) [2]uint64 {
	sum := xxh3.Hash128(binary.AppendUvarint([]byte(key), uint64(n)))
	return [2]uint64{sum.Hi, sum.Lo}
}
