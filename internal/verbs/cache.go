package verbs

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"roost/graph"
	"roost/internal/nearest"
)

// tokenVariable has no flag: what a command line holds, every user of the
// machine can read.
const tokenVariable = "ROOST_CACHE_TOKEN"

// openRemote opens the remote cache that the options name, if they do. The
// token leaves our environment, so that no program we start gets it.
func openRemote(o Options) (*graph.RemoteCache, error) {
	token := os.Getenv(tokenVariable)
	os.Unsetenv(tokenVariable)
	if o.CacheURL == "" {
		return nil, nil
	}
	remote, err := graph.OpenRemoteCache(o.CacheURL, graph.RemoteOptions{Token: token, ReadOnly: o.CacheReadOnly})
	if err != nil {
		return nil, exit(CodeUsage, fmt.Errorf("--cache-url (ROOST_CACHE_URL): %w", err))
	}
	return remote, nil
}

// fleetCache is the cache of a fleet, and the newest plan that it served.
type fleetCache struct {
	*graph.Cache
	run  string // "" if no run is recorded
	plan *graph.Plan
}

func openCache(o Options) (*fleetCache, error) {
	state, err := openState(o)
	if err != nil {
		return nil, err
	}
	cache, err := graph.OpenCache(state.Path("cache"))
	if err != nil {
		return nil, exit(CodeFailed, err)
	}
	ids, err := state.Runs()
	if err != nil {
		return nil, exit(CodeFailed, err)
	}
	f := &fleetCache{Cache: cache, plan: &graph.Plan{}}
	for _, id := range slices.Backward(ids) { // a run that was cut off early has no plan
		if plan, err := graph.ReadPlan(state.PlanPath(id)); err == nil {
			f.run, f.plan = id, plan
			break
		}
	}
	return f, nil
}

// inUse are the keys that the last run decided on; of what it could not decide
// when it planned, those of the last success.
func (f *fleetCache) inUse() map[string]bool {
	keys := map[string]bool{}
	for _, t := range f.plan.Tasks {
		key := t.Key
		if last, ok := f.Recorded(t.Task); ok && key == "" {
			key = last.Key
		}
		keys[key] = true
	}
	return keys
}

// CacheStats says what the cache of a fleet holds, and how good it was for the
// last run.
func CacheStats(o Options) error {
	o.fill()
	f, err := openCache(o)
	if err != nil {
		return err
	}
	kept, err := f.Entries()
	if err != nil {
		return exit(CodeFailed, err)
	}
	type lastRun struct {
		ID       string `json:"id"`
		Pure     int    `json:"pure"`     // tasks whose results may be known
		Cached   int    `json:"cached"`   // that were
		Computed int    `json:"computed"` // that were not
		Unknown  int    `json:"unknown"`  // that the plan could not tell
	}
	out := struct {
		Entries int        `json:"entries"`
		Bytes   int64      `json:"bytes"`
		Oldest  *time.Time `json:"oldest,omitempty"` // when the oldest entry was last of use
		LastRun *lastRun   `json:"last_run,omitempty"`
	}{Entries: len(kept), Bytes: bytesOf(kept)}
	if len(kept) > 0 {
		out.Oldest = &kept[0].Used
	}
	if f.run != "" {
		run := &lastRun{ID: f.run}
		for _, t := range f.plan.Tasks {
			if t.Kind != graph.KindPure || t.Decision == graph.DecideUnneeded {
				continue
			}
			run.Pure++
			switch t.Decision {
			case graph.DecideCached:
				run.Cached++
			case graph.DecideRun:
				run.Computed++
			case graph.DecideUnknown:
				run.Unknown++
			}
		}
		out.LastRun = run
	}
	if o.JSON {
		return json.NewEncoder(o.Stdout).Encode(out)
	}
	fmt.Fprintf(o.Stdout, "%s, %s\n", results(out.Entries), Size(out.Bytes))
	if out.Oldest != nil {
		fmt.Fprintf(o.Stdout, "the oldest was last of use %s\n", out.Oldest.Format(time.DateTime))
	}
	if run := out.LastRun; run != nil {
		fmt.Fprintf(o.Stdout, "run %s: of %s needed, %d known, %d to compute, %d unknown when it was planned\n",
			run.ID, results(run.Pure), run.Cached, run.Computed, run.Unknown)
	}
	return nil
}

func results(n int) string {
	if n == 1 {
		return "1 result"
	}
	return strconv.Itoa(n) + " results"
}

func bytesOf(kept []graph.Kept) (sum int64) {
	for _, k := range kept {
		sum += k.Bytes
	}
	return sum
}

// stateWords say how a result is.
var stateWords = map[graph.ResultState]string{
	graph.ResultKept:    "its result is in the cache",
	graph.ResultMissing: "its result is not in the cache; it will be computed when it is needed",
	graph.ResultDamaged: "its result in the cache is damaged; it will be computed when it is needed",
}

