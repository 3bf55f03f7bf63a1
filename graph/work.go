package graph

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/sourcegraph/conc/panics"
)

// outcome is what a worker brings back to the scheduler.
type outcome struct {
	id       int32
	deciding bool // it ends a decision, else work
	wentOn   bool // it is of work that the decision went on to at once
	begun    bool // it only says so: the worker is still at it
	began    time.Time
	done     bool // decision: no work is needed
	reason   string

	key    digest
	text   []byte // the record whose hash the key is
	state  sum    // of what was read; with what was made once that is known
	made   []content
	digest digest
	value  any
	raw    json.RawMessage
	err    error
	// interrupted: its context had been cancelled when it came back
	interrupted bool
	used        map[string]int
	tail        []string
}

func (o *outcome) setValue(v any) {
	raw, err := encodeValue(v)
	if err != nil {
		o.err = err
		return
	}
	o.value, o.raw, o.digest = v, raw, digestMade(raw, o.made)
}

// working is a task in a worker's hands; its context carries it.
type working struct {
	run  *run
	id   int32
	log  taskLog
	used map[string]int
	// decided is the record on which it was decided that the task must work.
	decided []byte
}

type workingKey struct{}

func (r *run) newWorking(id int32) *working {
	w := &working{run: r, id: id}
	w.log.run, w.log.id = r, id
	return w
}

// guard calls f with the task's context; a panic becomes the task's failure.
func (w *working) guard(ctx context.Context, f func(context.Context) error) (err error) {
	recovered := panics.Try(func() { err = f(context.WithValue(ctx, workingKey{}, w)) })
	if recovered != nil {
		fmt.Fprintf(&w.log, "%s\n", recovered.Stack)
		return fmt.Errorf("a bug in roost: panic: %v (the log has the stack)", recovered.Value)
	}
	return err
}

func (w *working) close(ctx context.Context, out *outcome) {
	out.tail, out.used = w.log.close(), w.used
	out.interrupted = ctx.Err() != nil
}

// work is the worker's part of a task that must work. It is given what was
// decided, and returns how it went.
func (r *run) work(ctx context.Context, out outcome) outcome {
	w := r.newWorking(out.id)
	w.decided = out.text
	out.began = r.o.Now()
	r.doWork(ctx, w, &out)
	w.close(ctx, &out)
	return out
}

func (r *run) doWork(ctx context.Context, w *working, out *outcome) {
	id := w.id
	if r.kind(id) == KindPure {
		r.compute(ctx, w, out)
		return
	}
	var value any
	out.err = w.within(ctx, func(ctx context.Context) (err error) {
		if code := r.codeOf(id); code.kind == KindEffect {
			value, err = code.change(ctx, r.nodes[id].attempt > 1)
		} else {
			value, err = code.run(ctx, 0)
		}
		return err
	})
	if out.err == nil {
		out.setValue(value)
	}
}

// within calls f with the task's context, bounded by its time-out.
func (w *working) within(ctx context.Context, f func(context.Context) error) error {
	return w.guard(ctx, func(ctx context.Context) error {
		if err := ctx.Err(); err != nil {
			return err
		}
		timeout := w.run.rareOf(w.id).timeout
		if timeout > 0 {
			var cancel context.CancelFunc
			ctx, cancel = context.WithTimeoutCause(ctx, timeout, fmt.Errorf("it took longer than %s", timeout))
			defer cancel()
		}
		err := f(ctx)
		if err != nil && timeout > 0 && errors.Is(ctx.Err(), context.DeadlineExceeded) {
			err = fmt.Errorf("%w: %w", context.Cause(ctx), err)
		}
		return err
	})
}

// compute does the work of a pure task, and keeps its result.
func (r *run) compute(ctx context.Context, w *working, out *outcome) {
	began := r.o.Now()
	var value any
	out.err = w.within(ctx, func(ctx context.Context) (err error) {
		value, err = r.codeOf(w.id).run(ctx, int(r.row(w.id).at))
		return err
	})
	if out.err == nil {
		out.made, out.err = r.lookMade(w.id)
	}
	if out.err == nil {
		out.err = r.sameInputs(w.id, out)
	}
	if out.err != nil {
		return
	}
	if out.setValue(value); out.err != nil || r.o.Dry {
		return
	}
	// A result that cannot be kept is still a result: the next run computes it
	// again.
	out.used = w.used
	if err := r.keep(w.id, out, r.o.Now().Sub(began).Seconds()); err != nil {
		fmt.Fprintf(&w.log, "%v\n", err)
	}
	if !r.makesFiles(w.id) {
		r.o.Remote.put(r.name(w.id), out.key.String(), out.raw)
	}
}

