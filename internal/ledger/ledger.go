// Package ledger keeps roost's state on disk: one folder a fleet, with the
// cache, the lock, and the append-only record of each run.
//
//	state, err := ledger.Open(fleetDir)
//	lock, err := state.Lock("update:all", time.Now())
//	defer lock.Release()
//	run, err := state.NewRun(time.Now())
//	g.Run(ctx, graph.Options{Watch: []func(graph.Event){run.Event}, LogTo: run.LogTo})
//	err = run.Close()
//
// The folder is $STATE_DIRECTORY under systemd, else
// $XDG_STATE_HOME/roost/NAME-HASH, after the fleet's own path.
package ledger

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// State is the state folder of one fleet.
type State struct{ Dir string }

// Open finds the state folder of the fleet in dir. It makes nothing: a dry run
// must leave no trace.
func Open(fleet string) (*State, error) {
	fleet, err := filepath.Abs(fleet)
	if err != nil {
		return nil, err
	}
	if real, err := filepath.EvalSymlinks(fleet); err == nil {
		fleet = real
	}
	if dir := os.Getenv("STATE_DIRECTORY"); dir != "" {
		first, _, _ := strings.Cut(dir, ":") // systemd lists several
		return &State{filepath.Join(first, name(fleet))}, nil
	}
	base, err := Home()
	if err != nil {
		return nil, err
	}
	return &State{filepath.Join(base, "roost", name(fleet))}, nil
}

// Home is the folder below which a user's programs keep their state:
// $XDG_STATE_HOME, else ~/.local/state.
func Home() (string, error) {
	if base := os.Getenv("XDG_STATE_HOME"); base != "" {
		return base, nil
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return "", fmt.Errorf("find the state folder: %w; set XDG_STATE_HOME", err)
	}
	return filepath.Join(home, ".local", "state"), nil
}

var odd = regexp.MustCompile(`[^A-Za-z0-9._-]+`)

// name tells fleets of the same base name apart.
func name(fleet string) string {
	sum := sha256.Sum256([]byte(fleet))
	return odd.ReplaceAllString(filepath.Base(fleet), "_") + "-" + hex.EncodeToString(sum[:4])
}

// Make makes the folder, private to its owner.
func (s *State) Make() error {
	for _, dir := range []string{s.Dir, s.Path("runs"), s.Path("locks"), s.Path("roots")} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return fmt.Errorf("make the state folder: %w", err)
		}
	}
	return nil
}

// Path returns a path below the state folder.
func (s *State) Path(elem ...string) string {
	return filepath.Join(append([]string{s.Dir}, elem...)...)
}

// EventsPath is the file with the events of a run, one JSON object a line.
func (s *State) EventsPath(run string) string { return s.Path("runs", run, "events.jsonl") }

// PlanPath is the file with the plan of a run, a task a line; a run that was cut
// off early has none. It lies beside the events.
func (s *State) PlanPath(run string) string { return s.Path("runs", run, "plan.json") }

// Runs returns the ids of the recorded runs, oldest first.
func (s *State) Runs() ([]string, error) {
	entries, err := os.ReadDir(s.Path("runs"))
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var ids []string
	for _, e := range entries {
		if e.IsDir() {
			ids = append(ids, e.Name())
		}
	}
	slices.Sort(ids)
	return ids, nil
}
