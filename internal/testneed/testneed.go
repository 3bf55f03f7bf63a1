// Package testneed lets a test say what it needs of the machine.
//
//	testneed.Root(t)
//	testneed.Tool(t, "nix")
//
// What is missing skips the test with its reason. Where ROOST_REQUIRE=all is
// set, as `mage test` and CI do, it fails the test: a skip must not hide there.
package testneed

import (
	"os"
	"os/exec"
	"strings"
	"testing"

	"roost/internal/privatestore"
)

// Tool needs each named program on PATH.
func Tool(t testing.TB, names ...string) {
	t.Helper()
	for _, name := range names {
		if _, err := exec.LookPath(name); err != nil {
			missing(t, "needs the program "+name+" on PATH")
		}
	}
}

// Root needs the test to run as root.
func Root(t testing.TB) {
	t.Helper()
	if os.Geteuid() != 0 {
		missing(t, "needs root")
	}
}

// NixStore needs real Nix, and gives the test a store of its own: nix in this
// process's environment works in it until the test ends. A store path is found
// below the returned folder.
func NixStore(t *testing.T) (root string) {
	t.Helper()
	Root(t)
	Tool(t, "nix", "unshare", "flock")
	dir := t.TempDir()
	env, err := privatestore.Make(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := privatestore.Remove(dir); err != nil {
			t.Error(err)
		}
	})
	for _, kv := range env {
		key, value, _ := strings.Cut(kv, "=")
		t.Setenv(key, value)
	}
	return dir + "/store"
}

// Lab needs the booted hosts of package lab: it is for tests too heavy to run
// where nobody asked for them, so it wants ROOST_REQUIRE=all or ROOST_LAB=1.
func Lab(t testing.TB) {
	t.Helper()
	if os.Getenv("ROOST_LAB") == "" && !all() {
		t.Skip("boots the lab: set ROOST_LAB=1, or run `go tool mage test`")
	}
	Root(t)
	Tool(t, "debootstrap", "systemd-nspawn", "ip", "ssh", "nix")
}

func all() bool { return os.Getenv("ROOST_REQUIRE") == "all" }

func missing(t testing.TB, why string) {
	t.Helper()
	if all() {
		t.Fatal(why + " (ROOST_REQUIRE=all)")
	}
	t.Skip(why)
}
