package verbs

import (
	"context"
	"errors"
	"strings"

	"roost/internal/nix"
	"roost/tasks/system"
)

// declareUpdate brings every selected host to the system its fleet declares:
// evaluate, build, copy, activate, health.
func declareUpdate(ctx context.Context, w *Work) error {
	if len(w.Args) > 0 {
		return errors.New("update:all takes no tasks: which hosts is said with --on")
	}
	control := &system.Controller{Tree: &system.Tree{Dir: w.Fleet.Dir}, Nix: &nix.Nix{}, Connect: w.Connect, Roots: w.Roots, Scratch: w.Scratch}
	if !w.DrawOnly {
		var err error
		if control.Nix, err = nix.Detect(ctx); err != nil {
			return err
		}
		if control.Tree, err = system.ReadTree(ctx, w.Fleet.Dir); err != nil {
			return err
		}
	}
	for _, host := range w.Selected {
		control.Declare(w.Graph, host)
	}
	w.Pools = control.Pools()
	if files := control.Tree.Untracked; len(files) > 0 {
		w.Notices = append(w.Notices, "Not in git, so neither Nix nor roost sees them (git add them?): "+strings.Join(files, " "))
	}
	return nil
}
