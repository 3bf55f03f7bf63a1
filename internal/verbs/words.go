package verbs

import (
	"bytes"
	"context"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"

	"roost/graph"
	"roost/internal/ledger"
	"roost/internal/report"
)

// The words that a shell completes. No error is told there: then there are none.

// SelectorWords are what a selector may begin with.
func SelectorWords(dir string) []string {
	fleet, _, err := load(Options{Fleet: dir})
	if err != nil {
		return nil
	}
	words := fleet.Names()
	seen := map[string]bool{}
	for _, h := range fleet.Hosts {
		for _, tag := range append([]string{string(h.Role)}, h.Tags...) {
			if !seen[tag] {
				seen[tag] = true
				words = append(words, "@"+tag)
			}
		}
	}
	return words
}

// RunWords are the ids of the recorded runs, the newest first.
func RunWords(dir string) []string {
	_, ids := recorded(dir)
	slices.Reverse(ids)
	return ids
}

// TaskWords are the tasks that Why can tell of: those of a saved plan, or of the
// newest run.
func TaskWords(dir, planFile string) []string {
	if planFile != "" {
		saved, err := readPlan(planFile)
		if err != nil {
			return nil
		}
		var names []string
		for _, t := range saved.Plan.Tasks {
			names = append(names, t.Task)
		}
		return names
	}
	state, ids := recorded(dir)
	if len(ids) == 0 {
		return nil
	}
	record, err := report.OpenRecord(state.EventsPath(ids[len(ids)-1]))
	if err != nil {
		return nil
	}
	defer record.Close()
	return record.Names()
}

// DeclaredWords are the tasks that Graph can draw of the first verb among words.
func DeclaredWords(dir string, words []string) (names []string) {
	i := slices.IndexFunc(ofRoost, func(v Verb) bool { return slices.Contains(words, v.Name) })
	if i < 0 {
		return nil
	}
	fleet, selected, err := load(Options{Fleet: dir})
	if err != nil {
		return nil
	}
	shape, err := declared(context.Background(), ofRoost[i], fleet, selected, nil)
	if err != nil {
		return nil
	}
	for _, t := range shape.Tasks {
		names = append(names, t.Name)
	}
	return names
}

// CachedWords are the tasks that CacheExplain can tell of, and some that have no key.
func CachedWords(dir string) []string {
	state, err := openState(Options{Fleet: dir})
	if err != nil {
		return nil
	}
	cache, err := graph.OpenCache(state.Path("cache"))
	if err != nil {
		return nil
	}
	return cache.Tasks()
}

// PlanWords are the saved plans whose path begins with what was typed.
func PlanWords(typed string) (files []string) {
	entries, err := os.ReadDir(filepath.Dir(typed + "x"))
	if err != nil {
		return nil
	}
	dir, _ := filepath.Split(typed)
	for _, e := range entries {
		if path := dir + e.Name(); e.Type().IsRegular() && isPlan(path) {
			files = append(files, path)
		}
	}
	return files
}

var savedStart = regexp.MustCompile(`^\s*\{\s*"version":\s*\d+,\s*"verb":`)

func isPlan(path string) bool {
	f, err := os.Open(path)
	if err != nil {
		return false
	}
	defer f.Close()
	start := make([]byte, 128)
	n, _ := io.ReadFull(f, start)
	return savedStart.Match(bytes.TrimSpace(start[:n]))
}

func recorded(dir string) (*ledger.State, []string) {
	state, err := openState(Options{Fleet: dir})
	if err != nil {
		return nil, nil
	}
	ids, err := state.Runs()
	if err != nil {
		return nil, nil
	}
	return state, ids
}
