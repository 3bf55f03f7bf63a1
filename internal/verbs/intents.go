package verbs

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"text/tabwriter"
	"time"

	"roost/graph"
	"roost/internal/ledger"
	"roost/internal/nearest"
)

// openIntents opens the journal of once-only effects of a fleet, and says if its
// end was cut off.
func openIntents(o Options, state *ledger.State) (*graph.Intents, error) {
	intents, err := graph.OpenIntents(state.Path("intents"))
	if err != nil {
		return nil, exit(CodeFailed, err)
	}
	if torn := intents.Torn(); torn != "" {
		fmt.Fprintln(o.Stderr, torn)
	}
	return intents, nil
}

// Intents lists what once-only tasks have done, and what they began of which
// nobody knows how it ended.
func Intents(o Options) error {
	o.fill()
	state, err := openState(o)
	if err != nil {
		return err
	}
	intents, err := openIntents(o, state)
	if err != nil {
		return err
	}
	deeds := intents.Deeds()
	if o.JSON {
		out := json.NewEncoder(o.Stdout)
		for _, d := range deeds {
			if err := out.Encode(d); err != nil {
				return err
			}
		}
		return nil
	}
	if len(deeds) == 0 {
		fmt.Fprintln(o.Stdout, "No once-only task has begun anything yet.")
		return nil
	}
	w := tabwriter.NewWriter(o.Stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "TASK\tSTATE\tBEGAN\tIN RUN\tKEY\tSAID BY")
	unknown := 0
	for _, d := range deeds {
		if d.State == graph.DeedUnknown {
			unknown++
		}
		said := d.By
		if d.Why != "" {
			said += ": " + d.Why
		}
		fmt.Fprintf(w, "%s\t%s\t%s UTC\t%s\t%s\t%s\n", d.Task, d.State, d.Began.UTC().Format(time.DateTime), d.Run, d.Key[:shownKey], said)
	}
	if err := w.Flush(); err != nil {
		return err
	}
	if unknown > 0 {
		fmt.Fprintf(o.Stdout, "\n%d unknown: find out whether it happened, then: roost intents:settle TASK --done (it did) or --again (it did not)\n", unknown)
	}
	return nil
}

// shownKey is how much of a key is printed.
const shownKey = 12

// Settlement is what a person says of a deed of which nobody knew how it ended.
type Settlement struct {
	Task   string
	Done   bool   // it happened; else it did not, and the next run does it
	Result string // what it came to, as JSON, for the tasks that use it; only where Done
	Key    string // the beginning of its key, where the task has several such deeds
}

// ParseSettlement reads a settlement for a door that has no flags.
func ParseSettlement(task, how string) (Settlement, error) {
	if how != "done" && how != "again" {
		return Settlement{}, exit(CodeUsage, fmt.Errorf("%q: want done (it happened) or again (it did not)", how))
	}
	return Settlement{Task: task, Done: how == "done"}, nil
}

// SettleIntent writes down what a person says.
func SettleIntent(o Options, s Settlement) error {
	o.fill()
	state, err := openState(o)
	if err != nil {
		return err
	}
	intents, err := openIntents(o, state) // first: a mistyped name must leave no trace
	if err != nil {
		return err
	}
	if _, err := findDeed(intents.Deeds(), s); err != nil {
		return exit(CodeUsage, err)
	}
	lock, err := lockRun(state, "intents:settle")
	if err != nil {
		return err
	}
	defer lock.Release()
	if intents, err = graph.OpenIntents(state.Path("intents")); err != nil { // a run may have ended since
		return exit(CodeFailed, err)
	}
	deed, err := findDeed(intents.Deeds(), s)
	if err != nil {
		return exit(CodeUsage, err)
	}
	how, then := graph.DeedUndone, "the next run does it"
	if s.Done {
		how, then = graph.DeedDone, "it is not done again"
	}
	var result json.RawMessage
	if s.Result != "" {
		result = json.RawMessage(s.Result)
	}
	if err := intents.Settle(deed.Task, deed.Key, how, result, time.Now()); err != nil {
		return exit(CodeUsage, err)
	}
	if o.JSON {
		return json.NewEncoder(o.Stdout).Encode(map[string]any{"task": deed.Task, "key": deed.Key, "state": how})
	}
	fmt.Fprintf(o.Stdout, "%s (%s) is settled as %s: %s.\n", deed.Task, deed.Key[:shownKey], how, then)
	return nil
}

// findDeed finds the deed that is to be settled: the one of its task that is
// unknown, or the one whose key is given.
func findDeed(deeds []graph.Deed, s Settlement) (graph.Deed, error) {
	var unknown, tasks []string
	var found, last graph.Deed
	hits, seen := 0, map[string]bool{}
	for _, d := range deeds {
		if !seen[d.Task] {
			seen[d.Task] = true
			tasks = append(tasks, d.Task)
		}
		if d.Task != s.Task || !strings.HasPrefix(d.Key, s.Key) {
			continue
		}
		last = d
		if d.State == graph.DeedUnknown || s.Key != "" {
			found, hits = d, hits+1
			unknown = append(unknown, fmt.Sprintf("--key %s (began %s UTC, %s)", d.Key[:shownKey], d.Began.UTC().Format(time.DateTime), d.State))
		}
	}
	switch {
	case hits == 1:
		return found, nil
	case hits > 1:
		return found, fmt.Errorf("%s has %d such deeds; say which:\n  %s", s.Task, hits, strings.Join(unknown, "\n  "))
	case !seen[s.Task]:
		return found, fmt.Errorf("no once-only task %q has begun anything; %s", s.Task, nearest.Hint(s.Task, "tasks", tasks))
	case s.Key != "":
		return found, fmt.Errorf("%s has no deed with a key that begins with %s; see: roost intents", s.Task, s.Key)
	case s.Done && s.Result != "":
		return last, nil // its newest deed gets another result
	}
	return found, fmt.Errorf("%s has nothing to settle: nothing that it began is unknown; see: roost intents", s.Task)
}

// lockRun takes the fleet's lock, or says who holds it.
func lockRun(state *ledger.State, verb string) (*ledger.Lock, error) {
	if err := state.Make(); err != nil {
		return nil, exit(CodeFailed, err)
	}
	lock, err := state.Lock(verb, time.Now())
	if held, ok := errors.AsType[*ledger.HeldError](err); ok {
		return nil, exit(CodeRefused, held)
	}
	if err != nil {
		return nil, exit(CodeFailed, err)
	}
	return lock, nil
}

// UnsettledTasks are the tasks that intents:settle may be given, for completion:
// no error is told there.
func UnsettledTasks(dir string) []string {
	state, err := openState(Options{Fleet: dir})
	if err != nil {
		return nil
	}
	intents, err := graph.OpenIntents(state.Path("intents"))
	if err != nil {
		return nil
	}
	var tasks []string
	seen := map[string]bool{}
	for _, d := range intents.Deeds() {
		if d.State == graph.DeedUnknown && !seen[d.Task] {
			seen[d.Task] = true
			tasks = append(tasks, d.Task)
		}
	}
	return tasks
}
