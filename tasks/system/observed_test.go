package system

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const (
	oldSystem = "/nix/store/aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa-nixos-system-malphas-1.0"
	newSystem = "/nix/store/bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb-nixos-system-malphas-1.1"
)

func TestParseObserved(t *testing.T) {
	const end = "end\n"
	tests := []struct {
		name, text string
		want       Observed
		wrong      string
	}{
		{"blank host", "boot_id 1-2\nmachine x86_64\nswitching inactive\n" + end,
			Observed{BootID: "1-2", Machine: "x86_64"}, ""},
		{"deployed", "current " + oldSystem + "\nbooted " + oldSystem + "\nprofile " + newSystem +
			"\ngeneration system-42-link\nlabel 26.05 (Yarara)\nlast 4 switch " + oldSystem + " web.service db.service\n" +
			"switching activating\nfailed web.service\nfailed a.mount\nunit web.service failed\nmachine aarch64\n" + end,
			Observed{
				Current: oldSystem, Booted: oldSystem, Profile: newSystem, Generation: 42, Label: "26.05 (Yarara)",
				Machine: "aarch64", Switching: true, Failed: []string{"a.mount", "web.service"},
				Units: map[string]string{"web.service": "failed"},
				Last:  &Switched{Code: 4, Action: "switch", System: oldSystem, Failed: []string{"web.service", "db.service"}},
			}, ""},
		{"unknown words are of a later version", "colour blue\nmachine x86_64\n" + end, Observed{Machine: "x86_64"}, ""},
		{"cut", "current " + oldSystem + "\n", Observed{}, "its answer ends early"},
		{"empty", "", Observed{}, "its answer ends early"},
		{"damaged note", "last x switch /nix/store/y\n" + end, Observed{}, "the note of the last activation is damaged"},
		{"short note", "last 0\n" + end, Observed{}, "the note of the last activation is damaged"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got, err := parseObserved(test.text)
			if test.wrong != "" {
				if err == nil || !strings.Contains(err.Error(), test.wrong) {
					t.Errorf("got %v, want %q", err, test.wrong)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func FuzzParseObserved(f *testing.F) {
	f.Add("current /nix/store/x\nlast 0 switch /nix/store/x\nend\n")
	f.Fuzz(func(t *testing.T, text string) {
		o, err := parseObserved(text)
		if err == nil && !strings.Contains(text, "end") {
			t.Errorf("took half an answer for a whole one: %+v", o)
		}
	})
}

func TestGeneration(t *testing.T) {
	for link, want := range map[string]int{
		"system-42-link": 42, "/nix/var/nix/profiles/system-7-link": 7, "": 0, "system": 0, "system-x-link": 0,
	} {
		if got := generation(link); got != want {
			t.Errorf("generation(%q) = %d, want %d", link, got, want)
		}
	}
}

func TestCompare(t *testing.T) {
	before := Observed{Current: oldSystem, Label: "1.0"}
	boot := &Switched{Action: "boot", System: newSystem}
	tests := []struct {
		name   string
		now    Observed
		done   bool
		reboot bool
		reason string
	}{
		{"blank", Observed{}, false, false, "it runs no NixOS system yet"},
		{"old", Observed{Current: oldSystem, Profile: oldSystem}, false, false,
			"it runs aaaaaaaa-nixos-system-malphas-1.0, not bbbbbbbb-nixos-system-malphas-1.1"},
		{"new", Observed{Current: newSystem, Profile: newSystem}, true, false, "it runs and boots this system"},
		{"tested only", Observed{Current: newSystem, Profile: oldSystem}, false, false,
			"it runs this system, but would boot aaaaaaaa-nixos-system-malphas-1.0"},
		{"no profile", Observed{Current: newSystem}, false, false,
			"it runs this system, but has no system profile: it would not boot it"},
		{"profile only, cut off before the switch", Observed{Current: oldSystem, Profile: newSystem}, false, false,
			"it runs aaaaaaaa-nixos-system-malphas-1.0, not bbbbbbbb-nixos-system-malphas-1.1"},
		{"waits for a reboot", Observed{Current: oldSystem, Profile: newSystem, Last: boot}, true, true,
			"it boots this system; a reboot is needed"},
		{"waited for a reboot into another", Observed{Current: oldSystem, Profile: oldSystem, Last: boot}, false, false,
			"it runs aaaaaaaa-nixos-system-malphas-1.0, not bbbbbbbb-nixos-system-malphas-1.1"},
		{"switching", Observed{Current: newSystem, Profile: newSystem, Switching: true}, false, false,
			"an activation is at work on it"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got := compare(newSystem, before, test.now)
			if got.Done != test.done || got.Value.RebootNeeded != test.reboot || got.Reason != test.reason {
				t.Errorf("done %v, reboot %v, reason %q", got.Done, got.Value.RebootNeeded, got.Reason)
			}
			if got.Value.From != oldSystem || got.Value.To != newSystem {
				t.Errorf("from %s to %s", got.Value.From, got.Value.To)
			}
		})
	}
}

func TestChanges(t *testing.T) {
	log := `activating the configuration...
stopping the following units: old.service
restarting the following units: web.service, sshd.service
would restart the following units: no.service
the following new units were started: backup.timer
`
	want := []string{"stopped old.service", "restarted web.service, sshd.service", "started backup.timer"}
	if diff := cmp.Diff(want, changes(log)); diff != "" {
		t.Error(diff)
	}
}

func TestLeftOver(t *testing.T) {
	last := &Switched{Code: 4, Action: "switch", System: newSystem, Failed: []string{"web.service", "db.service"}}
	tests := []struct {
		name string
		o    Observed
		want string
	}{
		{"nothing was activated since boot", Observed{Current: newSystem, Failed: []string{"web.service"}}, ""},
		{"still failed", Observed{Current: newSystem, Last: last, Failed: []string{"other.mount", "web.service"}},
			"failed since the last activation: web.service"},
		{"mended", Observed{Current: newSystem, Last: last, Failed: []string{"other.mount"}}, ""},
		{"another system runs now", Observed{Current: oldSystem, Last: last, Failed: []string{"web.service"}}, ""},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got := leftOver(test.o)
			if got == nil && test.want != "" || got != nil && got.Detail != test.want {
				t.Errorf("got %+v, want %q", got, test.want)
			}
		})
	}
}
