package graph

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"slices"
)

// An index is made anew when the journal has so many more records than it
// knows, and so many for each of its tasks. Reading a record takes less time
// than making a row.
const (
	tailRecords = 500
	tailShare   = 50
)

// usedHours is how exactly it is known when a result was of use.
const usedHours = 24

// save makes the index anew if that is worth its while: first the tasks and
// files of a graph, in the order in which it will ask for them again, then all
// others. hits are the keys whose results were of use, where usesAreOld.
func (c *Cache) save(names *texts, files *fileNames, hits []digest) error {
	if c == nil {
		return nil
	}
	c.adopt(names, files)
	if err := c.refresh(); err != nil {
		return fmt.Errorf("save the cache: %w", err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	now := hours(c.now().Unix())
	if c.journal == nil || now < c.index.hour+usedHours && c.tail.records < tailRecords+c.index.tasks/tailShare {
		return nil
	}
	unlock, err := c.lock()
	if err == nil {
		defer unlock()
		err = c.newIndex(names, files, hits, now)
	}
	if err == nil {
		err = c.open()
	}
	if err != nil {
		return fmt.Errorf("save the cache: %w", err)
	}
	return nil
}

// adopt lends the graph's names to the tail, if it will hear of many.
func (c *Cache) adopt(names *texts, files *fileNames) {
	c.mu.Lock()
	defer c.mu.Unlock()
	const record = 200 // bytes, at least
	if c.journal == nil {
		return
	}
	if size, err := c.journal.size(); err == nil && size-c.tail.end > record*int64(names.len())/4 {
		c.tail.adopt(names, files)
	}
}

// usesAreOld says whether it is time to note which results are of use.
func (c *Cache) usesAreOld() bool {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return c.journal != nil && hours(c.now().Unix()) >= c.index.hour+usedHours
}

// newIndex writes an index of all that the journal had when it was read last.
func (c *Cache) newIndex(names *texts, files *fileNames, hits []digest, now uint32) error {
	rows := c.taskRows(names)
	refs, roots := c.fileRefs(files)
	keys := c.keyRows()
	for _, key := range hits {
		at, ok := slices.BinarySearchFunc(keys, keyHead(key), func(k headRow, head uint64) int { return cmp.Compare(k.head, head) })
		if ok {
			keys[at].used = now
		}
	}
	task := func(i int) taskRow { return c.rowAt(rows[i]) }
	file := func(i int) fileRow { return c.fileAt(refs[i].at) }
	var name []byte
	x := &index{journal: c.journal.id, end: c.tail.end, hour: now, tasks: len(rows), files: len(refs), keys: len(keys)}
	return x.write(c.indexPath(), func(w *columnWriter) {
		writeNames(w, len(rows), func(i int) []byte {
			if rows[i] >= 0 {
				return c.index.name(int(rows[i]))
			}
			return c.tail.tasks.bytes(-rows[i] - 1)
		})
		writeColumn(w, len(rows), func(i int) sum { return task(i).state })
		writeColumn(w, len(rows), func(i int) digest { return task(i).digest })
		writeColumn(w, len(rows), func(i int) digest { return task(i).key })
		writeColumn(w, len(rows), func(i int) int64 { return task(i).at })
		writeColumn(w, len(rows), func(i int) int64 { return task(i).before })
		writeColumn(w, len(rows), func(i int) float32 { return task(i).seconds })
		writeRoots(w, roots)
		writeNames(w, len(refs), func(i int) []byte {
			name = appendRoot(name[:0], int(refs[i].root))
			if at := refs[i].at; at >= 0 {
				return append(name, c.index.file(int(at))[2:]...)
			}
			return append(name, c.tail.files.rel(-refs[i].at-1)...)
		})
		writeColumn(w, len(refs), func(i int) uint64 { return file(i).stamp })
		writeColumn(w, len(refs), func(i int) contentKind { return file(i).content.kind })
		writeColumn(w, len(refs), func(i int) digest { return file(i).content.digest })
		writeColumn(w, len(keys), func(i int) uint64 { return keys[i].head })
		writeColumn(w, len(keys), func(i int) int64 { return keys[i].at })
		writeColumn(w, len(keys), func(i int) uint32 { return keys[i].used })
	})
}

// A row number of at least 0 is one of the index, else -1 - the tail's.

func (c *Cache) rowAt(row int32) taskRow {
	if row >= 0 {
		return c.index.row(int(row))
	}
	return c.tail.rows[-row-1]
}

func (c *Cache) fileAt(row int32) fileRow {
	if row >= 0 {
		return fileRow{c.index.stamps[row], content{c.index.kinds[row], c.index.contents[row]}}
	}
	return c.tail.fileRow[-row-1]
}

// taskRows are the rows of the next index, in its order.
func (c *Cache) taskRows(names *texts) []int32 {
	rows := make([]int32, 0, max(names.len(), c.index.tasks))
	inIndex, inTail := make([]bool, c.index.tasks), make([]bool, c.tail.tasks.len())
	guess := -1
	for id := range int32(names.len()) {
		name := names.bytes(id)
		if at := c.tail.findTask(name); at >= 0 {
			rows, inTail[at] = append(rows, -at-1), true
		} else if at := c.index.findTask(name, &guess); at >= 0 {
			rows, inIndex[at] = append(rows, int32(at)), true
		}
	}
	for at := range inTail {
		if !inTail[at] && c.tail.rows[at].at != 0 {
			rows = append(rows, int32(-at-1))
		}
	}
	for at := range inIndex {
		if !inIndex[at] && c.tail.findTask(c.index.name(at)) < 0 {
			rows = append(rows, int32(at))
		}
	}
	return rows
}

// fileRef is a file of the next index: its root there, and its row.
type fileRef struct{ root, at int32 }

func (c *Cache) fileRefs(files *fileNames) (refs []fileRef, roots []string) {
	rootOf := func(root string) int32 {
		at := slices.Index(roots, root)
		if at < 0 {
			at = len(roots)
			roots = append(roots, root)
		}
		return int32(at)
	}
	rootsOf := func(all []string) []int32 {
		numbers := make([]int32, len(all))
		for i, root := range all {
			numbers[i] = rootOf(root)
		}
		return numbers
	}
	ours, tails, olds := rootsOf(files.roots), rootsOf(c.tail.files.roots), rootsOf(c.index.roots)
	find := c.fileFinder(files)
	refs = make([]fileRef, 0, max(files.paths.len(), c.index.files))
	inIndex, inTail := make([]bool, c.index.files), make([]bool, c.tail.files.paths.len())
	for id := range int32(files.paths.len()) {
		at, ok := find(id)
		if !ok {
			continue
		}
		if refs = append(refs, fileRef{ours[files.root(id)], at}); at >= 0 {
			inIndex[at] = true
		} else {
			inTail[-at-1] = true
		}
	}
	for at := range inTail {
		if !inTail[at] && c.tail.fileRow[at].content.kind != notLooked {
			refs = append(refs, fileRef{tails[c.tail.files.root(int32(at))], int32(-at - 1)})
		}
	}
	for at := range inIndex {
		name := c.index.file(at)
		if inIndex[at] || len(name) < 2 {
			continue
		}
		root := int(name[0]) | int(name[1])<<8
		if root < len(olds) && !c.tail.hasFile(c.index.roots[root], name[2:]) {
			refs = append(refs, fileRef{olds[root], int32(at)})
		}
	}
	return refs, roots
}

// fileFinder returns what finds the rows of a graph's files, for a caller that
// asks for them in order.
func (c *Cache) fileFinder(files *fileNames) func(id int32) (at int32, ok bool) {
	inTail, inIndex := make([]int, len(files.roots)), make([]int, len(files.roots))
	for i, root := range files.roots {
		inTail[i] = slices.Index(c.tail.files.roots, root)
		var ok bool
		if inIndex[i], ok = c.index.rootNumber[root]; !ok {
			inIndex[i] = -1
		}
	}
	guess := -1
	var name []byte
	return func(id int32) (int32, bool) {
		root, rel := files.root(id), files.rel(id)
		if at := inTail[root]; at >= 0 {
			name = append(appendRoot(name[:0], at), rel...)
			if at := c.tail.findFile(name); at >= 0 {
				return -at - 1, true
			}
		}
		if at := inIndex[root]; at >= 0 {
			name = append(appendRoot(name[:0], at), rel...)
			if at := c.index.findFile(name, &guess); at >= 0 {
				return int32(at), true
			}
		}
		return 0, false
	}
}

func (c *Cache) keyRows() []headRow {
	keys := make([]headRow, 0, c.index.keys+len(c.tail.results))
	for i := range c.index.keys {
		keys = append(keys, headRow{c.index.keyHeads[i], c.index.keyAt[i], c.index.keyUsed[i]})
	}
	keys = append(keys, c.tail.results...)
	slices.SortFunc(keys, func(a, b headRow) int { return cmp.Or(cmp.Compare(a.head, b.head), cmp.Compare(b.at, a.at)) })
	// Of a key that was computed anew, the newest result counts. Two keys with
	// the same head would cost one of them its place, and time.
	return slices.CompactFunc(keys, func(a, b headRow) bool { return a.head == b.head })
}

func writeRoots(w *columnWriter, roots []string) {
	w.begin()
	b := binary.AppendUvarint(nil, uint64(len(roots)))
	for _, root := range roots {
		b = appendBytes(b, []byte(root))
	}
	w.bytes(b)
}