// CacheExplain says what the last success of a pure task depended on, line by
// line of the text that its key is the hash of.
func CacheExplain(o Options, task string) error {
	o.fill()
	f, err := openCache(o)
	if err != nil {
		return err
	}
	last, ok := f.Recorded(task)
	switch {
	case !ok:
		return exit(CodeUsage, fmt.Errorf("no success of %q is recorded; %s", task, nearest.Hint(task, "tasks", f.Tasks())))
	case last.Key == "":
		return exit(CodeUsage, fmt.Errorf("%s reads or changes the world: it has no key and is never cached\n  What it did last: roost why %s", task, task))
	}
	state, now := f.State(task, last.Key), ""
	for _, t := range f.plan.Tasks {
		if t.Task == task && t.Key != last.Key {
			now = t.Key
		}
	}
	if o.JSON {
		return json.NewEncoder(o.Stdout).Encode(struct {
			Task    string            `json:"task"`
			Key     string            `json:"key"`
			Record  []string          `json:"record"` // key is the hash of these lines
			Words   []string          `json:"words"`
			Result  graph.ResultState `json:"result"`
			Seconds float64           `json:"seconds"`
			LastRun string            `json:"last_run_key,omitempty"` // if it differs
		}{task, last.Key, last.Lines, last.Words, state, last.Seconds, now})
	}
	fmt.Fprintf(o.Stdout, "The last success of %s, in %.1f s, depended on\n", task, last.Seconds)
	for _, line := range last.Words {
		fmt.Fprintf(o.Stdout, "  %s\n", line)
	}
	fmt.Fprintf(o.Stdout, "key %s: %s\n", last.Key, stateWords[state])
	if now != "" {
		fmt.Fprintf(o.Stdout, "The last run asked for another key, %s: %s\n", now, stateWords[f.State(task, now)])
	}
	return nil
}

// CachePrune says what may go from a fleet's cache.
type CachePrune struct {
	OlderThan Age  // what was of no use for longer goes
	MaxSize   Size // then what was least recently used, until so much is left
	All       bool // also what the last run used
}

// What CachePrune holds where nobody says otherwise.
const (
	PruneAge  = "30d"
	PruneSize = "1GiB"
)

// ParsePrune reads what a door without types was given; empty: the defaults.
func ParsePrune(age, size string) (p CachePrune, err error) {
	err = errors.Join(p.OlderThan.UnmarshalText([]byte(cmp.Or(age, PruneAge))), p.MaxSize.UnmarshalText([]byte(cmp.Or(size, PruneSize))))
	if err != nil {
		return p, exit(CodeUsage, err)
	}
	return p, nil
}

// PruneCache removes results, the least recently used first, and says which.
func PruneCache(o Options, p CachePrune) error {
	o.fill()
	f, err := openCache(o)
	if err != nil {
		return err
	}
	options := graph.PruneOptions{OlderThan: time.Duration(p.OlderThan), MaxSize: int64(p.MaxSize), Dry: o.DryRun}
	if !p.All {
		options.Keep = f.inUse()
	}
	removed, left, err := f.Prune(options)
	if err != nil {
		err = exit(CodeFailed, err)
	}
	if o.JSON {
		type gone struct {
			Task  string    `json:"task,omitempty"`
			Key   string    `json:"key"`
			Bytes int64     `json:"bytes"`
			Used  time.Time `json:"used"`
		}
		all := []gone{}
		for _, k := range removed {
			all = append(all, gone{k.Task, k.Key, k.Bytes, k.Used})
		}
		return errors.Join(err, json.NewEncoder(o.Stdout).Encode(map[string]any{
			"dry_run": o.DryRun, "removed": all, "left": len(left), "left_bytes": bytesOf(left),
		}))
	}
	for _, k := range removed {
		fmt.Fprintf(o.Stdout, "%s  %s  last of use %s  %s\n", k.Key[:12], k.Task, k.Used.Format(time.DateOnly), Size(k.Bytes))
	}
	verb := "Removed"
	if o.DryRun {
		verb = "Would remove"
	}
	fmt.Fprintf(o.Stdout, "%s %s, %s; %s stay, %s\n", verb, results(len(removed)), Size(bytesOf(removed)), results(len(left)), Size(bytesOf(left)))
	return err
}

// Age is a time span in words that people type: 30d, 2w, 12h.
type Age time.Duration

// UnmarshalText reads days and weeks, and else what time.ParseDuration takes.
func (a *Age) UnmarshalText(text []byte) error {
	s := string(text)
	for unit, span := range map[string]time.Duration{"d": 24 * time.Hour, "w": 7 * 24 * time.Hour} {
		if digits, ok := strings.CutSuffix(s, unit); ok {
			n, err := strconv.ParseUint(digits, 10, 32)
			if err != nil || n > uint64(math.MaxInt64/span) {
				return fmt.Errorf("%q is no age: want a form like 30d, 2w or 12h", s)
			}
			*a = Age(time.Duration(n) * span)
			return nil
		}
	}
	d, err := time.ParseDuration(s)
	if err != nil || d < 0 {
		return fmt.Errorf("%q is no age: want a form like 30d, 2w or 12h", s)
	}
	*a = Age(d)
	return nil
}

// Size is a number of bytes in words: 500MiB, 1GiB.
type Size int64

var sizeUnits = []string{"B", "KiB", "MiB", "GiB", "TiB"}

// UnmarshalText reads a whole number with one of the units B, KiB, MiB, GiB, TiB.
func (s *Size) UnmarshalText(text []byte) error {
	digits := strings.TrimRight(string(text), "BKMGTi")
	n, err := strconv.ParseInt(digits, 10, 64)
	power := slices.Index(sizeUnits, strings.TrimPrefix(string(text), digits))
	if string(text) == "0" {
		power = 0
	}
	if err != nil || n < 0 || power < 0 || n > math.MaxInt64>>(10*power) {
		return fmt.Errorf("%q is no size: want a form like 500MiB or 1GiB", text)
	}
	*s = Size(n << (10 * power))
	return nil
}

func (s Size) String() string {
	n, unit := float64(s), 0
	for n >= 1024 && unit < len(sizeUnits)-1 {
		n, unit = n/1024, unit+1
	}
	if unit == 0 {
		return fmt.Sprintf("%d B", int64(s))
	}
	return fmt.Sprintf("%.1f %s", n, sizeUnits[unit])
}
