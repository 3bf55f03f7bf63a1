package e2e

import (
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"roost/graph"
)

// A plan is saved, reviewed and carried out; then a file or the world has moved.
func TestSavedPlan(t *testing.T) {
	f := settled(t)
	f.change(t, "malphas", "rook")
	before := f.current(t, "rook")
	file := filepath.Join(t.TempDir(), "plan.json")
	f.verb(t, "plan", "update:all", "-o", file).wait(t).want(t, 0)

	review := f.verb(t, "why", "rook/eval", "--plan", file).wait(t)
	review.want(t, 0)
	review.says(t, "rook/eval: run, because hosts/rook/default.nix changed")

	f.replace(t, "hosts/malphas/host.toml", "canary", "careful")
	stale := f.verb(t, "apply", file).wait(t)
	stale.want(t, 3)
	stale.says(t, "the plan is stale", "malphas/eval: hosts/malphas/host.toml changed", "nothing was applied")
	if started := stale.started("activate"); len(started) > 0 {
		t.Error(stale.failure("a stale plan was carried out on %s", strings.Join(started, ", ")))
	}
	f.replace(t, "hosts/malphas/host.toml", "careful", "canary")

	rehearsed := f.verb(t, "apply", "--dry-run", file).wait(t)
	rehearsed.want(t, 0)
	if rehearsed.record != "" {
		t.Error(rehearsed.failure("a dry run is recorded in %s", rehearsed.record))
	}
	if f.current(t, "rook") != before {
		t.Error(rehearsed.failure("a dry run switched rook"))
	}

	done := f.verb(t, "apply", file).wait(t)
	done.want(t, 0)
	done.running(t, f, everyone...)
	done.ended(t, "rook/activate", graph.StatusRan)

	again := f.verb(t, "apply", file).wait(t)
	again.want(t, 3)
	again.says(t, "now: satisfied")

	why := f.verb(t, "why", "heron/build").wait(t)
	why.want(t, 0)
	why.says(t, "heron/build: unneeded")
}

// What was cut off is gone on with, on the hosts it was asked for.
func TestResume(t *testing.T) {
	f := settled(t)
	f.change(t, "malphas", "rook")
	p := f.start(t, "--on", "malphas")
	p.await(t, graph.TaskStarted, "malphas/copy")
	p.signal(t, syscall.SIGKILL)
	p.wait(t)
	r := f.verb(t, "resume").wait(t)
	r.want(t, 0)
	r.says(t, "Again: update:all --on malphas")
	r.running(t, f, "malphas")
	if status := r.status("rook/eval"); status != "" {
		t.Error(r.failure("rook was not asked for, and ended %s", status))
	}
}
