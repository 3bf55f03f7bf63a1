package graph

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"
)

// Intents is the journal of once-only deeds: before a deed its intent is on
// disk, after it its result. A deed is done, or it did not happen, or it began
// and nobody knows: then Look or a person must say. It is safe for use by many
// goroutines; processes may share the file, but two runs at once that declare
// the same once-only task would settle each other's deeds: keep them apart.
//
//	intents, err := graph.OpenIntents(filepath.Join(state, "intents"))
//	g.Run(ctx, graph.Options{Intents: intents})
type Intents struct {
	path string

	mu     sync.Mutex
	deeds  map[deedID]*Deed
	order  []*Deed // as they first began
	good   int64   // bytes of whole records, as far as they are read
	lines  int     // that these bytes are
	torn   int64   // bytes behind them, when the journal was opened
	broken error   // nothing can be written any more
}

type deedID struct{ task, key string }

// DeedState says what is known of a deed.
type DeedState string

// The states of a deed.
const (
	DeedUnknown DeedState = "unknown" // it began; nobody has said how it ended
	DeedDone    DeedState = "done"
	DeedUndone  DeedState = "undone" // it did not happen, and may be tried again
)

// Who said how a deed ended.
const (
	ByRun  = "run"  // the task itself
	ByLook = "look" // its Look, later
	ByHand = "hand" // a person
)

// Deed is what a once-only task was to do for one key.
type Deed struct {
	Task  string          `json:"task"`
	Key   string          `json:"key"`
	State DeedState       `json:"state"`
	Run   string          `json:"run,omitempty"` // in which it last began
	Began time.Time       `json:"began"`
	Ended *time.Time      `json:"ended,omitempty"` // when its end was written down
	By    string          `json:"by,omitempty"`    // who said so
	Why   string          `json:"why,omitempty"`   // what they said
	Value json.RawMessage `json:"result,omitempty"`

	record record
}

// ending is how a deed ended.
type ending struct {
	state DeedState
	by    string
	why   string
	value json.RawMessage
}

func when(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05") + " UTC" }

func (d *Deed) begun() string {
	if d.Run == "" {
		return "on " + when(d.Began)
	}
	return "on " + when(d.Began) + " in run " + d.Run
}

// words say what is known of a deed.
func (d *Deed) words() string {
	if d.State == DeedUnknown {
		return "it began " + d.begun()
	}
	return d.endedAs(ending{state: d.State, by: d.By, why: d.Why})
}

func (d *Deed) endedAs(how ending) string {
	text := "done " + d.begun()
	if how.state == DeedUndone {
		text = "what began " + d.begun() + " did not happen"
	}
	switch how.by {
	case ByLook:
		text += ", as a look found"
	case ByHand:
		text += ", as was settled by hand"
	}
	if how.why != "" {
		text += ": " + how.why
	}
	return text
}

// Deeds returns all deeds, as they first began.
func (i *Intents) Deeds() []Deed {
	i.mu.Lock()
	defer i.mu.Unlock()
	all := make([]Deed, len(i.order))
	for at, d := range i.order {
		all[at] = *d
	}
	return all
}

func (i *Intents) deed(task, key string) *Deed {
	i.mu.Lock()
	defer i.mu.Unlock()
	if d, ok := i.deeds[deedID{task, key}]; ok {
		is := *d
		return &is
	}
	return nil
}

// newDeed says why a task has a deed to do that never began: what differs from
// its last one, and which of its deeds are not settled.
func (i *Intents) newDeed(task string, rec record) string {
	i.mu.Lock()
	defer i.mu.Unlock()
	var last *Deed
	open := 0
	for _, d := range i.order {
		if d.Task != task {
			continue
		}
		if d.State == DeedUnknown {
			open++
		}
		if last == nil || !d.Began.Before(last.Began) {
			last = d
		}
	}
	if last == nil {
		return "never done"
	}
	text := rec.difference(last.record)
	if text == "" {
		text = "never done with these inputs"
	}
	text += "; before: " + last.words()
	if open > 0 {
		text += fmt.Sprintf("; %d unknown, see: roost intents", open)
	}
	return text
}

// begin writes an intent, unless the deed is done or at work already: another
// process may have come between.
func (i *Intents) begin(task string, rec record, run string, now time.Time) error {
	e := intentEntry{What: intentBegin, Task: task, Key: rec.key().String(), Run: run, Time: now, Record: rec}
	err := i.append(e, func(is *Deed) error {
		if is == nil || is.State == DeedUndone {
			return nil
		}
		return Refuse(fmt.Errorf("another run was quicker: %s; nothing was done; run again", is.words()))
	})
	if err != nil {
		return fmt.Errorf("write the intent: %w", err)
	}
	return nil
}

func (i *Intents) end(task, key, run string, now time.Time, how ending) error {
	return i.append(intentEntry{
		What: string(how.state), Task: task, Key: key, Run: run, Time: now,
		By: how.by, Why: how.why, Value: how.value,
	}, nil)
}

// Settle says how a deed ended that is unknown: done, with its result where one
// is given, or not done, so that it is tried again. A deed that is done may be
// given another result. It must not be called while a run is at work.
func (i *Intents) Settle(task, key string, state DeedState, result json.RawMessage, now time.Time) error {
	switch {
	case state != DeedDone && state != DeedUndone:
		return fmt.Errorf("a deed is settled as done or as undone, not as %q", state)
	case state == DeedUndone && result != nil:
		return errors.New("what did not happen has no result")
	case result != nil && !json.Valid(result):
		return errors.New("the result is not JSON")
	}
	return i.append(intentEntry{What: string(state), Task: task, Key: key, Time: now, By: ByHand, Value: result}, func(is *Deed) error {
		switch {
		case is == nil:
			return fmt.Errorf("%s never began with this key", task)
		case is.State == DeedUnknown, is.State == DeedDone && state == DeedDone && result != nil:
			return nil
		}
		return fmt.Errorf("there is nothing to settle: %s", is.words())
	})
}

// take takes an entry of the journal into what is known.
func (i *Intents) take(e intentEntry) {
	id := deedID{e.Task, e.Key}
	d := i.deeds[id]
	if d == nil { // also where an end stands without its intent
		d = &Deed{Task: e.Task, Key: e.Key, Run: e.Run, Began: e.Time}
		i.deeds[id] = d
		i.order = append(i.order, d)
	}
	if e.What == intentBegin {
		*d = Deed{Task: e.Task, Key: e.Key, State: DeedUnknown, Run: e.Run, Began: e.Time, record: slices.Clone(e.Record)}
		return
	}
	d.State, d.Ended = DeedState(e.What), &e.Time
	d.By, d.Why, d.Value = e.By, e.Why, e.Value
}
