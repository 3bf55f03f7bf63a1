package graph

import (
	"io"
	"iter"
	"time"
)

// Options say how a graph is run. The zero value runs everything, remembers
// nothing and tells nobody.
type Options struct {
	Info  RunInfo  // passed on in RunStarted
	Goals []string // task names; none = all tasks that nothing else needs
	Dry   bool     // decide only; record nothing, apply nothing
	// Expect is a plan made earlier. If what it was made from has changed, the
	// run ends with a *StaleError and nothing is applied.
	Expect  *Plan
	Records bool // put into the plan what keys are made of
	// NoPlan leaves Result.Plan and the plan.ready event out: nobody reads a plan
	// of a hundred thousand tasks that are as they were. Expect needs one.
	NoPlan bool
	// Fresh runs pure tasks although their result is known. Effects are checked
	// as ever: a cache never decides about them.
	Fresh bool
	Jobs  int            // tasks at work at once; 0 = 64
	Pools map[string]int // sizes of pools; a task heavier than its pool takes all of it
	Cache *Cache         // nil = nothing is cached
	// Verify believes no time stamp: every file is read again.
	Verify bool
	// Remote is asked for what Cache has not, and is sent what is computed here;
	// whoever opened it closes it after the run. nil = there is none.
	Remote *RemoteCache
	// Intents is the journal of once-only effects. A graph that has some cannot be
	// planned or run without.
	Intents *Intents
	// Grace is how long effects at work may go on after the context is
	// cancelled. 0 = 1 minute. What is Interruptible is stopped at once.
	Grace time.Duration
	// MaxFailures stops the run when so many tasks have failed: what works ends,
	// nothing new begins. 0 = never; 1 is fail-fast.
	MaxFailures int
	Retries     int             // how many attempts may be made again in the whole run; 0 = 100
	Abort       <-chan struct{} // closed = stop effects too, now
	Now         func() time.Time
	// Watch is called for each event, one at a time; it must not block.
	Watch []func(Event)
	// LogTo, if set, is asked once for each task that logs something.
	LogTo func(task string) (io.WriteCloser, error)
}

func (o *Options) fill() {
	o.NoPlan = o.NoPlan && o.Expect == nil
	if o.Jobs <= 0 {
		o.Jobs = 64
	}
	if o.Grace <= 0 {
		o.Grace = time.Minute
	}
	if o.Retries <= 0 {
		o.Retries = 100
	}
	if o.Now == nil {
		o.Now = time.Now
	}
}

// Result is how a run ended.
type Result struct {
	Plan   *Plan
	Counts map[Status]int // of all declared tasks

	run *run
}

// Status returns how the named task ended, and its reason.
func (r *Result) Status(task string) (Status, string) {
	id := r.run.names.find([]byte(task))
	if id < 0 {
		return "", ""
	}
	return statuses[r.run.marks[id].status], r.run.reason(id)
}

// Ended goes through the tasks that ended so, in the order in which they were
// declared, with their reasons.
func (r *Result) Ended(status Status) iter.Seq2[string, string] {
	return func(yield func(task, reason string) bool) {
		for id, m := range r.run.marks {
			if statuses[m.status] == status && !yield(r.run.name(int32(id)), r.run.reason(int32(id))) {
				return
			}
		}
	}
}

// ValueOf returns the value of a task that ended well.
func ValueOf[T any](r *Result, ref Ref[T]) (T, bool) {
	v, _ := r.run.value(ref.taskID())
	value, ok := v.(T)
	return value, ok
}
