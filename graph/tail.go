package graph

import (
	"cmp"
	"slices"
)

// tail is what the journal has behind what the index was made of.
type tail struct {
	end     int64 // up to where it was read
	records int
	tasks   texts
	rows    []taskRow // by task; at is 0 where there is none
	files   fileNames
	fileRow []fileRow // by file; of a kind that was not looked at where there is none
	results []headRow // of keys, sorted
	again   []again   // not yet in their rows
}

// headRow is where the journal has the result of a key, by the key's first 8
// bytes: who reads it compares the whole key.
type headRow struct {
	head uint64
	at   int64
	used uint32 // hours since 1970
}

// again is a task whose result is that of an older success.
type again struct {
	task int32
	key  digest
}

// adopt lets an empty tail use the names of a graph, whose tasks and files it
// will most likely hear of: so they are there once.
func (t *tail) adopt(names *texts, files *fileNames) {
	if t.records > 0 {
		return
	}
	t.tasks, t.rows = names.lend(), make([]taskRow, names.len())
	t.files = fileNames{roots: slices.Clone(files.roots), paths: files.paths.lend()}
	t.fileRow = make([]fileRow, files.paths.len())
}

// add takes in a record of the journal.
func (t *tail) add(x *index, off int64, e entry) {
	t.records++
	if e.kind == recordFile {
		id := t.files.add(string(e.root), string(e.file))
		if int(id) == len(t.fileRow) {
			t.fileRow = append(t.fileRow, fileRow{})
		}
		t.fileRow[id] = fileRow{e.stamp, content{e.content, e.digest}}
		return
	}
	id, isNew := t.tasks.add(e.task)
	if isNew {
		t.rows = append(t.rows, taskRow{})
	}
	last := t.rows[id]
	if last.at == 0 {
		guess := -1
		if at := x.findTask(e.task, &guess); at >= 0 {
			last = x.row(at)
		}
	}
	row := taskRow{state: e.state, key: e.key, digest: e.digest, at: off, before: last.before, seconds: e.seconds}
	if last.key != e.key {
		row.before = last.at
	}
	t.rows[id] = row
	switch {
	case e.kind == recordAgain:
		t.again = append(t.again, again{id, e.key})
	case e.kind == recordSuccess && len(e.value) > 0:
		t.results = append(t.results, headRow{keyHead(e.key), off, hours(e.time)})
	}
}

// sort makes what was added ready to be found.
func (t *tail) sort(x *index) {
	slices.SortFunc(t.results, func(a, b headRow) int { return cmp.Or(cmp.Compare(a.head, b.head), cmp.Compare(b.at, a.at)) })
	for _, a := range t.again {
		row := &t.rows[a.task]
		if row.key != a.key {
			continue // it had another success since
		}
		at := t.findKey(a.key)
		if old := x.findKey(a.key); at == 0 && len(old) > 0 {
			at = old[len(old)-1]
		}
		if at > 0 {
			row.at = at
		} else {
			row.state = sum{} // the result was pruned meanwhile: it must be asked for
		}
	}
	t.again = nil
}

// findKey is where the journal has the newest result of a key; 0 if nowhere.
func (t *tail) findKey(key digest) int64 {
	at, ok := slices.BinarySearchFunc(t.results, keyHead(key), func(r headRow, head uint64) int { return cmp.Compare(r.head, head) })
	if !ok {
		return 0
	}
	return t.results[at].at
}

// findTask is the row of a task; -1 if it has none.
func (t *tail) findTask(name []byte) int32 {
	if id := t.tasks.find(name); id >= 0 && t.rows[id].at != 0 {
		return id
	}
	return -1
}

// findFile is the row of a file, by its name in the tail; -1 if it has none.
func (t *tail) findFile(name []byte) int32 {
	if id := t.files.paths.find(name); id >= 0 && t.fileRow[id].content.kind != notLooked {
		return id
	}
	return -1
}

func (t *tail) hasFile(root string, rel []byte) bool {
	at := slices.Index(t.files.roots, root)
	return at >= 0 && t.findFile(append(appendRoot(nil, at), rel...)) >= 0
}
