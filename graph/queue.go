package graph

import "slices"

// heap is tasks that are ready, the longest way to the end first, then the one
// that was declared first. A hundred thousand may be ready at once.
type heap struct {
	run *run
	ids []int32
}

func (h *heap) before(a, b int32) bool {
	if pa, pb := h.run.nodes[a].priority, h.run.nodes[b].priority; pa != pb {
		return pa > pb
	}
	return a < b
}

func (h *heap) push(id int32) {
	h.ids = append(h.ids, id)
	for at := len(h.ids) - 1; at > 0; {
		up := (at - 1) / 2
		if !h.before(h.ids[at], h.ids[up]) {
			return
		}
		h.ids[at], h.ids[up] = h.ids[up], h.ids[at]
		at = up
	}
}

func (h *heap) pop() int32 {
	first := h.ids[0]
	last := len(h.ids) - 1
	h.ids[0], h.ids = h.ids[last], h.ids[:last]
	for at := 0; ; {
		down := 2*at + 1
		if down >= last {
			return first
		}
		if down+1 < last && h.before(h.ids[down+1], h.ids[down]) {
			down++
		}
		if !h.before(h.ids[down], h.ids[at]) {
			return first
		}
		h.ids[at], h.ids[down] = h.ids[down], h.ids[at]
		at = down
	}
}

// enqueue lets a task work as soon as it may.
func (r *run) enqueue(id int32) {
	r.marks[id].phase = queued
	r.toWork.push(id)
}

// What a queued task can wait for. It is parked there, and nobody looks at it
// again before that is free.
const (
	forPlan = "plan"
	forTask = "task "
	forLane = "lane "
	forPool = "pool "
)

// obstacle says what keeps a queued task from working, "" if nothing does: an
// effect waits until the plan is whole; in a dry run only what planning needs
// may work; lanes and pools must be free.
func (r *run) obstacle(id int32) string {
	isEffect, heavy := r.kind(id) == KindEffect, r.row(id).heavy
	if isEffect && (!r.planned || r.o.Dry) || heavy && (r.o.Dry || r.o.Expect != nil && !r.planned) {
		return forPlan
	}
	for _, e := range r.needs(id) {
		if m := r.marks[e.task()]; e.kind() == behind && m.phase != idle && m.phase != ended {
			return forTask + r.name(e.task())
		}
	}
	rare := r.rareOf(id)
	for _, lane := range rare.lanes {
		if r.lanes[lane] {
			return forLane + lane
		}
	}
	for _, p := range rare.pools {
		if size, bounded := r.o.Pools[p.pool]; bounded && r.pools[p.pool] > 0 && r.pools[p.pool]+r.units(id, p) > size {
			return forPool + p.pool
		}
	}
	return ""
}

func (r *run) park(id int32, why string) {
	h := r.parked[why]
	if h == nil {
		h = &heap{run: r}
		r.parked[why] = h
	}
	h.push(id)
}

// unpark lets tasks try again that waited for something.
func (r *run) unpark(why string) {
	h := r.parked[why]
	if h == nil {
		return
	}
	delete(r.parked, why)
	for _, id := range h.ids {
		r.toWork.push(id)
	}
}

// take takes (+1) or gives back (-1) the lanes and pools of a task.
func (r *run) take(id int32, sign int) {
	rare := r.rareOf(id)
	for _, lane := range rare.lanes {
		r.lanes[lane] = sign > 0
		if sign < 0 {
			r.unparkOne(forLane + lane)
		}
	}
	for _, p := range rare.pools {
		r.pools[p.pool] += sign * r.units(id, p)
		if sign < 0 {
			r.unparkPool(p.pool)
		}
	}
}

// unparkOne lets the first task try that waits for a lane. If something else
// keeps it, the next one gets its turn.
func (r *run) unparkOne(why string) {
	for h := r.parked[why]; h != nil && len(h.ids) > 0; {
		id := h.pop()
		other := r.obstacle(id)
		if other == "" || other == why {
			r.toWork.push(id)
			return
		}
		r.park(id, other)
	}
}

// unparkPool lets as many of the first tasks try that wait for a pool as may
// fit into it.
func (r *run) unparkPool(pool string) {
	h := r.parked[forPool+pool]
	free := r.o.Pools[pool] - r.pools[pool]
	for h != nil && len(h.ids) > 0 && (free > 0 || r.pools[pool] == 0) {
		id := h.pop()
		r.toWork.push(id)
		at := slices.IndexFunc(r.rareOf(id).pools, func(w weight) bool { return w.pool == pool })
		free -= r.units(id, r.rareOf(id).pools[at])
		if r.pools[pool] == 0 && free <= 0 {
			return
		}
	}
}

// units is what a task takes of a pool.
func (r *run) units(id int32, p weight) int {
	if r.alone[id] == p.pool {
		return r.o.Pools[p.pool]
	}
	if used := r.learned[id][p.pool]; p.measured && used > 0 {
		return used
	}
	return p.n
}
