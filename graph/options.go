package graph

import (
	"io"
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
	// Fresh runs pure tasks although their result is known. Effects are checked
	// as ever: a cache never decides about them.
	Fresh bool
	Jobs  int            // tasks at work at once; 0 = 64
	Pools map[string]int // sizes of pools; a task heavier than its pool takes all of it
	Cache *Cache         // nil = nothing is cached
	Files *FileMemo      // nil = one for this run only
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
	if o.Files == nil {
		o.Files = OpenFileMemo("")
	}
}

// Result is how a run ended.
type Result struct {
	Plan   *Plan
	Counts map[Status]int // of all declared tasks

	tasks  map[string]int
	states []node
}

// Status returns how the named task ended, and its reason.
func (r *Result) Status(task string) (Status, string) {
	id, ok := r.tasks[task]
	if !ok {
		return "", ""
	}
	return r.states[id].status, r.states[id].reason
}

// ValueOf returns the value of a task that ended well.
func ValueOf[T any](r *Result, ref Ref[T]) (T, bool) {
	v, ok := r.states[ref.taskID()].value.(T)
	return v, ok
}
