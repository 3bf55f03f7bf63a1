package graph

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"sync"
	"syscall"
	"unsafe"

	"github.com/zeebo/xxh3"
)

// The index of a cache is one file of columns that is mapped into memory: what
// each task and each file was when the journal was read last, and where the
// journal has the result of each key. It is made of the journal alone, and can
// be made again. Nothing in it is believed without proof: a task's state is a
// hash of all that it was made of, and a result is read from the journal, which
// has checksums.

const (
	indexMagic    = "roost-index-1\n\x00\x00"
	indexColumns  = 17
	indexHeader   = 16 + 8*6 + 8*indexColumns + 8 // magic, numbers, where columns begin, checksum
	byteOrder     = 0x0102030405060708            // another machine's index is no index
	columnPadding = 8
)

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
	data    []byte
	journal uint64 // the id of the journal it was made of
	end     int64  // up to where it was read
	hour    uint32 // since 1970, when it was noted which results are of use

	tasks, files, keys int
	starts             [indexColumns]uint64

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
	f, err := os.Open(path)
	if err != nil {
		return none, false
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil || info.Size() < indexHeader || info.Size() != int64(int(info.Size())) {
		return none, true
	}
	data, err := syscall.Mmap(int(f.Fd()), 0, int(info.Size()), syscall.PROT_READ, syscall.MAP_SHARED)
	if err != nil {
		return none, false
	}
	x = &index{data: data}
	if !x.parse() {
		syscall.Munmap(data)
		return none, true
	}
	if x.journal != journal {
		syscall.Munmap(data)
		return none, false
	}
	// Runs that began with this index go on with it when there is a newer one.
	runtime.AddCleanup(x, func(data []byte) { syscall.Munmap(data) }, data)
	return x, false
}

// parse finds the columns. They are the file's own memory: nothing is copied.
func (x *index) parse() bool {
	head := x.data[:indexHeader]
	number := func(i int) uint64 { return binary.NativeEndian.Uint64(head[16+8*i:]) }
	if string(head[:16]) != indexMagic || number(0) != byteOrder ||
		uint64(crc32.Checksum(head[:indexHeader-8], castagnoli)) != number(6+indexColumns) {
		return false
	}
	x.journal, x.end = number(1), int64(number(2))
	x.tasks, x.files, x.keys = int(uint32(number(3))), int(number(3)>>32), int(number(4))
	x.hour = uint32(number(5))
	for i := range x.starts {
		x.starts[i] = number(6 + i)
	}
	size := uint64(len(x.data))
	for i, start := range x.starts {
		if start%columnPadding != 0 || start > size || i > 0 && start < x.starts[i-1] {
			return false
		}
	}
	ok := true
	x.taskEnds = column[uint32](x, colTaskEnds, x.tasks, &ok)
	x.states = column[sum](x, colTaskStates, x.tasks, &ok)
	x.digests = column[digest](x, colTaskDigests, x.tasks, &ok)
	x.taskKeys = column[digest](x, colTaskKeys, x.tasks, &ok)
	x.at = column[int64](x, colTaskAt, x.tasks, &ok)
	x.before = column[int64](x, colTaskBefore, x.tasks, &ok)
	x.seconds = column[float32](x, colTaskSeconds, x.tasks, &ok)
	x.fileEnds = column[uint32](x, colFileEnds, x.files, &ok)
	x.stamps = column[uint64](x, colFileStamps, x.files, &ok)
	x.kinds = column[contentKind](x, colFileKinds, x.files, &ok)
	x.contents = column[digest](x, colFileDigests, x.files, &ok)
	x.keyHeads = column[uint64](x, colKeyHeads, x.keys, &ok)
	x.keyAt = column[int64](x, colKeyAt, x.keys, &ok)
	x.keyUsed = column[uint32](x, colKeyUsed, x.keys, &ok)
	return ok && x.parseRoots()
}

