package system

import (
	"context"
	"errors"
	"fmt"

	"roost/graph"
	"roost/internal/nix"
	"roost/internal/remote"
)

// copy brings the closure to the host. Store paths arrive whole or not at all,
// so it may be stopped anywhere, and the next run sends only what is missing.
func (h *target) copy(g *graph.Graph, tasks Tasks) graph.Ref[string] {
	return graph.Effect(g, h.name("copy"), func(t *graph.Task) graph.Change[string] {
		system, before := graph.Use(t, tasks.Eval), graph.Use(t, tasks.Probe)
		t.After(tasks.Build)
		t.Lane(h.lane())
		t.Pool(copyPool, 1)
		t.Interruptible()
		t.Retries(2)
		check := func(ctx context.Context, again bool) (graph.State[string], error) {
			return h.hasPath(ctx, system.Get(ctx).Out, before.Get(ctx), again)
		}
		return graph.Change[string]{
			Check: func(ctx context.Context) (graph.State[string], error) { return check(ctx, false) },
			Prove: func(ctx context.Context) (graph.State[string], error) { return check(ctx, true) },
			Apply: func(ctx context.Context) error { return h.send(ctx, system.Get(ctx).Out) },
		}
	})
}

// hasPath says whether a path is valid in the host's store. What the host runs
// or boots is; of anything else the host is asked.
func (h *target) hasPath(ctx context.Context, out string, before Observed, again bool) (graph.State[string], error) {
	here := graph.State[string]{Done: true, Value: out, Reason: "the host has it"}
	if h.isLocal() {
		here.Reason = "it is this machine's own store"
		return here, nil
	}
	if !again && (before.Current == out || before.Profile == out) {
		return here, nil
	}
	_, err := h.conn.Output(ctx, "nix-store", "--check-validity", out)
	if _, no := errors.AsType[*remote.ExitError](err); no {
		return graph.State[string]{Reason: "the host does not have it"}, nil
	}
	return here, remote.ForTask(err)
}

// sendAgain is what to know and to do when the link broke.
const sendAgain = "Nothing was activated, and what has arrived is kept. Run again to send the rest"

func (h *target) send(ctx context.Context, out string) error {
	if err := h.conn.Connect(ctx); err != nil {
		if _, away := errors.AsType[*remote.UnreachableError](err); away {
			return fmt.Errorf("%w\n  %s", err, sendAgain) // the link broke since the probe, or in an earlier try
		}
		return err
	}
	opts, err := h.conn.NixOpts()
	if err != nil {
		return err
	}
	err = h.Nix.Copy(ctx, h.conn.StoreURL(), opts, out, graph.Log(ctx))
	if _, full := errors.AsType[*nix.DiskFullError](err); full {
		return fmt.Errorf("%w\n  Nothing was activated. Make room, then run again: %s", err, h.conn.Typed("nix-collect-garbage", "--delete-older-than", "14d"))
	}
	if _, link := errors.AsType[*nix.LinkError](err); link {
		return graph.Transient(fmt.Errorf("%w\n  %s", err, sendAgain))
	}
	return err
}
