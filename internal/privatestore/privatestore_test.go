package privatestore_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

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
			_, errBefore := os.Stat("/nix")
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
			if _, err := os.Stat("/nix"); os.IsNotExist(errBefore) != os.IsNotExist(err) {
				t.Errorf("/nix before: %v, after: %v", errBefore, err)
			}
		})
	}
}
