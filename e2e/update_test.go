package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"roost/graph"
)

func TestFirstUpdateAndSecond(t *testing.T) {
	f := settled(t)
	f.first.want(t, 0)
	f.first.says(t, "8 effects applied, 4 evaluations run, 4 builds run, 4 hosts updated")
	for _, host := range everyone {
		if got, want := f.current(t, host), f.first.system(t, host); got != want {
			t.Errorf("%s runs %s, want %s", host, got, want)
		}
	}
	for _, host := range web {
		if got := f.version(t, host); got != "1.0" {
			t.Errorf("the web server of %s answers %q, want 1.0", host, got)
		}
	}

	before := map[string]int{}
	for _, host := range everyone {
		before[host] = f.logins(t, host)
	}
	r := f.run(t)
	r.didNothing(t)
	r.says(t, "0 effects applied, 0 evaluations run, 0 builds run, 4 hosts unchanged")
	for _, host := range everyone {
		if n := f.logins(t, host) - before[host]; n != 1 {
			t.Error(r.failure("%d ssh connections to %s where nothing was to do, want 1", n, host))
		}
	}
}

func TestChangeReachesTheWebServers(t *testing.T) {
	f := settled(t)
	version := f.change(t, everyone...)
	r := f.run(t)
	r.want(t, 0)
	r.running(t, f, everyone...)
	for _, host := range web {
		if got := f.version(t, host); got != version {
			t.Error(r.failure("the web server of %s answers %q, want %q", host, got, version))
		}
	}
	f.run(t).didNothing(t)
}

func TestDryRunChangesNothing(t *testing.T) {
	f := settled(t)
	f.change(t, everyone...)
	state := filepath.Join(f.lab.Dir, "state")
	read := func(dir string) map[string]string {
		tree, err := readTree(dir)
		must(t, err)
		return tree
	}
	hosts := func() (all string) {
		for _, host := range everyone {
			all += f.on(t, host, "sh", "-c", `ls -l --time-style=full-iso /nix/store /nix/var/nix/profiles /run/roost
				readlink /run/current-system /run/booted-system; cat /run/roost/last`) + "\n"
		}
		return all
	}
	fleetBefore, stateBefore, hostsBefore := read(f.lab.Fleet()), read(state), hosts()

	first := f.run(t, "--dry-run")
	first.want(t, 0)
	first.says(t, "dry run: nothing was changed, 4 hosts would change")
	second := f.run(t, "--dry-run")
	second.want(t, 0)
	if first.stdout != second.stdout {
		t.Errorf("two dry runs print different things:\n--- first\n%s--- second\n%s---", first.stdout, second.stdout)
	}
	if names := changed(fleetBefore, read(f.lab.Fleet())); len(names) > 0 {
		t.Error(second.failure("changed in the fleet: %v", names))
	}
	if names := changed(stateBefore, read(state)); len(names) > 0 {
		t.Error(second.failure("changed in the state folder: %v", names))
	}
	if hostsAfter := hosts(); hostsBefore != hostsAfter {
		t.Error(second.failure("changed on the hosts:\n--- before\n%s--- after\n%s---", hostsBefore, hostsAfter))
	}
}

func TestOnOneHostAsJSON(t *testing.T) {
	f := settled(t)
	f.change(t, "malphas", "rook")
	r := f.run(t, "--on", "@canary", "--json")
	r.want(t, 0)
	for _, e := range parseEvents(t, []byte(r.stdout)) {
		if e.Task != "" && !strings.HasPrefix(e.Task, "malphas/") {
			t.Errorf("event of %s", e.Task)
		}
		if e.Plan == nil {
			continue
		}
		for _, task := range e.Plan.Tasks {
			if !strings.HasPrefix(task.Task, "malphas/") {
				t.Errorf("%s is planned", task.Task)
			}
		}
	}
	if jq, err := exec.LookPath("jq"); err == nil {
		cmd := exec.Command(jq, "-es", `map(.kind) | index("run.finished")`)
		cmd.Stdin = strings.NewReader(r.stdout)
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Error(r.failure("jq: %v: %s", err, out))
		}
	}
	r.running(t, f, "malphas")
}

func TestBadInputRunsNothing(t *testing.T) {
	f := settled(t)
	toml := func(from, to string) func(t *testing.T) {
		return func(t *testing.T) { f.replace(t, "hosts/rook/host.toml", from, to) }
	}
	for name, c := range map[string]struct {
		edit func(t *testing.T)
		args []string
		says []string
	}{
		"unknown host":         {nil, []string{"--on", "malfas"}, []string{"malfas", "malphas"}},
		"bad selector":         {nil, []string{"--on", "@canary and"}, []string{"@canary and"}},
		"no hosts":             {nil, []string{"--on", "@canary and @edge"}, []string{"@canary and @edge"}},
		"unknown flag":         {nil, []string{"--dry"}, []string{"--dry-run"}},
		"no such fleet":        {nil, []string{"--fleet", "/nonexistent/fleet"}, []string{"/nonexistent/fleet"}},
		"unknown module":       {toml(`"web"`, `"wbe"`), nil, []string{"hosts/rook/host.toml", "wbe"}},
		"broken TOML":          {toml(`system  =`, `system  `), nil, []string{"hosts/rook/host.toml:1"}},
		"several bad settings": {toml(`"server"`, `"sever"`+"\ncolour = 1"), nil, []string{"hosts/rook/host.toml:2", "hosts/rook/host.toml:3", "sever", "colour"}},
		"two bad hosts": {func(t *testing.T) {
			f.replace(t, "hosts/rook/host.toml", "system  =", "system  ")
			f.replace(t, "hosts/wren/host.toml", "role", "rule")
		}, nil, []string{"hosts/rook/host.toml:1", "hosts/wren/host.toml:2"}},
	} {
		t.Run(name, func(t *testing.T) {
			defer f.restoreFiles(t)
			if c.edit != nil {
				c.edit(t)
			}
			runs := f.runs(t)
			r := f.run(t, c.args...)
			r.want(t, 2)
			r.says(t, c.says...)
			if r.stdout != "" {
				t.Error(r.failure("something was told on stdout"))
			}
			if r.record != "" || len(f.runs(t)) != len(runs) {
				t.Error(r.failure("a run was recorded: %s", r.record))
			}
		})
	}
}

func TestTwoRunsAtOnce(t *testing.T) {
	f := settled(t)
	f.change(t, everyone...)
	f.set(t, "malphas", "faults.slowSwitch", "4")
	first := f.start(t)
	first.await(t, graph.TaskStarted, "malphas/activate")

	second := f.run(t)
	second.want(t, 3)
	second.says(t, "update:all", fmt.Sprintf("pid %d", first.cmd.Process.Pid), "since "+first.began.Format("2006-01-02 15:04"), "kill")
	if second.record != "" {
		t.Error(second.failure("it recorded a run: %s", second.record))
	}
	dry := f.run(t, "--dry-run", "--on", "@canary")
	dry.want(t, 0)

	r := first.wait(t)
	r.want(t, 0)
	r.running(t, f, everyone...)
	if _, err := os.Stat(filepath.Join(r.record, "report.html")); err != nil {
		t.Error(r.failure("no report: %v", err))
	}
}
