package system

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"roost/hosts"
	"roost/internal/command"
)

// Tree is the list of a fleet's files that an evaluation may see.
type Tree struct {
	Dir   string
	Files []string // relative, with slashes, sorted
	// Untracked are files below hosts/ and modules/ that git does not track:
	// Nix does not see them, and neither do we.
	Untracked []string
}

// ReadTree lists the fleet in dir: what git tracks, as Nix does, or every file
// where it is no git checkout, nor a folder of one that git knows.
func ReadTree(ctx context.Context, dir string) (*Tree, error) {
	t := &Tree{Dir: dir}
	root := checkout(dir)
	if root == "" {
		return t, t.walk()
	}
	var err error
	if t.Files, err = git(ctx, dir, "ls-files", "-z", "--cached"); err != nil {
		return nil, err
	}
	if len(t.Files) == 0 && root != dir { // such as a fleet below a home that is kept in git
		return t, t.walk()
	}
	t.Untracked, err = git(ctx, dir, "ls-files", "-z", "--others", "--exclude-standard", "--", "hosts", "modules", "flake.nix")
	return t, err
}

// checkout is the git checkout that dir is in; "" if it is in none.
func checkout(dir string) string {
	for ; ; dir = filepath.Dir(dir) {
		if _, err := os.Stat(filepath.Join(dir, ".git")); err == nil {
			return dir
		}
		if dir == filepath.Dir(dir) {
			return ""
		}
	}
}

func git(ctx context.Context, dir string, args ...string) ([]string, error) {
	out, err := command.Output(ctx, command.Cmd{Name: "git", Args: append([]string{"-C", dir}, args...)})
	if err != nil {
		return nil, fmt.Errorf("list the fleet's files: %w", err)
	}
	files := strings.Split(strings.TrimSuffix(string(out), "\x00"), "\x00")
	files = slices.DeleteFunc(files, func(f string) bool { return f == "" })
	slices.Sort(files)
	return slices.Compact(files), nil
}

func (t *Tree) walk() error {
	err := filepath.WalkDir(t.Dir, func(p string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(t.Dir, p)
		if err != nil {
			return err
		}
		if e.IsDir() {
			return nil
		}
		t.Files = append(t.Files, filepath.ToSlash(rel))
		return nil
	})
	if err != nil {
		return fmt.Errorf("list the fleet's files: %w", err)
	}
	slices.Sort(t.Files)
	return nil
}

// Stage is the part of the tree that one host may read: the flake, the modules
// but for the opt-ins it does not subscribe to, and its own folder. It is
// evaluated in a copy that holds nothing else, so a hash of these files is a
// sound key for the result: what is not staged cannot be read.
func (t *Tree) Stage(host *hosts.Host) []string {
	var stage []string
	for _, file := range t.Files {
		if mayRead(host, file) {
			stage = append(stage, file)
		}
	}
	return stage
}

func mayRead(host *hosts.Host, file string) bool {
	switch top, rest, _ := strings.Cut(file, "/"); top {
	case "flake.nix", "flake.lock":
		return true
	case "hosts":
		return strings.HasPrefix(rest, host.Name+"/")
	case "modules":
		optIn, is := strings.CutPrefix(rest, "opt-in/")
		return !is || slices.ContainsFunc(host.Modules, func(module string) bool {
			return optIn == module+".nix" || strings.HasPrefix(optIn, module+"/")
		})
	}
	return false
}

// copyStage makes the stage of a host in dir, an empty folder.
func (t *Tree) copyStage(stage []string, dir string) error {
	for _, file := range stage {
		if err := copyFile(filepath.Join(t.Dir, filepath.FromSlash(file)), filepath.Join(dir, filepath.FromSlash(file))); err != nil {
			return fmt.Errorf("stage %s: %w", path.Join(t.Dir, file), err)
		}
	}
	return nil
}

// copyFile copies a file or a symlink. Nix takes over nothing of a file but its
// content and whether it is executable.
func copyFile(from, to string) error {
	info, err := os.Lstat(from)
	if errors.Is(err, fs.ErrNotExist) {
		return nil // tracked, but deleted in the working tree: Nix does not see it
	}
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(to), 0o700); err != nil {
		return err
	}
	if info.Mode()&fs.ModeSymlink != 0 {
		link, err := os.Readlink(from)
		if err != nil {
			return err
		}
		return os.Symlink(link, to)
	}
	data, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	return os.WriteFile(to, data, 0o600|info.Mode().Perm()&0o100)
}