// sameInputs looks again at what a key was made of. It was made when the task was
// decided, perhaps minutes before it worked: a result of files that were edited
// in between must not be kept, nor used, under the key of before.
func (r *run) sameInputs(id int32, out *outcome) error {
	files, err := r.lookRead(id)
	if err != nil {
		return err
	}
	if r.state(id, files, r.digestOf) == out.state {
		return nil
	}
	now, before := parseRecord(r.recordText(id, files)), parseRecord(out.text)
	return fmt.Errorf("%s while it was at work; run again", now.difference(before))
}

// change changes the world, and proves it. Another attempt first looks whether
// the one before has done it after all.
func (c *code) change(ctx context.Context, again bool) (any, error) {
	if again {
		if found, err := c.prove(ctx); err == nil && found.done {
			return found.value, nil
		}
	}
	if err := c.apply(ctx); err != nil {
		return nil, err
	}
	proof, err := c.prove(ctx)
	if err != nil {
		return nil, fmt.Errorf("applied, but it could not be proved: %w", err)
	}
	if !proof.done {
		return nil, fmt.Errorf("applied, but the proof says no: %s", proof.reason)
	}
	return proof.value, nil
}

// took takes a worker's outcome into the run.
func (r *run) took(out outcome) {
	id := out.id
	m, n := &r.marks[id], &r.nodes[id]
	if out.begun {
		m.phase = atWork
		r.stall(id)
		r.wentOn(out)
		return
	}
	r.running--
	r.stops[id]()
	delete(r.stops, id)
	if m.flags&reserved != 0 || !out.deciding {
		m.flags &^= reserved
		r.take(id, -1)
	}
	seconds := r.o.Now().Sub(out.began).Seconds()
	if out.wentOn {
		r.wentOn(out)
	}
	if out.err != nil {
		if !r.tryAlone(out) && !r.tryAgain(out) {
			r.failed(out, seconds)
		}
		return
	}
	switch kind := r.kind(id); {
	case out.deciding && !out.done:
		r.keys[id] = out.key
		if len(out.text) > 0 {
			r.texts[id], r.states[id] = out.text, out.state
		}
		r.mustWork(id, decideRun, out.reason)
		return
	case out.deciding && kind == KindEffect:
		m.status = codeSatisfied
	case out.deciding:
		m.status = codeCached
	case kind == KindObserve:
		m.status = codeRead
	default:
		m.status = codeRan
	}
	if out.deciding || r.kind(id) == KindPure {
		r.keys[id] = out.key
	}
	if !out.deciding && r.kind(id) != KindPure && !r.o.Dry {
		// What it took is only expected the next time: nothing hangs on it.
		_ = r.o.Cache.timed(r.name(id), seconds, out.used)
	}
	r.forget(id, out)
	n.value, r.digests[id] = out.value, out.digest
	r.end(id, out.reason, 0, Event{Seconds: seconds, Result: out.raw})
}

// wentOn takes in the decision behind work that was begun at once.
func (r *run) wentOn(out outcome) {
	r.marks[out.id].flags |= told
	r.nodes[out.id].attempt = 1
	r.keys[out.id] = out.key
	if out.err != nil {
		r.texts[out.id], r.states[out.id] = out.text, out.state // it may be tried again
	}
	r.choose(out.id, decideRun, out.reason, 0)
	r.marks[out.id].flags &^= told
}

// forget drops what only a task at work needs, unless the plan shows it.
func (r *run) forget(id int32, out outcome) {
	if r.o.Records {
		if len(out.text) > 0 {
			r.texts[id] = out.text
		}
		return
	}
	delete(r.texts, id)
	delete(r.states, id)
}

func (r *run) failed(out outcome, seconds float64) {
	m := &r.marks[out.id]
	r.errs[out.id] = out.err
	m.status = statusOf(out.err)
	// An effect that was stopped in the middle is not "cancelled": nobody knows
	// how far it came.
	inTheMiddle := r.kind(out.id) == KindEffect && !out.deciding && !r.row(out.id).interruptible
	if r.stopping && out.interrupted && !inTheMiddle {
		m.status = codeCancelled
	}
	if m.status == codeFailed {
		r.failures++
		if r.o.MaxFailures > 0 && r.failures == r.o.MaxFailures && !r.stopping {
			r.gaveUp = "given up after " + r.name(out.id) + " failed: so many failures were allowed: " + fmt.Sprint(r.failures)
		}
	}
	text := out.err.Error()
	r.end(out.id, firstLine(text), 0, Event{Seconds: seconds, Error: text, Tail: out.tail})
}

// round is a number of seconds as a reader and JSON want it.
func round(seconds float32) float64 { return math.Round(float64(seconds)*1e6) / 1e6 }
