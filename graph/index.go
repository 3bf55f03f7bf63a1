package graph

import (
	"encoding/binary"
	"slices"
	"sync"

	"github.com/zeebo/xxh3"
)

// The index of a cache is one file of columns that is mapped into memory: what
// each task and each file was when the journal was read last, and where the
// journal has the result of each key. It is made of the journal alone, and can
// be made again. Nothing in it is believed without proof: a task's state is a
// hash of all that it was made of, and a result is read from the journal, which
// has checksums.

var indexLayout = columnLayout{magic: "roost-index-2\n\x00\x00", numbers: 5, columns: 17}

// The columns, in the order in which they lie in the file.
const (
	colTaskEnds = iota
	colTaskNames
	colTaskStates
	colTaskDigests
	colTaskKeys
	colTaskAt
	colTaskBefore
	colTaskSeconds
	colRoots
	colFileEnds
	colFileNames
	colFileStamps
	colFileKinds
	colFileDigests
	colKeyHeads
	colKeyAt
	colKeyUsed
)

// index is the mapped file. The zero index is empty.
type index struct {
	mapped  *columnFile
	journal uint64 // the id of the journal it was made of
	end     int64  // up to where it was read
	hour    uint32 // since 1970, when it was noted which results are of use

	tasks, files, keys int

	taskEnds               []uint32 // of names, as in texts
	states                 []sum
	digests                []digest
	taskKeys               []digest
	at                     []int64 // where the journal has the last success; timings too
	before                 []int64 // and the success before it, of another key; 0 = none
	seconds                []float32
	roots                  []string
	fileEnds               []uint32
	stamps                 []uint64
	kinds                  []contentKind
	contents               []digest
	keyHeads               []uint64 // the first 8 bytes of each key, sorted
	keyAt                  []int64
	keyUsed                []uint32 // when it was of use, in hours since 1970
	rootNumber             map[string]int
	taskPlaces, filePlaces places
}

// openIndex maps an index; one that is missing, damaged, of another version or
// of another journal is as good as empty.
func openIndex(path string, journal uint64) (x *index, damaged bool) {
	none := &index{journal: journal, end: int64(journalHeader)}
	f, damaged := indexLayout.open(path)
	if f == nil {
		return none, damaged
	}
	x = &index{mapped: f}
	if !x.parse() {
		return none, true
	}
	if x.journal != journal {
		return none, false
	}
	return x, false
}

// parse finds the columns. They are the file's own memory: nothing is copied.
func (x *index) parse() bool {
	f := x.mapped
	x.journal, x.end, x.hour = f.numbers[0], int64(f.numbers[1]), uint32(f.numbers[2])
	x.tasks, x.files, x.keys = int(uint32(f.numbers[3])), int(f.numbers[3]>>32), int(f.numbers[4])
	ok := true
	x.taskEnds = column[uint32](f, colTaskEnds, x.tasks, &ok)
	x.states = column[sum](f, colTaskStates, x.tasks, &ok)
	x.digests = column[digest](f, colTaskDigests, x.tasks, &ok)
	x.taskKeys = column[digest](f, colTaskKeys, x.tasks, &ok)
	x.at = column[int64](f, colTaskAt, x.tasks, &ok)
	x.before = column[int64](f, colTaskBefore, x.tasks, &ok)
	x.seconds = column[float32](f, colTaskSeconds, x.tasks, &ok)
	x.fileEnds = column[uint32](f, colFileEnds, x.files, &ok)
	x.stamps = column[uint64](f, colFileStamps, x.files, &ok)
	x.kinds = column[contentKind](f, colFileKinds, x.files, &ok)
	x.contents = column[digest](f, colFileDigests, x.files, &ok)
	x.keyHeads = column[uint64](f, colKeyHeads, x.keys, &ok)
	x.keyAt = column[int64](f, colKeyAt, x.keys, &ok)
	x.keyUsed = column[uint32](f, colKeyUsed, x.keys, &ok)
	return ok && x.parseRoots()
}