func column[T any](x *index, which, n int, ok *bool) []T {
	var one T
	bytes := x.raw(which)
	if n < 0 || uint64(len(bytes)) < uint64(n)*uint64(unsafe.Sizeof(one)) {
		*ok = false
		return nil
	}
	if n == 0 {
		return nil
	}
	return unsafe.Slice((*T)(unsafe.Pointer(&bytes[0])), n)
}

func (x *index) raw(which int) []byte {
	if which+1 < indexColumns {
		return x.data[x.starts[which]:x.starts[which+1]]
	}
	return x.data[x.starts[which]:]
}

func (x *index) parseRoots() bool {
	f := fields{b: x.raw(colRoots)}
	x.rootNumber = map[string]int{}
	for n := f.uvarint(); n > 0 && !f.bad; n-- {
		root := string(f.text())
		x.rootNumber[root] = len(x.roots)
		x.roots = append(x.roots, root)
	}
	return !f.bad
}

// name is a task's name; a damaged index may have none.
func (x *index) name(i int) []byte { return textAt(x.raw(colTaskNames), x.taskEnds, i) }

// file is a file's name: two bytes for its root's number, then its path.
func (x *index) file(i int) []byte { return textAt(x.raw(colFileNames), x.fileEnds, i) }

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

// indexWriter writes columns one after the other.
type indexWriter struct {
	w      *bufio.Writer
	at     uint64
	head   [indexHeader]byte
	column int
	err    error
}

// writeIndex writes an index file whole or not at all, with the numbers of x and
// these columns. Nobody waits for the
// disk: one that a power cut has damaged is noticed and made again.
func writeIndex(path string, x *index, columns func(*indexWriter)) error {
	f, err := os.CreateTemp(filepath.Dir(path), ".index-")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name()) // gone already, if all went well
	w := &indexWriter{w: bufio.NewWriterSize(f, 256<<10), at: indexHeader}
	w.w.Write(w.head[:])
	copy(w.head[:], indexMagic)
	for i, n := range []uint64{
		byteOrder, x.journal, uint64(x.end), uint64(uint32(x.tasks)) | uint64(x.files)<<32, uint64(x.keys), uint64(x.hour),
	} {
		w.number(i, n)
	}
	columns(w)
	if w.column != indexColumns {
		w.err = fmt.Errorf("a bug in roost: an index of %d columns", w.column)
	}
	w.number(6+indexColumns, uint64(crc32.Checksum(w.head[:indexHeader-8], castagnoli)))
	err = w.err
	if err == nil {
		err = w.w.Flush()
	}
	if err == nil {
		_, err = f.WriteAt(w.head[:], 0)
	}
	if errClose := f.Close(); err == nil {
		err = errClose
	}
	if err != nil {
		return err
	}
	return os.Rename(f.Name(), path)
}

func (w *indexWriter) number(i int, n uint64) { binary.NativeEndian.PutUint64(w.head[16+8*i:], n) }

// begin begins the next column.
func (w *indexWriter) begin() {
	if odd := w.at % columnPadding; odd != 0 {
		w.bytes(make([]byte, columnPadding-odd))
	}
	w.number(6+w.column, w.at)
	w.column++
}

func (w *indexWriter) bytes(b []byte) {
	n, err := w.w.Write(b)
	w.at += uint64(n)
	if w.err == nil {
		w.err = err
	}
}

// writeColumn writes n values as they lie in memory.
func writeColumn[T any](w *indexWriter, n int, at func(i int) T) {
	w.begin()
	buf := make([]T, 0, 1024)
	for i := 0; i < n; {
		buf = buf[:0]
		for ; i < n && len(buf) < cap(buf); i++ {
			buf = append(buf, at(i))
		}
		w.bytes(unsafe.Slice((*byte)(unsafe.Pointer(&buf[0])), uintptr(len(buf))*unsafe.Sizeof(buf[0])))
	}
}

// writeNames writes texts as two columns: where each ends, and the texts, each
// with a NUL behind it.
func writeNames(w *indexWriter, n int, at func(i int) []byte) {
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
