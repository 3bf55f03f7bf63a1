package graph

import (
	"cmp"
	"context"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
)

// noRow says that the cache has no row of a task.
const noRow = -1 << 31

// lookAtAll finds the pure tasks that are as they were when they last
// succeeded, before anything is decided one by one: by a look at the files that
// they read and made, at the speed at which the file system answers. Their
// results are known, and nobody has to ask for their keys. It returns how many
// they are.
func (r *run) lookAtAll(ctx context.Context) int {
	r.cached = make([]int32, len(r.rows))
	if r.o.Cache == nil {
		for id := range r.cached {
			r.cached[id] = noRow
		}
		return 0
	}
	var learnt sync.WaitGroup
	learnt.Go(func() { r.contents.learn(r.o.Cache) })
	any := r.findRows()
	learnt.Wait()
	if !any || r.o.Fresh {
		return 0
	}
	r.lookAtFiles(ctx)
	r.compareStates(ctx)
	n, lost := r.settleSame(), true
	for n < len(r.marks) && lost {
		if lost = r.dropLost(); lost {
			n = r.settleSame()
		}
	}
	return n
}

// settleSame leaves the mark only on tasks that use none without it, and counts
// them.
func (r *run) settleSame() (n int) {
	for id := range r.inOrder() {
		m := &r.marks[id]
		if m.flags&same == 0 {
			continue
		}
		n++
		for _, e := range r.needs(id) {
			if e.kind() == uses && r.marks[e.task()].flags&same == 0 {
				m.flags &^= same
				n--
				break
			}
		}
	}
	return n
}

// dropLost takes the mark from tasks whose value somebody may need who has
// none, and the cache has not: it was pruned, or is damaged.
func (r *run) dropLost() (lost bool) {
	for id := range int32(len(r.marks)) {
		if r.marks[id].flags&same != 0 {
			continue
		}
		for _, e := range r.needs(id) {
			if m := &r.marks[e.task()]; e.kind() == uses && m.flags&same != 0 {
				if _, ok := r.value(e.task()); !ok {
					m.flags &^= same
					lost = true
				}
			}
		}
	}
	return lost
}

// findRows finds what the cache knows of each task; false if it knows nothing.
// What other processes add from now on does not change it.
func (r *run) findRows() bool {
	c := r.o.Cache
	c.mu.RLock()
	defer c.mu.RUnlock()
	r.index, r.journal = c.index, c.journal
	guess, any := -1, false
	for id := range r.cached {
		r.cached[id] = noRow
		name := r.names.bytes(int32(id))
		if at := c.tail.findTask(name); at >= 0 {
			r.recent = append(r.recent, c.tail.rows[at])
			r.cached[id], any = -int32(len(r.recent)), true
		} else if at := c.index.findTask(name, &guess); at >= 0 {
			r.cached[id], any = int32(at), true
		}
	}
	return any
}

// lastOf is what the cache knew of a task's last success when the run began.
func (r *run) lastOf(id int32) (taskRow, bool) {
	switch at := r.cached[id]; {
	case at == noRow:
		return taskRow{}, false
	case at < 0:
		return r.recent[-at-1], true
	default:
		return r.index.row(int(at)), true
	}
}

// digestOf is the digest of a task's result: of this run, or before the task
// has ended in it, of its last success.
func (r *run) digestOf(id int32) *digest {
	if m := r.marks[id]; m.phase == ended && m.flags&same == 0 {
		return &r.digests[id]
	}
	return r.lastDigest(id)
}

// lastDigest is the digest of the result of a task's last success.
func (r *run) lastDigest(id int32) *digest {
	switch at := r.cached[id]; {
	case at == noRow:
		return &digest{}
	case at < 0:
		return &r.recent[-at-1].digest
	default:
		return &r.index.digests[at]
	}
}

// maybeSame says whether a task can be the same without being asked: one that
// looks at its value (Valid) decides for itself.
func (r *run) maybeSame(id int32) bool {
	code := r.codeOf(id)
	return r.cached[id] != noRow && code.kind == KindPure && code.valid == nil
}

