package system

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"roost/hosts"
	"roost/internal/testneed"
)

var stageFiles = []string{
	".git/config", "README.md", "flake.lock", "flake.nix",
	"hosts/malphas/default.nix", "hosts/malphas/host.toml", "hosts/malphas2/host.toml", "hosts/rook/host.toml",
	"modules/common/ssh.nix", "modules/lib/default.nix",
	"modules/opt-in/desktop/plasma.nix", "modules/opt-in/desktop/plasma/extra.nix",
	"modules/opt-in/desktop/plasma2.nix", "modules/opt-in/web/default.nix", "modules/opt-in/web/server.pl",
	"secrets/plain.txt",
}

func writeTree(t *testing.T, files []string) string {
	t.Helper()
	dir := t.TempDir()
	for _, file := range files {
		path := filepath.Join(dir, file)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(file), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestStage(t *testing.T) {
	tree := &Tree{Dir: "/fleet", Files: stageFiles}
	host := &hosts.Host{Name: "malphas", Modules: []string{"desktop/plasma", "web"}}
	want := []string{
		"flake.lock", "flake.nix", "hosts/malphas/default.nix", "hosts/malphas/host.toml",
		"modules/common/ssh.nix", "modules/lib/default.nix",
		"modules/opt-in/desktop/plasma.nix", "modules/opt-in/desktop/plasma/extra.nix",
		"modules/opt-in/web/default.nix", "modules/opt-in/web/server.pl",
	}
	if diff := cmp.Diff(want, tree.Stage(host)); diff != "" {
		t.Error(diff)
	}
}

func TestReadTree(t *testing.T) {
	dir := writeTree(t, []string{"flake.nix", "hosts/malphas/host.toml"})
	tree, err := ReadTree(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"flake.nix", "hosts/malphas/host.toml"}, tree.Files); diff != "" {
		t.Error(diff)
	}
}

// Nix sees of a git checkout what git tracks, with the changes in the tree.
func TestReadTreeOfGit(t *testing.T) {
	testneed.Tool(t, "git")
	dir := writeTree(t, []string{"flake.nix", "hosts/malphas/host.toml", "hosts/malphas/gone.nix"})
	for _, args := range [][]string{{"init", "-q"}, {"add", "."}} {
		if out, err := exec.Command("git", append([]string{"-C", dir}, args...)...).CombinedOutput(); err != nil {
			t.Fatalf("%s", out)
		}
	}
	for _, file := range []string{"hosts/malphas/new.nix", "notes.txt"} {
		if err := os.WriteFile(filepath.Join(dir, file), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Remove(filepath.Join(dir, "hosts/malphas/gone.nix")); err != nil {
		t.Fatal(err)
	}
	tree, err := ReadTree(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"flake.nix", "hosts/malphas/gone.nix", "hosts/malphas/host.toml"}, tree.Files); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]string{"hosts/malphas/new.nix"}, tree.Untracked); diff != "" {
		t.Error(diff)
	}
	stage := t.TempDir()
	if err := tree.copyStage(tree.Stage(&hosts.Host{Name: "malphas"}), stage); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(stage, "hosts/malphas/gone.nix")); !os.IsNotExist(err) {
		t.Errorf("a deleted file is in the stage: %v", err)
	}
}

// A file that git does not track may be a secret: it must not get into the
// world-readable store because the fleet is a folder of a larger checkout.
func TestReadTreeOfAFolderOfGit(t *testing.T) {
	testneed.Tool(t, "git")
	dir := writeTree(t, []string{"fleet/flake.nix", "fleet/hosts/malphas/host.toml", "other/flake.nix"})
	for _, args := range [][]string{{"init", "-q"}, {"add", "fleet"}} {
		if out, err := exec.Command("git", append([]string{"-C", dir}, args...)...).CombinedOutput(); err != nil {
			t.Fatalf("%s", out)
		}
	}
	if err := os.WriteFile(filepath.Join(dir, "fleet/hosts/malphas/key"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for folder, want := range map[string]Tree{
		"fleet": {Files: []string{"flake.nix", "hosts/malphas/host.toml"}, Untracked: []string{"hosts/malphas/key"}},
		"other": {Files: []string{"flake.nix"}}, // git knows nothing of it
	} {
		want.Dir = filepath.Join(dir, folder)
		tree, err := ReadTree(t.Context(), want.Dir)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(&want, tree, cmpopts.EquateEmpty()); diff != "" {
			t.Errorf("%s: %s", folder, diff)
		}
	}
}

func TestCopyStageKeepsWhatNixSees(t *testing.T) {
	dir := writeTree(t, []string{"modules/common/run.sh", "modules/common/plain.nix"})
	if err := os.Chmod(filepath.Join(dir, "modules/common/run.sh"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("plain.nix", filepath.Join(dir, "modules/common/link.nix")); err != nil {
		t.Fatal(err)
	}
	tree, err := ReadTree(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	stage := t.TempDir()
	if err := tree.copyStage(tree.Files, stage); err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(filepath.Join(stage, "modules/common/run.sh")); err != nil || info.Mode()&0o100 == 0 {
		t.Errorf("run.sh: %v %v", info, err)
	}
	if link, err := os.Readlink(filepath.Join(stage, "modules/common/link.nix")); err != nil || link != "plain.nix" {
		t.Errorf("link.nix: %q %v", link, err)
	}
}
