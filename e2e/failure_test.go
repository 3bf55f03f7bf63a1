package e2e

import (
	"testing"

	"roost/graph"
)

func TestUnreachableHostIsDeferred(t *testing.T) {
	f := booted(t)
	f.change(t, everyone...)
	must(t, f.lab.Cut(t.Context(), "wren"))
	old := f.current(t, "wren")
	r := f.run(t)
	r.want(t, 0)
	r.ended(t, "wren/probe", graph.StatusDeferred)
	r.ended(t, "wren/health", graph.StatusDeferred)
	r.says(t, "3 hosts updated", "1 host deferred", "wren")
	r.running(t, f, web...)
	if now := f.current(t, "wren"); now != old {
		t.Errorf("the host that could not be reached runs %s", now)
	}

	must(t, f.lab.Mend(t.Context(), "wren"))
	r = f.run(t)
	r.want(t, 0)
	r.says(t, "1 host updated", "3 hosts unchanged")
	r.running(t, f, everyone...)
}

func TestWrongHostKeyIsRefused(t *testing.T) {
	f := booted(t)
	f.change(t, everyone...)
	must(t, f.lab.ChangeHostKey(t.Context(), "rook"))
	old, logins := f.current(t, "rook"), f.logins(t, "rook")
	r := f.run(t)
	r.want(t, 3)
	r.ended(t, "rook/probe", graph.StatusRefused)
	r.says(t, "its host key is not the one we know", "ssh-keygen -f", "-R "+f.address["rook"], "3 hosts updated", "1 host refused")
	r.running(t, f, "heron", "malphas", "wren")
	if now := f.current(t, "rook"); now != old {
		t.Errorf("rook runs %s", now)
	}
	if n := f.logins(t, "rook") - logins; n != 0 {
		t.Errorf("%d connections were made in spite of the key", n)
	}

	must(t, f.lab.RestoreHostKey(t.Context(), "rook"))
	r = f.run(t)
	r.want(t, 0)
	r.running(t, f, everyone...)
}

func TestBadNixOfSomeHosts(t *testing.T) {
	f := booted(t)
	f.change(t, everyone...)
	f.write(t, "hosts/malphas/default.nix", "{\n  web.version = \"1.1\"\n  web.port = 8080;\n}\n")
	f.write(t, "hosts/rook/default.nix", "{\n  web.port = 8080;\n\n  web.version = versoin;\n}\n")
	f.set(t, "heron", "faults.buildFails", "true")
	old := f.current(t, "heron")
	r := f.run(t)
	r.want(t, 1)
	r.says(t, "hosts/malphas/default.nix:3", "syntax error",
		"hosts/rook/default.nix:4", "undefined variable 'versoin'",
		"broken-package does not compile: faults.buildFails is set",
		"3 hosts failed", "1 host updated")
	r.ended(t, "malphas/eval", graph.StatusFailed)
	r.ended(t, "rook/eval", graph.StatusFailed)
	r.ended(t, "heron/build", graph.StatusFailed)
	r.ended(t, "heron/copy", graph.StatusBlocked)
	r.running(t, f, "wren")
	if now := f.current(t, "heron"); now != old {
		t.Errorf("heron runs %s", now)
	}
}

func TestFullDisk(t *testing.T) {
	f := booted(t)
	f.change(t, everyone...)
	f.payload(t, "heron", 50_000_000)
	must(t, f.lab.FillDisk(t.Context(), "heron"))
	old := f.current(t, "heron")
	r := f.run(t)
	r.want(t, 1)
	r.ended(t, "heron/copy", graph.StatusFailed)
	r.ended(t, "heron/activate", graph.StatusBlocked)
	r.says(t, "disk", "full", "Nothing was activated", "nix-collect-garbage", "3 hosts updated", "1 host failed")
	r.running(t, f, "malphas", "rook", "wren")
	if now := f.current(t, "heron"); now != old {
		t.Errorf("heron runs %s", now)
	}

	must(t, f.lab.FreeDisk(t.Context(), "heron"))
	r = f.run(t)
	r.want(t, 0)
	r.running(t, f, everyone...)
}

func TestBrokenService(t *testing.T) {
	f := booted(t)
	f.change(t, everyone...)
	f.set(t, "rook", "web.broken", "true")
	r := f.run(t)
	r.want(t, 1)
	r.says(t, "web.service", "journalctl -b -n 50 -u web.service", "3 hosts updated", "1 host failed")
	r.ended(t, "rook/activate", graph.StatusFailed)
	r.running(t, f, everyone...)

	r = f.run(t)
	r.want(t, 1)
	if n := len(r.started("activate")); n != 0 {
		t.Error(r.failure("%d activations of what runs already", n))
	}
	r.ended(t, "rook/health", graph.StatusFailed)
	r.says(t, "rook is not healthy", "web.service", "journalctl -b -n 50 -u web.service")

	f.set(t, "rook", "web.broken", "false")
	r = f.run(t)
	r.want(t, 0)
	r.running(t, f, everyone...)
	r.says(t, "1 host updated", "3 hosts unchanged")
}

func TestUnhealthyService(t *testing.T) {
	f := settled(t)
	f.replace(t, "hosts/rook/host.toml", `timeout = "10s"`, `timeout = "1s"`)
	f.set(t, "rook", "web.unhealthy", "true")
	for range 2 { // the second run touches nothing, and is no more content
		r := f.run(t)
		r.want(t, 1)
		r.ended(t, "rook/health", graph.StatusFailed)
		r.says(t, "rook is not healthy", ":8080/health", "500")
	}
}
