package graph

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/sourcegraph/conc/panics"
)

// outcome is what a worker brings back to the scheduler.
type outcome struct {
	id       int
	deciding bool // it ends a decision, else work
	began    time.Time
	done     bool // decision: no work is needed
	reason   string
	key      string
	record   record
	value    any
	raw      json.RawMessage
	err      error
	// interrupted: its context had been cancelled when it came back
	interrupted bool
	used        map[string]int
	tail        []string
	made        map[string]string
}

func (o *outcome) setValue(v any) {
	o.value = v
	if raw, err := encodeValue(v); err != nil {
		o.err = err
	} else {
		o.raw = raw
	}
}

// working is a task in a worker's hands; its context carries it.
type working struct {
	run  *run
	task *Task
	log  *taskLog
	used map[string]int
}

type workingKey struct{}

func (r *run) newWorking(id int) *working {
	t := r.tasks[id]
	return &working{run: r, task: t, log: newTaskLog(r, t.name), used: map[string]int{}}
}

// value is read by users of a task that has ended: the channel that brought its
// outcome orders the write before this read.
func (w *working) value(id int) any { return w.run.nodes[id].value }

// guard calls f with the task's context; a panic becomes the task's failure.
func (w *working) guard(ctx context.Context, f func(context.Context) error) (err error) {
	recovered := panics.Try(func() { err = f(context.WithValue(ctx, workingKey{}, w)) })
	if recovered != nil {
		fmt.Fprintf(w.log, "%s\n", recovered.Stack)
		return fmt.Errorf("a bug in roost: panic: %v (the log has the stack)", recovered.Value)
	}
	return err
}

func (w *working) close(ctx context.Context, out *outcome) {
	out.tail, out.used = w.log.close(), w.used
	out.interrupted = ctx.Err() != nil
}

// work is the worker's part of a task that must work.
func (r *run) work(ctx context.Context, id int) (out outcome) {
	t := r.tasks[id]
	w := r.newWorking(id)
	out = outcome{id: id, began: r.o.Now()}
	defer func() { w.close(ctx, &out) }()
	var value any
	out.err = w.guard(ctx, func(ctx context.Context) (err error) {
		if err := ctx.Err(); err != nil {
			return err
		}
		if t.timeout > 0 {
			var cancel context.CancelFunc
			ctx, cancel = context.WithTimeoutCause(ctx, t.timeout, fmt.Errorf("it took longer than %s", t.timeout))
			defer cancel()
		}
		if t.kind == KindEffect {
			value, err = apply(ctx, t, r.nodes[id].attempt > 1)
		} else {
			value, err = t.work.run(ctx)
		}
		if err != nil && errors.Is(ctx.Err(), context.DeadlineExceeded) {
			err = fmt.Errorf("%w: %w", context.Cause(ctx), err)
		}
		return err
	})
	if out.err != nil {
		return out
	}
	out.setValue(value)
	if t.kind == KindPure && out.err == nil {
		out.made, out.err = t.made(r.o.Files)
		out.err = errors.Join(out.err, r.sameInputs(t, r.nodes[id].record))
	}
	if t.kind == KindPure && out.err == nil && !r.o.Dry {
		// A result that cannot be kept is still a result: the next run
		// computes it again.
		if err := r.o.Cache.put(t.name, r.nodes[id].key, out.raw); err != nil {
			fmt.Fprintf(w.log, "%v\n", err)
		}
		r.o.Remote.put(t.name, r.nodes[id].key, out.raw)
	}
	return out
}

// sameInputs looks again at what a key was made of. It was made when the task was
// decided, perhaps minutes before it worked: a result of files that were edited
// in between must not be kept, nor used, under the key of before.
func (r *run) sameInputs(t *Task, decided record) error {
	now, err := r.recordOf(t)
	if err != nil {
		return err
	}
	if d := now.difference(decided); d != "" {
		return fmt.Errorf("%s while it was at work; run again", d)
	}
	return nil
}

// apply changes the world, and proves it. Another attempt first looks whether
// the one before has done it after all.
func apply(ctx context.Context, t *Task, again bool) (any, error) {
	if again {
		if c, err := t.work.prove(ctx); err == nil && c.done {
			return c.value, nil
		}
	}
	if err := t.work.apply(ctx); err != nil {
		return nil, err
	}
	proof, err := t.work.prove(ctx)
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
	n, t := &r.nodes[out.id], r.tasks[out.id]
	r.running--
	n.stopped()
	n.stopped = nil
	if !out.deciding {
		r.take(out.id, -1)
	}
	seconds := r.o.Now().Sub(out.began).Seconds()
	switch {
	case out.err != nil && (r.tryAlone(out) || r.tryAgain(out)):
		return
	case out.err != nil:
		r.failed(out, seconds)
		return
	case out.deciding:
		n.key, n.record = out.key, out.record
		if !out.done {
			r.mustWork(out.id, DecideRun, out.reason)
			return
		}
		n.status = StatusCached
		if t.kind == KindEffect {
			n.status = StatusSatisfied
		}
	case t.kind == KindObserve:
		n.status = StatusRead
	default:
		n.status = StatusRan
	}
	if !out.deciding && !r.o.Dry {
		last := lastRun{Seconds: seconds, Used: out.used, Made: out.made}
		if t.kind == KindPure { // the journal of intents has the record of a deed
			last.Record = n.record
		}
		r.o.Cache.remember(t.name, last)
	}
	n.value, n.raw, n.digest = out.value, out.raw, digestResult(out)
	r.end(out.id, out.reason, "", Event{Seconds: seconds})
}

func (r *run) failed(out outcome, seconds float64) {
	n, t := &r.nodes[out.id], r.tasks[out.id]
	n.err = out.err
	n.status = statusOf(out.err)
	// An effect that was stopped in the middle is not "cancelled": nobody knows
	// how far it came.
	inTheMiddle := t.kind == KindEffect && !out.deciding && !t.interruptible
	if r.stopping && out.interrupted && !inTheMiddle {
		n.status = StatusCancelled
	}
	if n.status == StatusFailed {
		r.failures++
		if r.o.MaxFailures > 0 && r.failures == r.o.MaxFailures && !r.stopping {
			r.gaveUp = "given up after " + t.name + " failed: so many failures were allowed: " + fmt.Sprint(r.failures)
		}
	}
	text := out.err.Error()
	r.end(out.id, firstLine(text), "", Event{Seconds: seconds, Error: text, Tail: out.tail})
}