// lookAtFiles looks at the files of all tasks that may be the same.
func (r *run) lookAtFiles(ctx context.Context) {
	wanted := make([]bool, r.files.paths.len())
	for id := range int32(len(r.marks)) {
		if r.maybeSame(id) {
			for _, use := range r.filesOf(id) {
				wanted[use>>1] = true
			}
		}
	}
	inParts(ctx, len(wanted), func(id int) {
		if wanted[id] {
			_, err := r.contents.lookAlone(int32(id))
			r.contents.seen[id] = err == nil // who asks again is told why not
		}
	})
}

// compareStates marks the tasks whose state is that of their last success, if
// that of what they use is.
func (r *run) compareStates(ctx context.Context) {
	marked := make([]bool, len(r.marks))
	inParts(ctx, len(r.marks), func(at int) {
		id := int32(at)
		if !r.maybeSame(id) {
			return
		}
		var room [2][8]content
		read, made := room[0][:0], room[1][:0]
		for _, use := range r.filesOf(id) {
			file := int32(use >> 1)
			if !r.contents.seen[file] {
				return
			}
			if fileUse(use&1) == reads {
				read = append(read, r.contents.is(file))
			} else {
				made = append(made, r.contents.is(file))
			}
		}
		last, _ := r.lastOf(id)
		marked[id] = r.state(id, read, r.lastDigest).ended(last.digest, made) == last.state
	})
	for id, is := range marked {
		if is {
			r.marks[id].flags |= same
		}
	}
}

// inParts calls f for each number below n, on every processor, until the
// context ends.
func inParts(ctx context.Context, n int, f func(int)) {
	// Small parts would have the processors fight over what lies side by side;
	// a few large ones would leave some idle at the end.
	processors := runtime.GOMAXPROCS(0)
	part := min(max(n/(16*processors), 64), 8192)
	var next atomic.Int64
	var all sync.WaitGroup
	for range min(processors, n/part+1) {
		all.Go(func() {
			for ctx.Err() == nil {
				from := int(next.Add(int64(part))) - part
				if from >= n {
					return
				}
				for i := from; i < min(from+part, n); i++ {
					f(i)
				}
			}
		})
	}
	all.Wait()
}

// lookRead looks at the files that a task reads, in their order.
func (r *run) lookRead(id int32) ([]content, error) { return r.lookAt(id, reads) }

// lookMade looks at the files that a task was to make.
func (r *run) lookMade(id int32) ([]content, error) {
	last := -1
	for _, use := range r.filesOf(id) {
		if root := r.files.root(int32(use >> 1)); fileUse(use&1) == makes && root != last {
			r.contents.reopen(root)
			last = root
		}
	}
	made, err := r.lookAt(id, makes)
	for i, is := range made {
		if is.kind == missing {
			return nil, fmt.Errorf("it ended well, but did not make %s", r.files.path(r.fileOf(id, makes, i)))
		}
	}
	return made, err
}

func (r *run) lookAt(id int32, how fileUse) (all []content, err error) {
	for _, use := range r.filesOf(id) {
		if fileUse(use&1) != how {
			continue
		}
		is, err := r.contents.look(int32(use >> 1))
		if err != nil {
			return nil, err
		}
		all = append(all, is)
	}
	return all, nil
}

// fileOf is the i-th file that a task reads or makes.
func (r *run) fileOf(id int32, how fileUse, i int) int32 {
	for _, use := range r.filesOf(id) {
		if fileUse(use&1) != how {
			continue
		}
		if i == 0 {
			return int32(use >> 1)
		}
		i--
	}
	return -1
}

func (r *run) makesFiles(id int32) bool { return r.fileOf(id, makes, 0) >= 0 }

