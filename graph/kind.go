package graph

// Kind is what sort of work a task is.
type Kind string

// The kinds of tasks; see the package comment.
const (
	KindPure    Kind = "pure"
	KindObserve Kind = "observe"
	KindEffect  Kind = "effect"
)
