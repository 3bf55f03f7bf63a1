package graph

// value is the value of a task that has ended well. Workers call it for tasks
// that theirs uses; what is as it was is read from the cache when somebody
// wants it, and kept for who comes next. ok is false where the cache has lost
// it; lookAtAll sees to it that nobody who works uses such a task.
func (r *run) value(id int32) (v any, ok bool) {
	if r.marks[id].flags&same == 0 {
		return r.nodes[id].value, r.marks[id].status.good()
	}
	if v, ok := r.loaded.Load(id); ok {
		return v, true
	}
	raw := r.raw(id)
	if len(raw) == 0 {
		last, _ := r.lastOf(id)
		r.o.Cache.heal(r.name(id), last.key) // so that the next run does not take it for done
		return nil, false
	}
	v, err := r.codeOf(id).decode(raw)
	if err != nil {
		return nil, false
	}
	v, _ = r.loaded.LoadOrStore(id, v)
	return v, true
}

// raw is the value of a task that is as it was, in JSON.
func (r *run) raw(id int32) []byte {
	last, _ := r.lastOf(id)
	e := r.lastEntry(id)
	if e.key != last.key || len(e.value) == 0 {
		e, _ = r.o.Cache.result(r.name(id), last.key) // the index may be damaged
	}
	return e.value
}

// lastEntry is what the journal, as it was when the run began, has of a task's
// last success; the zero entry if it has none.
func (r *run) lastEntry(id int32) entry {
	last, ok := r.lastOf(id)
	if !ok {
		return entry{}
	}
	e, ok := r.journal.at(last.at)
	if !ok || string(e.task) != r.name(id) {
		return entry{}
	}
	return e
}

// reason is why a task was decided so, or how it ended.
func (r *run) reason(id int32) string {
	if m := r.marks[id]; m.flags&same != 0 && m.phase == ended {
		return unchanged
	}
	return r.nodes[id].reason
}

// keyText is what a plan says that a task was decided on; "" if that is not
// known, and for observations.
func (r *run) keyText(id int32) string {
	if key := r.keyOf(id); key != (digest{}) {
		return key.String()
	}
	return ""
}

// keyOf is the key of a task that was decided; zero if it is not known.
func (r *run) keyOf(id int32) digest {
	if m := r.marks[id]; m.flags&same != 0 && m.phase == ended {
		last, _ := r.lastOf(id)
		return last.key
	}
	return r.keys[id]
}

// recordOf is the record of a task as it stands; nil if it is not known.
func (r *run) recordOf(id int32) record {
	if text := r.texts[id]; len(text) > 0 {
		return parseRecord(text)
	}
	if m := r.marks[id]; m.flags&same != 0 && m.phase == ended {
		return parseRecord(r.lastEntry(id).text)
	}
	return nil
}
