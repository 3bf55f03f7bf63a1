// Package fleet_test checks the lab's fleet with real Nix, in a store of its own.
// Nothing is booted here: package lab does that.
package fleet_test

import (
	"encoding/json"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"roost/hosts"
	"roost/internal/testneed"
)

// Every host comes out the same from the whole fleet and from a copy that holds
// only what it may read.
func TestStageGivesTheSameDerivation(t *testing.T) {
	nix := newNix(t)
	fleet, err := hosts.Load(".")
	if err != nil {
		t.Fatal(err)
	}
	if want := []string{"heron", "malphas", "rook", "wren"}; !slices.Equal(fleet.Names(), want) {
		t.Fatalf("hosts are %q, want %q", fleet.Names(), want)
	}
	whole := copyFleet(t, func(string) bool { return true })
	for _, name := range fleet.Names() {
		t.Run(name, func(t *testing.T) {
			host, err := fleet.Host(name)
			if err != nil {
				t.Fatal(err)
			}
			staged := copyFleet(t, func(file string) bool { return mayRead(host, file) })
			if got, want := nix.drvPath(staged, name), nix.drvPath(whole, name); got != want {
				t.Errorf("drvPath is %s from the stage, %s from the whole fleet", got, want)
			}
		})
	}
}

func TestToplevelHasTheShapeOfNixOS(t *testing.T) {
	nix := newNix(t)
	root := nix.build(copyFleet(t, func(string) bool { return true }), "rook")

	contents := map[string]string{}
	for _, name := range []string{"system", "nixos-version", "switch-inhibitors"} {
		text, err := os.ReadFile(filepath.Join(root, name))
		if err != nil {
			t.Fatal(err)
		}
		contents[name] = string(text)
	}
	want := map[string]string{
		"system":            "x86_64-linux",
		"nixos-version":     "26.05.lab",
		"switch-inhibitors": "dbus dbus-daemon\n",
	}
	if diff := cmp.Diff(want, contents); diff != "" {
		t.Errorf("files of the toplevel (-want +got):\n%s", diff)
	}
	for _, name := range []string{"init", "activate", "bin/switch-to-configuration"} {
		if info, err := os.Stat(filepath.Join(root, name)); err != nil || info.Mode()&0o111 == 0 {
			t.Errorf("%s is not executable: %v, %v", name, info, err)
		}
	}
	unit, err := os.ReadFile(filepath.Join(root, "etc/systemd/system/web.service"))
	if err != nil || !strings.Contains(string(unit), `"8080" "1.0" "ok" "Hello from rook."`) {
		t.Errorf("web.service does not run the server as configured: %v\n%s", err, unit)
	}
	wants := "etc/systemd/system/multi-user.target.wants/web.service"
	if to, err := os.Readlink(filepath.Join(root, wants)); err != nil || to != "../web.service" {
		t.Errorf("%s links to %q, %v", wants, to, err)
	}
}

// A reboot is needed when the kernel changes, and only then. The links are what
// is compared on a host, so they must not change with the rest of the system.
func TestKernelLinksChangeWithTheKernelOnly(t *testing.T) {
	nix := newNix(t)
	links := func(from, to string) map[string]string {
		fleet := copyFleet(t, func(string) bool { return true })
		edit(t, filepath.Join(fleet, "hosts/rook/default.nix"), from, to)
		root := nix.build(fleet, "rook")
		found := map[string]string{}
		for _, name := range []string{"kernel", "initrd", "kernel-modules"} {
			link, err := os.Readlink(filepath.Join(root, name))
			if err != nil {
				t.Fatal(err)
			}
			found[name] = link
		}
		return found
	}
	before := links(`"1.0"`, `"1.0"`)
	if diff := cmp.Diff(before, links(`"1.0"`, `"1.1"`)); diff != "" {
		t.Errorf("a new web server changed the kernel (-before +after):\n%s", diff)
	}
	after := links(`web.version = "1.0";`, `boot.kernelVersion = "6.12.31";`)
	for name := range before {
		if before[name] == after[name] {
			t.Errorf("%s is %s with another kernelVersion, too", name, after[name])
		}
	}
}