func (x *index) parseRoots() bool {
	f := fields{b: x.mapped.raw(colRoots)}
	x.rootNumber = map[string]int{}
	for n := f.uvarint(); n > 0 && !f.bad; n-- {
		root := string(f.text())
		x.rootNumber[root] = len(x.roots)
		x.roots = append(x.roots, root)
	}
	return !f.bad
}

// name is a task's name; a damaged index may have none.
func (x *index) name(i int) []byte { return textAt(x.mapped.raw(colTaskNames), x.taskEnds, i) }

// file is a file's name: two bytes for its root's number, then its path.
func (x *index) file(i int) []byte { return textAt(x.mapped.raw(colFileNames), x.fileEnds, i) }

func textAt(arena []byte, ends []uint32, i int) []byte {
	from := uint32(0)
	if i > 0 {
		from = ends[i-1]
	}
	if to := ends[i]; from < to && uint64(to) <= uint64(len(arena)) {
		return arena[from : to-1]
	}
	return nil
}

// write writes an index with the numbers of x and these columns.
func (x *index) write(path string, columns func(*columnWriter)) error {
	return indexLayout.write(path, []uint64{
		x.journal, uint64(x.end), uint64(x.hour), uint64(uint32(x.tasks)) | uint64(x.files)<<32, uint64(x.keys),
	}, columns)
}

// writeNames writes texts as two columns: where each ends, and the texts, each
// with a NUL behind it.
func writeNames(w *columnWriter, n int, at func(i int) []byte) {
	end := uint32(0)
	writeColumn(w, n, func(i int) uint32 { end += uint32(len(at(i))) + 1; return end })
	w.begin()
	nul := []byte{0}
	for i := range n {
		w.bytes(at(i))
		w.bytes(nul)
	}
}

// places finds texts by a hash table that is made when it is first needed: most
// runs declare what the last one did, in the same order.
type places struct {
	once  sync.Once
	slots []int32
}

func (p *places) find(text []byte, n int, at func(i int) []byte) int {
	if n == 0 {
		return -1
	}
	p.once.Do(func() {
		size := 64
		for size < 2*n {
			size *= 2
		}
		p.slots = make([]int32, size)
		for i := range n {
			slot := xxh3.Hash(at(i)) & uint64(size-1)
			for p.slots[slot] != 0 {
				slot = (slot + 1) & uint64(size-1)
			}
			p.slots[slot] = int32(i + 1)
		}
	})
	mask := uint64(len(p.slots) - 1)
	for slot := xxh3.Hash(text) & mask; p.slots[slot] != 0; slot = (slot + 1) & mask {
		if i := int(p.slots[slot] - 1); string(at(i)) == string(text) {
			return i
		}
	}
	return -1
}

// findTask is the row of a task, -1 if it has none. The row after the guess is
// tried first.
func (x *index) findTask(name []byte, guess *int) int {
	if next := *guess + 1; next < x.tasks && string(x.name(next)) == string(name) {
		*guess = next
		return next
	}
	at := x.taskPlaces.find(name, x.tasks, x.name)
	if at >= 0 {
		*guess = at
	}
	return at
}

func (x *index) findFile(name []byte, guess *int) int {
	if next := *guess + 1; next < x.files && string(x.file(next)) == string(name) {
		*guess = next
		return next
	}
	at := x.filePlaces.find(name, x.files, x.file)
	if at >= 0 {
		*guess = at
	}
	return at
}

// findKey is where the journal has the result of a key.
func (x *index) findKey(key digest) []int64 {
	head := keyHead(key)
	from, _ := slices.BinarySearch(x.keyHeads, head)
	to := from
	for to < x.keys && x.keyHeads[to] == head {
		to++
	}
	return x.keyAt[from:to]
}

func keyHead(key digest) uint64 { return binary.BigEndian.Uint64(key[:]) }