// lookUp works out a pure task's key and whether its result is known.
func (r *run) lookUp(ctx context.Context, id int32, out *outcome) error {
	files, err := r.lookRead(id)
	if err != nil {
		return fmt.Errorf("work out the key: %w", err)
	}
	out.text, out.state = r.recordText(id, files), r.state(id, files, r.digestOf)
	out.key = digestValue(out.text)
	if r.o.Fresh {
		out.reason = "asked to run without the cache"
		return nil
	}
	e, ok := r.o.Cache.result(r.name(id), out.key)
	if !ok {
		r.o.Cache.heal(r.name(id), out.key)
		out.reason = r.missReason(id, out)
		if r.fetched(ctx, id, out) {
			out.reason = "the remote cache has its result"
		}
		return nil
	}
	if out.reason, err = r.madeDiffer(id, e); err != nil || out.reason != "" {
		return err
	}
	out.made = e.made
	if err := out.accept(r.codeOf(id), e.value); err != nil {
		out.reason = fmt.Sprintf("the cached result cannot be used: %v", err)
		return nil
	}
	out.reason = unchanged
	if last, ok := r.lastOf(id); !r.o.Dry && (!ok || last.key != out.key || last.state != out.state.ended(out.digest, out.made)) {
		// Else the next run would have to ask again.
		_ = r.o.Cache.append(r.entryOf(recordAgain, id, out, float64(e.seconds)))
	}
	return nil
}

// madeDiffer says which of the files that a task made are no longer as it made them.
func (r *run) madeDiffer(id int32, e entry) (reason string, err error) {
	made, err := r.lookAt(id, makes)
	if err != nil {
		return "", err
	}
	if len(made) != len(e.made) {
		return "what it makes has changed", nil
	}
	for i, is := range made {
		if is == e.made[i] {
			continue
		}
		rel := string(r.files.rel(r.fileOf(id, makes, i)))
		if is.kind == missing {
			return rel + ", which it makes, is gone", nil
		}
		return rel + ", which it makes, was changed", nil
	}
	return "", nil
}

func (r *run) missReason(id int32, out *outcome) string {
	before := r.lastEntry(id).text
	if len(before) == 0 {
		return "never ran"
	}
	return cmp.Or(parseRecord(out.text).difference(parseRecord(before)), "its result is no longer in the cache")
}

// entryOf is the journal's record of a pure task's success.
func (r *run) entryOf(kind byte, id int32, out *outcome, seconds float64) entry {
	return entry{
		kind: kind, task: r.names.bytes(id), key: out.key, digest: out.digest, state: out.state.ended(out.digest, out.made),
		seconds: float32(seconds), used: out.used, made: out.made, value: out.raw, text: out.text,
	}
}

// keep keeps the result of a pure task, and what the files were that it read.
func (r *run) keep(id int32, out *outcome, seconds float64) error {
	if r.o.Cache == nil {
		return nil
	}
	if seconds == 0 { // it was computed elsewhere
		last, _ := r.lastOf(id)
		seconds = float64(last.seconds)
	}
	entries := make([]entry, 0, 4)
	for _, use := range r.filesOf(id) {
		if e, ok := r.contents.news(int32(use >> 1)); ok {
			entries = append(entries, e)
		}
	}
	return r.o.Cache.append(append(entries, r.entryOf(recordSuccess, id, out, seconds))...)
}

// saveCache keeps what was learned of files whose tasks did not run, and makes
// the index anew if it is worth it.
func (r *run) saveCache() error {
	if r.o.Cache == nil {
		return nil
	}
	if r.contents.anyFresh.Load() {
		if err := r.keepFiles(); err != nil {
			return err
		}
	}
	var hits []digest
	if r.o.Cache.usesAreOld() {
		hits = r.hits()
	}
	return r.o.Cache.save(&r.names, &r.files, hits)
}

// keepFiles keeps what was learned of files and is not in the journal yet.
func (r *run) keepFiles() error {
	var entries []entry
	for id := range r.contents.fresh {
		if e, ok := r.contents.news(int32(id)); ok {
			entries = append(entries, e)
		}
		if len(entries) == 1000 || id == len(r.contents.fresh)-1 {
			if err := r.o.Cache.append(entries...); err != nil {
				return err
			}
			entries = entries[:0]
		}
	}
	return nil
}

// hits are the keys whose results were of use.
func (r *run) hits() (keys []digest) {
	for id, m := range r.marks {
		if m.status == codeCached {
			keys = append(keys, r.keyOf(int32(id)))
		}
	}
	return keys
}
