package system

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"roost/graph"
)

// Activation is what an activation did, as proved over a new connection.
type Activation struct {
	From       string   `json:"from,omitempty"` // the system that ran before; empty on a host's first
	To         string   `json:"to"`
	FromLabel  string   `json:"from_label,omitempty"`
	ToLabel    string   `json:"to_label,omitempty"`
	Changed    []string `json:"changed,omitempty"` // "restarted web.service"
	Generation int      `json:"generation,omitempty"`
	// RebootNeeded: inhibitors forbade a live switch, so the system is the one
	// that the next boot takes.
	RebootNeeded bool `json:"reboot_needed,omitempty"`
}

// activate makes the host run its system, and boot it.
func (h *target) activate(g *graph.Graph, tasks Tasks) graph.Ref[Activation] {
	return graph.Effect(g, h.name("activate"), func(t *graph.Task) graph.Change[Activation] {
		system, before := graph.Use(t, tasks.Eval), graph.Use(t, tasks.Probe)
		t.After(tasks.Copy)
		t.Lane(h.lane())
		var changed []string // what Apply saw, for the proof
		return graph.Change[Activation]{
			Check: func(ctx context.Context) (graph.State[Activation], error) {
				o := before.Get(ctx)
				return compare(system.Get(ctx).Out, o, o), nil
			},
			Apply: func(ctx context.Context) (err error) {
				changed, err = h.switchTo(ctx, system.Get(ctx).Out)
				return err
			},
			Prove: func(ctx context.Context) (graph.State[Activation], error) {
				now, err := h.observe(ctx, true)
				if err != nil {
					return graph.State[Activation]{}, err
				}
				state := compare(system.Get(ctx).Out, before.Get(ctx), now)
				state.Value.Changed = changed
				return state, nil
			},
		}
	})
}

// compare says whether a host that is as now runs and boots out.
func compare(out string, before, now Observed) graph.State[Activation] {
	s := graph.State[Activation]{Value: Activation{
		From: before.Current, FromLabel: before.Label,
		To: out, ToLabel: now.Label, Generation: now.Generation,
	}}
	waits := now.Last != nil && now.Last.Action == "boot" && now.Last.System == out
	switch {
	case now.Switching:
		s.Reason = "an activation is at work on it"
	case now.Current == out && now.Profile == out:
		s.Done, s.Reason = true, "it runs and boots this system"
	case now.Profile == out && waits:
		s.Done, s.Value.RebootNeeded, s.Value.ToLabel = true, true, ""
		s.Reason = "it boots this system; a reboot is needed"
	case now.Current == "":
		s.Reason = "it runs no NixOS system yet"
	case now.Current != out:
		s.Reason = "it runs " + short(now.Current) + ", not " + short(out)
	case now.Profile == "":
		s.Reason = "it runs this system, but has no system profile: it would not boot it"
	default:
		s.Reason = "it runs this system, but would boot " + short(now.Profile)
	}
	return s
}

// short is a store path with the hash cut: "a1b2c3d4-nixos-system-malphas-1.0".
func short(path string) string {
	base := path[strings.LastIndex(path, "/")+1:]
	hash, name, ok := strings.Cut(base, "-")
	if !ok || len(hash) != 32 {
		return path
	}
	return hash[:8] + "-" + name
}

// UnitsFailedError says that the new system is active, but units of it failed.
type UnitsFailedError struct {
	Host, System string
	Units        []string
	next         string
}

func (e *UnitsFailedError) Error() string {
	return fmt.Sprintf("%s runs %s, but these units failed: %s\n  See why: %s",
		e.Host, short(e.System), strings.Join(e.Units, ", "), e.next)
}

// switchTo activates a system and waits for its end, through lost connections.
// It returns what was done to units.
func (h *target) switchTo(ctx context.Context, out string) ([]string, error) {
	already, err := h.waitForOther(ctx, out)
	if err != nil || already {
		return nil, err
	}
	s, err := h.startSwitch(ctx, out)
	if err != nil {
		return nil, err
	}
	done, err := h.follow(ctx, s)
	if err != nil {
		return nil, err
	}
	switch done.Code {
	case 0:
		return changes(s.log.String()), nil
	case 4: // of switch-to-configuration: active, with failed units
		units, next := done.Failed, h.journal(done.Failed...)
		if len(units) == 0 {
			units = []string{"(it named none)"}
		}
		return nil, &UnitsFailedError{h.host.Name, out, units, next}
	}
	return nil, h.switchFailed(ctx, done, out)
}

// switchFailed says what the host runs after a failed switch: nobody should
// have to guess that at night.
func (h *target) switchFailed(ctx context.Context, done Switched, out string) error {
	runs := "what it runs now could not be read: "
	now, err := h.observe(ctx, true)
	switch {
	case err != nil:
		runs += err.Error()
	case now.Current == out:
		runs = "the new system is the running one all the same"
	case now.Current == "":
		runs = "it runs no NixOS system"
	default:
		runs = "it still runs " + short(now.Current)
	}
	if err == nil && now.Profile == out && now.Current != out {
		runs += ", but would boot the new one"
	}
	return fmt.Errorf("switch-to-configuration %s failed on %s with exit code %d; %s\n  See its whole log: %s",
		done.Action, h.host.Name, done.Code, runs, h.conn.Typed("journalctl", "-b", "-n", "100", "-u", unit))
}

// otherPatience is how long we wait for an activation that is not ours.
const otherPatience = 10 * time.Minute

// waitForOther waits while another activation is at work: perhaps our own, of a
// run that was killed. If it brought what we want, nothing is left to do.
func (h *target) waitForOther(ctx context.Context, out string) (already bool, err error) {
	ctx, cancel := context.WithTimeoutCause(ctx, otherPatience,
		fmt.Errorf("another activation is at work on %s, for more than %s; see: %s", h.host.Name, otherPatience, h.status()))
	defer cancel()
	for told := false; ; told = true {
		now, err := h.observe(ctx, false)
		if err != nil {
			return false, errors.Join(err, context.Cause(ctx))
		}
		if !now.Switching {
			return compare(out, now, now).Done, nil
		}
		if !told {
			fmt.Fprintf(graph.Log(ctx), "another activation is at work on %s; waiting for it\n", h.host.Name)
		}
		select {
		case <-ctx.Done():
			return false, context.Cause(ctx)
		case <-time.After(time.Second):
		}
	}
}

// changes reads off switch-to-configuration's log what it did to units: its
// line "restarting the following units: a, b" becomes "restarted a, b".
func changes(log string) []string {
	verbs := map[string]string{
		"stopping": "stopped", "starting": "started", "restarting": "restarted", "reloading": "reloaded",
	}
	var done []string
	for line := range strings.Lines(log) {
		doing, units, ok := strings.Cut(strings.TrimSpace(line), " the following units: ")
		if did := verbs[doing]; ok && did != "" {
			done = append(done, did+" "+units)
		}
		if units, ok := strings.CutPrefix(strings.TrimSpace(line), "the following new units were started: "); ok {
			done = append(done, "started "+units)
		}
	}
	return done
}
