package verbs

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"roost/internal/ledger"
	"roost/lab"
)

// openLab opens the lab in ROOST_LAB_DIR, or in the state folder.
func openLab() (*lab.Lab, error) {
	dir := os.Getenv("ROOST_LAB_DIR")
	if dir == "" {
		base, err := ledger.Home()
		if err != nil {
			return nil, exit(CodeUsage, err)
		}
		dir = filepath.Join(base, "roost-lab")
	}
	l, err := lab.Open(dir)
	if err != nil {
		return nil, exit(CodeUsage, err)
	}
	return l, nil
}

// forShell are the variables of the lab that a person's shell needs: not HOME and
// the caches, which other programs there would miss. PATH finds the lab's own nix
// where it has one (see package privatestore).
var forShell = []string{"PATH", "ROOST_FLEET", "ROOST_SSH_CONFIG", "ROOST_LAB_DIR", "XDG_STATE_HOME", "NIX_REMOTE", "NIX_CONF_DIR", "NIX_CONFIG"}

// LabUp boots the lab, and says how to work with it.
func LabUp(ctx context.Context, o Options) error {
	o.fill()
	l, err := openLab()
	if err != nil {
		return err
	}
	if err := labUp(ctx, l, o); err != nil {
		return err
	}
	fmt.Fprintf(o.Stdout, "\nThe lab is up. To work on it from this shell:\n\n")
	for _, kv := range append(l.Env(), "ROOST_LAB_DIR="+l.Dir) {
		key, value, _ := strings.Cut(kv, "=")
		if slices.Contains(forShell, key) {
			fmt.Fprintf(o.Stdout, "  export %s='%s'\n", key, value)
		}
	}
	fmt.Fprintf(o.Stdout, "\nthen, for instance:\n\n  mage update:all\n  ssh -F $ROOST_SSH_CONFIG malphas\n  $EDITOR %s/hosts/malphas/default.nix\n", l.Fleet())
	return nil
}

func labUp(ctx context.Context, l *lab.Lab, o Options) error {
	if err := lab.Ready(); err != nil {
		return exit(CodeUsage, err)
	}
	scratch, err := newScratch()
	if err != nil {
		return exit(CodeFailed, err)
	}
	defer os.RemoveAll(scratch)
	fleet := filepath.Join(scratch, "fleet")
	if err := os.CopyFS(fleet, lab.FleetFS()); err != nil {
		return exit(CodeFailed, err)
	}
	if err := l.Up(ctx, fleet, o.Stdout); err != nil {
		return exit(CodeFailed, err)
	}
	return nil
}

// LabStatus prints how the lab's hosts are.
func LabStatus(ctx context.Context, o Options) error {
	o.fill()
	l, err := openLab()
	if err != nil {
		return err
	}
	all, err := l.Status(ctx)
	if err != nil {
		return exit(CodeFailed, err)
	}
	if len(all) == 0 {
		fmt.Fprintf(o.Stdout, "There is no lab in %s. Start it: mage lab:up\n", l.Dir)
		return nil
	}
	w := tabwriter.NewWriter(o.Stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "HOST\tADDRESS\tSTATE\tUP FOR\tBOOTS\tFAULTS")
	for _, h := range all {
		state, up := "down", ""
		if h.Up {
			state, up = h.System, h.Uptime.Round(time.Second).String()
		} else if h.Ended != "" {
			state += " (" + h.Ended + ")"
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%d\t%s\n", h.Name, h.Address, state, up, h.Boots, strings.Join(h.Faults, ", "))
	}
	return w.Flush()
}

// LabDown ends the lab.
func LabDown(ctx context.Context, o Options) error {
	o.fill()
	l, err := openLab()
	if err != nil {
		return err
	}
	if _, err := os.Stat(l.Dir); errors.Is(err, os.ErrNotExist) {
		fmt.Fprintf(o.Stdout, "There is no lab in %s.\n", l.Dir)
		return nil
	}
	err = l.Down(ctx, o.Stdout)
	if errors.Is(err, lab.ErrNotReady) {
		return exit(CodeUsage, err)
	}
	if err != nil {
		return exit(CodeFailed, err)
	}
	return nil
}