// A mistake in a host's files is told with its file and its name.
func TestMistakesAreTold(t *testing.T) {
	nix := newNix(t)
	for name, test := range map[string]struct{ file, from, to, want string }{
		"unknown option": {
			"hosts/rook/default.nix", "web.port", "web.prot",
			"hosts/rook/default.nix: there is no option web.prot; known here: broken, greeting, port, unhealthy, version",
		},
		"wrong type": {
			"hosts/rook/default.nix", "8080", `"8080"`,
			"hosts/rook/default.nix: web.port must be of type int, like its default 8080",
		},
		"set twice": {
			"hosts/rook/default.nix", "web.port = 8080;", `etc."motd".text = "mine";`,
			"etc.motd.text is set differently in modules/common/base.nix and hosts/rook/default.nix",
		},
		"declared twice": {
			"hosts/rook/default.nix", "web.port = 8080;", "options.web.port = 80;",
			"option web.port is declared in modules/opt-in/web/default.nix and hosts/rook/default.nix: declare it once",
		},
		"not subscribed": {
			"hosts/rook/host.toml", `, "web"`, "",
			"hosts/rook/default.nix: there is no option web; known here:",
		},
		"no such module": {
			"hosts/rook/host.toml", `"web"`, `"wbe"`,
			`hosts/rook/host.toml: subscribes to the module "wbe", but there is neither modules/opt-in/wbe.nix nor modules/opt-in/wbe/default.nix`,
		},
		"a build that fails": {
			"hosts/rook/default.nix", "web.port = 8080;", "faults.buildFails = true;",
			"broken-package does not compile: faults.buildFails is set",
		},
	} {
		t.Run(name, func(t *testing.T) {
			fleet := copyFleet(t, func(string) bool { return true })
			edit(t, filepath.Join(fleet, test.file), test.from, test.to)
			output, err := nix.command("build", "--no-link", toplevel(fleet, "rook")).CombinedOutput()
			if err == nil || !strings.Contains(string(output), test.want) {
				t.Errorf("nix build: %v, want an error with %q:\n%s", err, test.want, output)
			}
		})
	}
}

// mayRead says whether a host may read a file of the fleet.
func mayRead(host *hosts.Host, file string) bool {
	if name, isOptIn := strings.CutPrefix(file, "modules/opt-in/"); isOptIn {
		return slices.ContainsFunc(host.Modules, func(module string) bool {
			return name == module+".nix" || strings.HasPrefix(name, module+"/")
		})
	}
	return file == "flake.nix" || file == "flake.lock" || strings.HasPrefix(file, "modules/") ||
		strings.HasPrefix(file, "hosts/"+host.Name+"/")
}

// copyFleet copies the files that keep says yes to, and returns the new folder.
func copyFleet(t *testing.T, keep func(file string) bool) string {
	t.Helper()
	dir := t.TempDir()
	err := fs.WalkDir(os.DirFS("."), ".", func(file string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || !keep(file) {
			return err
		}
		text, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		if err := os.MkdirAll(filepath.Join(dir, filepath.Dir(file)), 0o700); err != nil {
			return err
		}
		return os.WriteFile(filepath.Join(dir, file), text, 0o600)
	})
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

func edit(t *testing.T, file, from, to string) {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(text), from) {
		t.Fatalf("%s does not contain %q", file, from)
	}
	if err := os.WriteFile(file, []byte(strings.Replace(string(text), from, to, 1)), 0o600); err != nil {
		t.Fatal(err)
	}
}

func toplevel(fleet, host string) string {
	return "path:" + fleet + "#nixosConfigurations." + host + ".config.system.build.toplevel"
}

// nix runs Nix with a store of the test's own, whose paths are those of hosts.
type nix struct {
	t    *testing.T
	root string // what /nix is in
}

func newNix(t *testing.T) nix {
	t.Helper()
	return nix{t: t, root: testneed.NixStore(t)}
}

func (n nix) command(args ...string) *exec.Cmd {
	return exec.CommandContext(n.t.Context(), "nix", args...)
}

func (n nix) output(args ...string) string {
	n.t.Helper()
	var stderr strings.Builder
	cmd := n.command(args...)
	cmd.Stderr = &stderr
	output, err := cmd.Output()
	if err != nil {
		n.t.Fatalf("nix %s: %v\n%s", strings.Join(args, " "), err, stderr.String())
	}
	return string(output)
}

func (n nix) drvPath(fleet, host string) string {
	n.t.Helper()
	return n.output("eval", "--raw", toplevel(fleet, host)+".drvPath")
}

// build builds a host and returns the folder that its toplevel is in.
func (n nix) build(fleet, host string) string {
	n.t.Helper()
	var built []struct{ Outputs map[string]string }
	text := n.output("build", "--json", "--no-link", toplevel(fleet, host))
	if err := json.Unmarshal([]byte(text), &built); err != nil || len(built) != 1 {
		n.t.Fatalf("nix build printed %q: %v", text, err)
	}
	return filepath.Join(n.root, built[0].Outputs["out"])
}
