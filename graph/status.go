package graph

// In a run, a status and a decision are one byte each: there are a hundred
// thousand of them. Everywhere else they are the words that events.md has.

type statusCode uint8

const (
	codeOpen statusCode = iota // it has not ended
	codeRan
	codeCached
	codeSatisfied
	codeRead
	codeFailed
	codeBlocked
	codeDeferred
	codeRefused
	codeCancelled
	codePlanned
	codeUnneeded
)

var statuses = [...]Status{
	"", StatusRan, StatusCached, StatusSatisfied, StatusRead, StatusFailed, StatusBlocked,
	StatusDeferred, StatusRefused, StatusCancelled, StatusPlanned, StatusUnneeded,
}

// good says that a task ended well and carries a value.
func (s statusCode) good() bool { return s >= codeRan && s <= codeRead }

type decisionCode uint8

const (
	undecided decisionCode = iota
	decideRun
	decideRead
	decideCached
	decideSatisfied
	decideUnknown
	decideFailed
	decideBlocked
	decideDeferred
	decideRefused
)

var decisions = [...]Decision{
	"", DecideRun, DecideRead, DecideCached, DecideSatisfied, DecideUnknown,
	DecideFailed, DecideBlocked, DecideDeferred, DecideRefused,
}

// decisionOf is what a plan says of a task that ends so without working.
var decisionOf = [...]decisionCode{
	codeCached: decideCached, codeSatisfied: decideSatisfied, codeFailed: decideFailed,
	codeBlocked: decideBlocked, codeDeferred: decideDeferred, codeRefused: decideRefused,
	codeCancelled: undecided, codePlanned: undecided, codeUnneeded: undecided,
}
