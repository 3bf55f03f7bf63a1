// Package privatestore gives Nix a store of its own below a folder, for the lab
// and for tests: whatever is built there, the machine's /nix is not touched.
//
//	env, err := privatestore.Make(ctx, dir)
//	cmd.Env = append(os.Environ(), env...) // nix eval, build and copy now use dir
//
// Paths are /nix/store/... all the same, so closures can be copied from there to
// a host. It needs Linux and root.
//
// Where user namespaces can be made, Nix itself does it: a store with a root
// and sandboxed builds. In a chroot the kernel forbids them (user_namespaces(7),
// EPERM). There, a wrapper of nix bind-mounts the store on /nix in a mount
// namespace of its own; /nix must exist for that, and Remove takes it away again.
package privatestore

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"roost/internal/command"
)

// lockPath is held, shared, by every nix that has something mounted on /nix. It
// stays until the machine reboots: to remove a lock that somebody may just be
// opening makes two of it.
const lockPath = "/run/roost-privatestore.lock"

const config = `experimental-features = nix-command flakes
build-users-group =
substituters =
`

// wrapper runs the real nix with the store on /nix. Without CAP_SYS_CHROOT:
// Nix 2.8 starts ssh in the mount namespace it was started in itself, by a
// setns(2) that would also leave the chroot. Forbidden, it goes on without.
const wrapper = `#!/bin/sh
mkdir -p /nix
unset NIX_REMOTE
exec flock -s %s unshare -m sh -c \
  'mount --bind "$0" /nix && exec setpriv --bounding-set=-sys_chroot -- "$@"' %s %s "$@"
`

// Make makes the store below dir, an absolute path of plain characters, and
// returns the environment in which nix uses it. It may be called again.
func Make(ctx context.Context, dir string) ([]string, error) {
	for _, sub := range []string{"nix", "home", "store/nix/store", "store/nix/var", "bin"} {
		if err := os.MkdirAll(filepath.Join(dir, sub), 0o755); err != nil {
			return nil, fmt.Errorf("make a private Nix store: %w", err)
		}
	}
	var err error
	if namespaces(ctx) {
		err = writeConfig(dir, "sandbox = true\nsandbox-paths = "+strings.Join(existing("/bin", "/usr", "/lib", "/lib64"), " ")+"\n")
	} else {
		err = makeWrapped(dir)
	}
	if err != nil {
		return nil, fmt.Errorf("make a private Nix store: %w", err)
	}
	return Env(dir), nil
}

func makeWrapped(dir string) error {
	return errors.Join(wrap(dir), writeConfig(dir, "sandbox = false\n"))
}

func writeConfig(dir, sandbox string) error {
	return os.WriteFile(filepath.Join(dir, "nix", "nix.conf"), []byte(config+sandbox), 0o644)
}

// Env is the environment that Make returned for dir.
func Env(dir string) []string {
	return []string{
		"NIX_REMOTE=local?root=" + filepath.Join(dir, "store"),
		"NIX_CONF_DIR=" + filepath.Join(dir, "nix"),
		"NIX_CONFIG=",
		"HOME=" + filepath.Join(dir, "home"),
		"XDG_CACHE_HOME=" + filepath.Join(dir, "home", ".cache"),
		"XDG_CONFIG_HOME=" + filepath.Join(dir, "home", ".config"),
		"PATH=" + filepath.Join(dir, "bin") + string(filepath.ListSeparator) + os.Getenv("PATH"),
	}
}

func wrap(dir string) error {
	for _, name := range []string{"nix", "nix-store", "nix-instantiate"} {
		real, err := lookPast(name, filepath.Join(dir, "bin"))
		if err != nil {
			return err
		}
		script := fmt.Sprintf(wrapper, lockPath, filepath.Join(dir, "store", "nix"), real)
		if err := os.WriteFile(filepath.Join(dir, "bin", name), []byte(script), 0o755); err != nil {
			return err
		}
	}
	return nil
}

// lookPast finds a program on PATH, but not in our own folder.
func lookPast(name, own string) (string, error) {
	for _, dir := range filepath.SplitList(os.Getenv("PATH")) {
		path := filepath.Join(dir, name)
		if _, err := exec.LookPath(path); err == nil && dir != own && !isWrapper(path) {
			return path, nil
		}
	}
	return "", fmt.Errorf("%s is not on PATH; install it: apt-get install nix-bin", name)
}

// isWrapper tells the wrapper of another private store, in whose environment we
// may run, from the real program.
func isWrapper(path string) bool {
	data, err := os.ReadFile(path)
	return err == nil && strings.HasPrefix(string(data), "#!/bin/sh\nmkdir -p /nix\n")
}

// namespaces says whether this process may make user namespaces.
func namespaces(ctx context.Context) bool {
	return command.Run(ctx, command.Cmd{Name: "unshare", Args: []string{"--user", "--map-root-user", "true"}}) == nil
}

func existing(paths ...string) []string {
	var there []string
	for _, p := range paths {
		if _, err := os.Stat(p); err == nil {
			there = append(there, p)
		}
	}
	return there
}

// Remove removes the store, and the empty /nix that a wrapper made, unless
// another private store uses it just now.
func Remove(dir string) error {
	return errors.Join(os.RemoveAll(filepath.Join(dir, "store")), removeMountPoint("/nix", lockPath))
}

// removeMountPoint removes an empty folder that nobody holds the lock for.
func removeMountPoint(path, lockPath string) error {
	lock, err := os.OpenFile(lockPath, os.O_RDWR, 0)
	if errors.Is(err, os.ErrNotExist) {
		return nil // no wrapper ever ran
	}
	if err != nil {
		return err
	}
	defer lock.Close()
	if unix.Flock(int(lock.Fd()), unix.LOCK_EX|unix.LOCK_NB) != nil {
		return nil
	}
	err = syscall.Rmdir(path)
	if err != nil && !errors.Is(err, os.ErrNotExist) && !errors.Is(err, syscall.ENOTEMPTY) {
		return fmt.Errorf("remove the empty %s: %w", path, err)
	}
	return nil
}
