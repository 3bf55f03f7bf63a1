package privatestore_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"roost/internal/privatestore"
	"roost/internal/testneed"
)

const flake = `{ outputs = _: {
  a = derivation { name = "a"; system = builtins.currentSystem or "x86_64-linux"; builder = "/bin/sh";
    args = [ "-c" "PATH=/bin:/usr/bin; echo hello > $out" ]; };
}; }`

// Both ways must build the same path; in a chroot only the second one can.
func TestBuild(t *testing.T) {
	testneed.Root(t)
	testneed.Tool(t, "nix", "unshare", "flock")
	for _, way := range []string{"as the machine allows", "wrapped"} {
		t.Run(way, func(t *testing.T) {
			dir := t.TempDir()
			env, err := privatestore.Make(t.Context(), dir)
			if err != nil {
				t.Fatal(err)
			}
			if way == "wrapped" {
				if err := privatestore.Wrap(dir); err != nil {
					t.Fatal(err)
				}
			}
			src := t.TempDir()
			if err := os.WriteFile(filepath.Join(src, "flake.nix"), []byte(flake), 0o644); err != nil {
				t.Fatal(err)
			}
			// A shell finds nix on the PATH of the new environment, as roost does.
			cmd := exec.CommandContext(t.Context(), "sh", "-c", `nix build --no-link --json "path:$1#a"`, "sh", src)
			cmd.Env = append(os.Environ(), env...)
			out, err := cmd.Output()
			if err != nil {
				t.Fatalf("%v\n%s", err, err.(*exec.ExitError).Stderr)
			}
			_, rest, _ := strings.Cut(string(out), `"out":"`)
			path, _, _ := strings.Cut(rest, `"`)
			data, err := os.ReadFile(filepath.Join(dir, "store", path))
			if err != nil || string(data) != "hello\n" {
				t.Errorf("%s: %q %v", path, data, err)
			}
			if err := privatestore.Remove(dir); err != nil {
				t.Error(err)
			}
		})
	}
}

// The mount point goes when it is empty and nobody uses it.
func TestRemoveMountPoint(t *testing.T) {
	for _, test := range []struct {
		name               string
		used, full, locked bool
		gone               bool
	}{
		{name: "empty", used: true, gone: true},
		{name: "no wrapper ever ran"},
		{name: "a Nix store of the machine", used: true, full: true},
		{name: "another store is at work", used: true, locked: true},
	} {
		t.Run(test.name, func(t *testing.T) {
			point, lockPath := filepath.Join(t.TempDir(), "nix"), filepath.Join(t.TempDir(), "lock")
			if err := os.Mkdir(point, 0o755); err != nil {
				t.Fatal(err)
			}
			if test.full {
				if err := os.Mkdir(filepath.Join(point, "store"), 0o755); err != nil {
					t.Fatal(err)
				}
			}
			if test.used {
				lock, err := os.Create(lockPath)
				if err != nil {
					t.Fatal(err)
				}
				defer lock.Close()
				if test.locked {
					if err := unix.Flock(int(lock.Fd()), unix.LOCK_SH); err != nil {
						t.Fatal(err)
					}
				}
			}
			if err := privatestore.RemoveMountPoint(point, lockPath); err != nil {
				t.Fatal(err)
			}
			if _, err := os.Stat(point); os.IsNotExist(err) != test.gone {
				t.Errorf("gone: %v, want %v", os.IsNotExist(err), test.gone)
			}
		})
	}
}
