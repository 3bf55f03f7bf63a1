package e2e

import (
	"encoding/json"
	"syscall"
	"testing"
	"time"

	"roost/graph"
)

func TestLinkCutInMidCopy(t *testing.T) {
	f := booted(t)
	f.change(t, everyone...)
	f.payload(t, "heron", 30_000_000)
	must(t, f.lab.Slow(t.Context(), "heron", 0, 20_000_000)) // 12 seconds of copying
	old := f.current(t, "heron")
	p := f.start(t)
	p.await(t, graph.TaskStarted, "heron/copy")
	time.Sleep(time.Second)
	must(t, f.lab.Cut(t.Context(), "heron"))
	r := p.wait(t)
	r.want(t, 1)
	r.ended(t, "heron/copy", graph.StatusFailed)
	r.ended(t, "heron/activate", graph.StatusBlocked)
	r.says(t, "Nothing was activated, and what has arrived is kept", "Run again")
	r.running(t, f, "malphas", "rook", "wren")
	if now := f.current(t, "heron"); now != old {
		t.Errorf("heron runs %s", now)
	}
	p.leftNothing(t)

	must(t, f.lab.Mend(t.Context(), "heron"))
	r = f.run(t)
	r.want(t, 0)
	r.running(t, f, everyone...)
}

func TestLinkLostInMidSwitch(t *testing.T) {
	for name, c := range map[string]struct {
		slow string // seconds that the switch takes
		lose func(t *testing.T, f *fleet)
	}{
		"cut for a while": {"6", func(t *testing.T, f *fleet) {
			must(t, f.lab.Cut(t.Context(), "heron"))
			time.Sleep(4 * time.Second)
			must(t, f.lab.Mend(t.Context(), "heron"))
		}},
		"sshd drops it": {"3", func(t *testing.T, f *fleet) {
			f.on(t, "heron", "pkill", "sshd-session")
		}},
	} {
		t.Run(name, func(t *testing.T) {
			f := settled(t)
			f.change(t, "heron")
			f.set(t, "heron", "faults.slowSwitch", c.slow)
			p := f.start(t)
			p.await(t, graph.TaskStarted, "heron/activate")
			time.Sleep(time.Second)
			c.lose(t, f)
			r := p.wait(t)
			r.want(t, 0)
			r.says(t, "1 host updated")
			r.ended(t, "heron/activate", graph.StatusRan)
			r.running(t, f, everyone...)
			if n := f.switches(t, "heron", r.system(t, "heron")); n != 1 {
				t.Error(r.failure("%d activations, want 1", n))
			}
		})
	}
}

// The host ends its switch alone, and the next run finds it done.
func TestHostEndsItsSwitchAlone(t *testing.T) {
	f := settled(t)
	f.change(t, "heron")
	f.set(t, "heron", "faults.slowSwitch", "3")
	p := f.start(t)
	p.await(t, graph.TaskStarted, "heron/activate")
	system := p.system(t, "heron")
	eventually(t, "heron switches", func() bool { return f.switches(t, "heron", system) == 1 })
	must(t, f.lab.Cut(t.Context(), "heron"))
	p.signal(t, syscall.SIGKILL)
	p.wait(t)
	if f.current(t, "heron") == system {
		t.Fatal("heron was too quick: nothing is tested")
	}
	eventually(t, "heron ends its switch", func() bool {
		left, err := f.lab.Exec(t.Context(), "heron", "systemctl", "list-units", "--all", "--plain", "--no-legend", "nixos-rebuild-switch-to-configuration.service")
		return err == nil && len(left) == 0 && f.current(t, "heron") == system
	})
	must(t, f.lab.Mend(t.Context(), "heron"))

	r := f.run(t)
	r.want(t, 0)
	r.says(t, "was cut off", "0 effects applied", "4 hosts unchanged")
	if n := f.switches(t, "heron", system); n != 1 {
		t.Error(r.failure("%d activations, want 1", n))
	}
}

func TestRebootComesBackInTheNewSystem(t *testing.T) {
	f := settled(t)
	version := f.change(t, "malphas")
	r := f.run(t)
	r.want(t, 0)
	f.reboot(t, "malphas")
	r.running(t, f, "malphas")
	if got := f.version(t, "malphas"); got != version {
		t.Errorf("after the reboot the web server answers %q, want %q", got, version)
	}
	f.run(t).didNothing(t)
}

func TestSwitchInhibitors(t *testing.T) {
	f := settled(t)
	old := f.current(t, "malphas")
	f.set(t, "malphas", "dbus.implementation", `"broker"`)
	t.Cleanup(func() { // the way back is inhibited as well
		f.restoreFiles(t)
		f.run(t).want(t, 0)
		f.reboot(t, "malphas")
	})
	r := f.run(t)
	r.want(t, 0)
	r.says(t, "reboot needed")
	var did struct {
		RebootNeeded bool `json:"reboot_needed"`
	}
	for _, e := range r.events {
		if e.Kind == graph.TaskFinished && e.Task == "malphas/activate" {
			must(t, json.Unmarshal(e.Result, &did))
		}
	}
	if !did.RebootNeeded {
		t.Error(r.failure("its result does not say that a reboot is needed"))
	}
	next := r.system(t, "malphas")
	if now, boots := f.current(t, "malphas"), f.profile(t, "malphas"); now != old || boots != next {
		t.Error(r.failure("it runs %s and boots %s, want %s and %s", now, boots, old, next))
	}

	r = f.run(t)
	r.didNothing(t)
	r.says(t, "reboot needed")
	f.reboot(t, "malphas")
	r.running(t, f, "malphas")
	f.run(t).didNothing(t)
}
