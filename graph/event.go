package graph

import (
	"encoding/json"
	"time"
)

// EventVersion is the version of the Event schema. It grows when a field
// changes its meaning; a new field or kind does not change it.
const EventVersion = 1

// EventKind says what an Event tells.
type EventKind string

// The kinds of events, in the order in which a run sends them.
const (
	RunStarted   EventKind = "run.started"   // Run
	TaskDecided  EventKind = "task.decided"  // Task, Decision, Reason, Cause; again when an unknown becomes known
	PlanReady    EventKind = "plan.ready"    // Plan: every demanded task has a decision, nothing is changed yet
	TaskStarted  EventKind = "task.started"  // Task, TaskKind
	TaskRetrying EventKind = "task.retrying" // Task, Attempt, Error, Seconds: that attempt failed, the next comes in Seconds
	TaskLog      EventKind = "task.log"      // Task, Text: one line, without its newline
	TaskFinished EventKind = "task.finished" // Task, Status, Reason, Cause, Seconds, Error, Tail, Result
	RunFinished  EventKind = "run.finished"  // Seconds, Counts
)

// Event is one thing that happened in a run. Fields that a kind does not name
// are empty. Events of one run are numbered by Seq without gaps, and are given
// to each subscriber one at a time and in that order.
type Event struct {
	Version int       `json:"v"`
	Seq     int       `json:"seq"`
	Time    time.Time `json:"time"`
	Kind    EventKind `json:"kind"`

	Task     string   `json:"task,omitempty"`
	TaskKind Kind     `json:"task_kind,omitempty"`
	Decision Decision `json:"decision,omitempty"`
	Status   Status   `json:"status,omitempty"`
	Reason   string   `json:"reason,omitempty"`
	// Cause names the task that is to blame: the root failure of a blocked
	// task, the unreachable probe of a deferred one.
	Cause   string          `json:"cause,omitempty"`
	Text    string          `json:"text,omitempty"`
	Seconds float64         `json:"seconds,omitempty"`
	Attempt int             `json:"attempt,omitempty"` // 1 is the first
	Error   string          `json:"error,omitempty"`
	Tail    []string        `json:"tail,omitempty"`   // the last lines of a failed task's log
	Result  json.RawMessage `json:"result,omitempty"` // the task's value

	Run    *RunInfo       `json:"run,omitempty"`
	Plan   *Plan          `json:"plan,omitempty"`
	Counts map[Status]int `json:"counts,omitempty"`
}

// RunInfo says what a run is. The engine only passes it on.
type RunInfo struct {
	ID    string   `json:"id,omitempty"`   // unique in its ledger, sorts by time
	Verb  string   `json:"verb,omitempty"` // "update:all"
	Args  []string `json:"args,omitempty"`
	Dry   bool     `json:"dry,omitempty"`
	Tasks int      `json:"tasks"` // how many are declared
}

// Status is how a task ended.
type Status string

// The ends of a task. Only StatusRan, StatusCached, StatusSatisfied and
// StatusRead carry a value.
const (
	StatusRan       Status = "ran"       // a pure task was computed, an effect applied and proved
	StatusCached    Status = "cached"    // a pure task's result was known for its key
	StatusSatisfied Status = "satisfied" // an effect's check found that the world is already so
	StatusRead      Status = "read"      // an observation was read
	StatusFailed    Status = "failed"    // see Error
	StatusBlocked   Status = "blocked"   // a task it needs failed: Cause
	StatusDeferred  Status = "deferred"  // what it concerns cannot be reached now
	StatusRefused   Status = "refused"   // a guard forbids it
	StatusCancelled Status = "cancelled" // the run was stopped first
	StatusPlanned   Status = "planned"   // a dry run stopped before it
	StatusUnneeded  Status = "unneeded"  // nothing asked for it
)

// Good says that a task with this status ended well and carries a value.
func (s Status) Good() bool {
	return s == StatusRan || s == StatusCached || s == StatusSatisfied || s == StatusRead
}
