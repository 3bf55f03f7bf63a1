package graph

import (
	"errors"
	"time"

	"github.com/cenkalti/backoff/v5"
)

// tryAgain lets a task that failed for the moment work once more, later. Until
// then it holds neither lanes nor pools.
func (r *run) tryAgain(out outcome) bool {
	n := &r.nodes[out.id]
	_, transient := errors.AsType[*TransientError](out.err)
	if out.deciding || !transient || int(n.attempt) > r.rareOf(out.id).retries || r.retried >= r.o.Retries || r.closing() {
		return false
	}
	r.retried++
	wait := pause(int(n.attempt))
	r.marks[out.id].phase = queued // not decided: what ends meanwhile must not move it on a second time
	r.events.send(Event{
		Kind: TaskRetrying, Task: r.name(out.id), TaskKind: r.kind(out.id), Attempt: int(n.attempt),
		Error: out.err.Error(), Seconds: wait.Seconds(),
	})
	stop := r.over
	r.sleeping[out.id] = time.AfterFunc(wait, func() {
		select {
		case r.awake <- out.id:
		case <-stop:
		}
	})
	return true
}

// tryAlone lets a task that ran out of a bounded resource work once more, with
// the pool to itself.
func (r *run) tryAlone(out outcome) bool {
	short, ok := errors.AsType[*ExhaustedError](out.err)
	if !ok || out.deciding || r.alone[out.id] != "" || r.o.Pools[short.Pool] == 0 || r.closing() {
		return false
	}
	r.alone[out.id] = short.Pool
	r.events.send(Event{Kind: TaskRetrying, Task: r.name(out.id), TaskKind: r.kind(out.id), Attempt: int(r.nodes[out.id].attempt), Error: out.err.Error()})
	r.enqueue(out.id)
	return true
}

// pause is how long to wait after the n-th attempt: from half a second, half as
// long again each time, spread by half so that a fleet does not try as one.
func pause(n int) time.Duration {
	b := backoff.NewExponentialBackOff()
	var wait time.Duration
	for range n {
		wait = b.NextBackOff()
	}
	return wait
}
