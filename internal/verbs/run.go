package verbs

import (
	"context"

	"roost/tasks/own"
)

// declareRun runs tasks of the fleet's tasks.toml, by name: all of them if none
// is named.
func declareRun(_ context.Context, w *Work) error {
	tasks, err := own.Load(w.Fleet)
	if err != nil {
		return err
	}
	chosen, err := tasks.Choose(w.Args, w.Selected)
	if err != nil {
		return err
	}
	chosen.Declare(w.Graph, w.Connect)
	w.Goals, w.Pools = chosen.Goals(), own.Pools()
	return nil
}

// OwnTaskWords are the tasks of a fleet's tasks.toml, for completion: no error is
// told there.
func OwnTaskWords(dir string) []string {
	fleet, _, err := load(Options{Fleet: dir})
	if err != nil {
		return nil
	}
	tasks, err := own.Load(fleet)
	if err != nil {
		return nil
	}
	return tasks.Names()
}
