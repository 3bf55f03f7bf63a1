package e2e

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"roost/graph"
)

const ownTasks = `
[task.page]
run     = ["sh", "-c", "tr a-z A-Z <own/words >own/page"]
inputs  = ["own/words"]
outputs = ["own/page"]

[task.place]
on    = "*"
at    = "host"
check = ["cmp", "-s", "-", "/root/page"]
run   = ["tee", "/root/page"]
stdin = "own/page"

[task.stamp]
on     = "@server"
at     = "host"
run    = ["sh", "-c", "echo \"$1: $GREETING\" >>/root/stamps", "sh", "{host}"]
env    = { GREETING = "good  day" }
always = true
needs  = ["place"]
`

// ownFleet is the fleet with tasks of its own, whose traces are gone from the
// hosts when the test ends.
func ownFleet(t *testing.T) *fleet {
	t.Helper()
	f := booted(t)
	dir := f.lab.Fleet()
	must(t, os.MkdirAll(filepath.Join(dir, "own"), 0o700))
	f.write(t, "tasks.toml", ownTasks)
	f.write(t, "own/words", "hello\n")
	t.Cleanup(func() {
		must(t, os.Remove(filepath.Join(dir, "tasks.toml")))
		must(t, os.RemoveAll(filepath.Join(dir, "own")))
		for _, host := range everyone {
			f.on(t, host, "rm", "-rf", "/root/page", "/root/stamps")
		}
	})
	return f
}

// tasks runs `roost run ARGS` to its end.
func (f *fleet) tasks(t *testing.T, args ...string) *result {
	t.Helper()
	return f.verb(t, append([]string{"run"}, args...)...).wait(t)
}

// Tasks of the fleet's own on booted hosts: checked and proved there, by name,
// and what a host that is away lacks is done when it is back.
func TestOwnTasks(t *testing.T) {
	f := ownFleet(t)
	must(t, f.lab.Cut(t.Context(), "wren"))
	r := f.tasks(t)
	r.want(t, 0)
	r.ended(t, "fleet/page", graph.StatusRan)
	r.ended(t, "wren/place", graph.StatusDeferred)
	for _, host := range web { // all but wren
		r.ended(t, host+"/place", graph.StatusRan)
		if got := f.on(t, host, "cat", "/root/page"); got != "HELLO" {
			t.Error(r.failure("%s has the page %q", host, got))
		}
	}
	if got := f.on(t, "rook", "cat", "/root/stamps"); got != "rook: good  day" {
		t.Error(r.failure("rook has the stamps %q", got))
	}

	must(t, f.lab.Mend(t.Context(), "wren"))
	before := f.logins(t, "heron")
	r = f.tasks(t)
	r.want(t, 0)
	r.ended(t, "fleet/page", graph.StatusCached)
	r.ended(t, "heron/place", graph.StatusSatisfied)
	r.ended(t, "wren/place", graph.StatusRan)
	if n := f.logins(t, "heron") - before; n != 1 {
		t.Error(r.failure("heron was logged in to %d times, want once", n))
	}

	// By name, and on one host.
	f.on(t, "rook", "rm", "/root/page")
	f.on(t, "heron", "rm", "/root/page")
	r = f.tasks(t, "--dry-run", "rook/place")
	r.want(t, 0)
	r.says(t, "check: cmp -s - /root/page: exit code 2")
	r = f.tasks(t, "place", "--on", "rook")
	r.want(t, 0)
	r.ended(t, "rook/place", graph.StatusRan)
	if status := r.status("heron/place"); status != "" {
		t.Error(r.failure("heron was not asked for, and ended %s", status))
	}

	// An edit reaches everybody.
	f.write(t, "own/words", "good night\n")
	r = f.tasks(t)
	r.want(t, 0)
	for _, host := range everyone {
		r.ended(t, host+"/place", graph.StatusRan)
		if got := f.on(t, host, "cat", "/root/page"); got != "GOOD NIGHT" {
			t.Error(r.failure("%s has the page %q", host, got))
		}
	}
	why := f.verb(t, "why", "fleet/page").wait(t)
	why.says(t, "fleet/page: ran, because own/words changed")
}

// One host on which the task cannot do its work fails alone, and a saved plan is
// held to what the hosts say.
func TestOwnTasksThatFail(t *testing.T) {
	f := ownFleet(t)
	f.tasks(t).want(t, 0)
	f.on(t, "heron", "rm", "/root/page")
	f.on(t, "heron", "mkdir", "/root/page")
	f.on(t, "rook", "rm", "/root/page")
	file := filepath.Join(t.TempDir(), "plan.json")
	f.verb(t, "plan", "run", "place", "-o", file).wait(t).want(t, 0)
	if out := f.on(t, "rook", "ls", "/root"); strings.Contains(out, "page") {
		t.Errorf("a plan made the page: %s", out)
	}

	r := f.tasks(t)
	r.want(t, 1)
	r.ended(t, "heron/place", graph.StatusFailed)
	r.ended(t, "heron/stamp", graph.StatusBlocked)
	r.ended(t, "rook/place", graph.StatusRan)
	r.ended(t, "rook/stamp", graph.StatusRan)
	r.says(t, "heron/place failed", "tee /root/page: exit code 1", "Is a directory")

	stale := f.verb(t, "apply", file).wait(t)
	stale.want(t, 3)
	stale.says(t, "the plan is stale", "rook/place", "nothing was applied")

	f.on(t, "heron", "rmdir", "/root/page")
	again := f.verb(t, "resume", filepath.Base(r.record)).wait(t)
	again.want(t, 0)
	again.ended(t, "heron/place", graph.StatusRan)
	again.ended(t, "heron/stamp", graph.StatusRan)
}
