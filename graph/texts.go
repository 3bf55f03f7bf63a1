package graph

import (
	"slices"
	"unsafe"

	"github.com/zeebo/xxh3"
)

// texts is a set of byte strings, numbered in the order in which they came. All
// of them lie in one piece of memory, each with a NUL behind it, so that a
// hundred thousand of them cost the garbage collector nothing and a path can be
// handed to the kernel as it is.
type texts struct {
	arena []byte
	ends  []uint32 // where each ends, its NUL included
	slots []int32  // hash table of numbers + 1; its size is a power of two
	lent  bool     // slots are another's
}

// lend returns the same set. What is added to it does not change this one.
func (t *texts) lend() texts {
	return texts{arena: slices.Clip(t.arena), ends: slices.Clip(t.ends), slots: t.slots, lent: true}
}

func (t *texts) len() int { return len(t.ends) }

// bytes is the text number id, without its NUL. It must not be changed.
func (t *texts) bytes(id int32) []byte {
	return t.arena[t.start(id) : t.ends[id]-1 : t.ends[id]]
}

func (t *texts) start(id int32) uint32 {
	if id == 0 {
		return 0
	}
	return t.ends[id-1]
}

func (t *texts) string(id int32) string {
	b := t.bytes(id)
	return unsafe.String(unsafe.SliceData(b), len(b)) // what is in the arena is never written again
}

// add returns the number of a text, and whether it is new.
func (t *texts) add(text []byte) (id int32, isNew bool) {
	if 4*t.len() >= 3*len(t.slots) {
		t.grow()
	}
	slot := t.slot(text)
	if t.slots[slot] != 0 {
		return t.slots[slot] - 1, false
	}
	if t.lent {
		t.slots, t.lent = slices.Clone(t.slots), false
	}
	id = int32(t.len())
	t.slots[slot] = id + 1
	t.arena = append(append(t.arena, text...), 0)
	t.ends = append(t.ends, uint32(len(t.arena)))
	return id, true
}

// find returns the number of a text, or -1.
func (t *texts) find(text []byte) int32 {
	if len(t.slots) == 0 {
		return -1
	}
	return t.slots[t.slot(text)] - 1
}

// slot is where a text is, or where it would be.
func (t *texts) slot(text []byte) uint64 {
	mask := uint64(len(t.slots) - 1)
	at := xxh3.Hash(text) & mask
	for {
		id := t.slots[at]
		if id == 0 || string(t.bytes(id-1)) == string(text) {
			return at
		}
		at = (at + 1) & mask
	}
}

// reserve makes room for n texts more, of so many bytes with their NULs.
func (t *texts) reserve(n, size int) {
	t.arena, t.ends = slices.Grow(t.arena, size), slices.Grow(t.ends, n)
	slots := max(64, len(t.slots))
	for 3*slots < 4*(t.len()+n) {
		slots *= 2
	}
	if slots > len(t.slots) {
		t.rehash(slots)
	}
}

func (t *texts) grow() { t.rehash(max(64, 2*len(t.slots))) }

func (t *texts) rehash(slots int) {
	t.slots, t.lent = make([]int32, slots), false
	mask := uint64(len(t.slots) - 1)
	for id := range int32(t.len()) {
		at := xxh3.Hash(t.bytes(id)) & mask
		for t.slots[at] != 0 {
			at = (at + 1) & mask
		}
		t.slots[at] = id + 1
	}
}
