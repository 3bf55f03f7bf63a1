// Package lab is a real fleet on one Linux machine: Debian hosts booted with
// systemd in containers, each with its own network namespace, address, disk,
// sshd and Nix. The demo, `mage lab:up` and the end-to-end tests work on it.
//
//	l, err := lab.Open(dir)
//	err = l.Up(ctx, "lab/fleet", os.Stdout)   // boots one host per hosts/*/host.toml
//	cmd.Env = append(os.Environ(), l.Env()...) // roost and nix now work on the lab
//	err = l.Down(ctx, os.Stdout)               // leaves nothing behind
//
// A program that uses the package calls MaybeSupervise first thing: hosts are
// kept running by the same executable, started again in a hidden mode.
//
// All state of a lab is in its folder. Labs with different folders do not
// disturb each other. The methods may be called from several goroutines and
// processes: those that change something take the folder's lock and wait.
package lab

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"

	"github.com/google/renameio/v2"

	"roost/internal/privatestore"
)

// ErrNotReady is wrapped by what Ready, Up and Open say when this machine or
// user cannot run a lab. Nothing was done then.
var ErrNotReady = errors.New("the lab cannot run here")

// A Lab is one fleet on this machine. Make it with Open.
type Lab struct {
	Dir      string // state folder
	ImageDir string // cache of base images; the caller may change it before Up
	Parallel int    // hosts booted at once
}

var goodPath = regexp.MustCompile(`^/[A-Za-z0-9/_.@+-]*$`)

// Open names the lab in dir, which need not exist yet. Nothing is changed.
func Open(dir string) (*Lab, error) {
	abs, err := filepath.Abs(dir)
	if err != nil {
		return nil, fmt.Errorf("lab folder %s: %w", dir, err)
	}
	// The path goes into mount options, ssh_config and NIX_SSHOPTS, which have
	// no common way of quoting.
	if !goodPath.MatchString(abs) {
		return nil, fmt.Errorf("%w: lab folder %q: only letters, digits and / _ . @ + - may be in its path", ErrNotReady, abs)
	}
	l := &Lab{Dir: abs, ImageDir: DefaultImageDir(), Parallel: 8}
	entries, err := os.ReadDir(abs)
	if errors.Is(err, fs.ErrNotExist) {
		return l, nil
	}
	if err != nil {
		return nil, fmt.Errorf("lab folder: %w", err)
	}
	for _, e := range entries {
		if !isOurs(e.Name()) {
			return nil, fmt.Errorf("%w: %s holds %s, which is no part of a lab: choose an empty folder", ErrNotReady, abs, e.Name())
		}
	}
	return l, nil
}

// What a lab's folder may hold; logs stay after Down, all else goes.
var contents = []string{"logs", "fleet", "state", "store", "nix", "bin", "home", "hosts",
	"ssh_config", "known_hosts", "client_key", "client_key.pub", "lab.json", "journal", "lock"}

// isOurs also knows the halves of files that a killed process was writing.
func isOurs(name string) bool {
	return slices.ContainsFunc(contents, func(ours string) bool {
		return name == ours || strings.HasPrefix(name, ours+".new") || strings.HasPrefix(name, "."+ours)
	})
}

func (l *Lab) path(elem ...string) string { return filepath.Join(append([]string{l.Dir}, elem...)...) }

// Fleet is the lab's own copy of the fleet folder.
func (l *Lab) Fleet() string { return l.path("fleet") }

// SSHConfig is the file for `ssh -F`: it knows every host of the lab by name.
func (l *Lab) SSHConfig() string { return l.path("ssh_config") }

// Env is what a roost or nix process needs in its environment to work on this
// lab. Put it behind os.Environ(). The Nix store in it is a private one, so
// that /nix of the machine is never touched; Up makes the folders.
func (l *Lab) Env() []string {
	return append(privatestore.Env(l.Dir),
		"ROOST_FLEET="+l.Fleet(),
		"ROOST_SSH_CONFIG="+l.SSHConfig(),
		"XDG_STATE_HOME="+l.path("state"),
	)
}

// identity is lab.json: what must stay the same while the lab exists.
type identity struct {
	Number int            `json:"number"` // the third byte of its addresses, and in its interface names
	Image  string         `json:"image"`  // the root folder that all hosts have as their lower layer
	Hosts  map[string]int `json:"hosts"`  // name -> index, which gives the address
}

func (l *Lab) identity() (identity, error) {
	id := identity{Hosts: map[string]int{}}
	data, err := os.ReadFile(l.path("lab.json"))
	if errors.Is(err, fs.ErrNotExist) {
		return id, err
	}
	if err == nil {
		err = json.Unmarshal(data, &id)
	}
	if err != nil {
		return id, fmt.Errorf("%s is damaged: %w\nRemove the lab: mage lab:down", l.path("lab.json"), err)
	}
	return id, nil
}

func (l *Lab) writeIdentity(id identity) error {
	data, err := json.MarshalIndent(id, "", "  ")
	if err != nil {
		return err
	}
	return renameio.WriteFile(l.path("lab.json"), append(data, '\n'), 0o600)
}

// host finds one host of a lab that is up or was.
func (l *Lab) host(name string) (host, error) {
	id, err := l.identity()
	if errors.Is(err, fs.ErrNotExist) {
		return host{}, fmt.Errorf("no lab in %s: start it with `mage lab:up`", l.Dir)
	}
	if err != nil {
		return host{}, err
	}
	index, ok := id.Hosts[name]
	if !ok {
		return host{}, fmt.Errorf("no such host in the lab: %s; it has %s", name, strings.Join(slices.Sorted(maps.Keys(id.Hosts)), ", "))
	}
	return l.newHost(id, name, index), nil
}

// A Need is a program the lab runs and the Debian package that has it.
type Need struct{ Program, Package string }

var needs = []Need{
	{"debootstrap", "debootstrap"}, {"systemd-nspawn", "systemd-container"}, {"ip", "iproute2"},
	{"ssh", "openssh-client"}, {"ssh-keygen", "openssh-client"}, {"apt-config", "apt"},
	{"mkfs.ext4", "e2fsprogs"}, {"losetup", "mount"}, {"mount", "mount"}, {"umount", "mount"},
	{"nsenter", "util-linux"}, {"unshare", "util-linux"}, {"setsid", "util-linux"}, {"flock", "util-linux"}, {"fallocate", "util-linux"},
	{"chroot", "coreutils"}, {"nix", "nix-bin"},
}

// Needs lists the programs that the lab needs and this machine lacks.
func Needs() []Need {
	var missing []Need
	for _, n := range needs {
		if _, err := program(n.Program); err != nil {
			missing = append(missing, n)
		}
	}
	return missing
}

// Ready says why a lab cannot run on this machine; the error wraps ErrNotReady.
func Ready() error {
	if runtime.GOOS != "linux" {
		return fmt.Errorf("%w: it needs Linux, this is %s", ErrNotReady, runtime.GOOS)
	}
	if os.Geteuid() != 0 {
		return fmt.Errorf("%w: booting hosts needs root: try again with sudo", ErrNotReady)
	}
	missing := Needs()
	if len(missing) == 0 {
		return nil
	}
	var programs, packages []string
	for _, n := range missing {
		programs = append(programs, n.Program)
		if !slices.Contains(packages, n.Package) {
			packages = append(packages, n.Package)
		}
	}
	return fmt.Errorf("%w: missing %s\nInstall them: apt-get install %s", ErrNotReady,
		strings.Join(programs, ", "), strings.Join(packages, " "))
}

// A held lab is one whose lock this process has: the only way to change it.
type held struct {
	*Lab
	lock    *os.File
	journal *journal
}

// locked runs f with the lab's lock. The commands which f starts inherit it, so
// that a killed process leaves the lock to its last child: who gets the lock
// next finds nobody at work.
func (l *Lab) locked(ctx context.Context, f func(*held) error) error {
	file, err := lockFile(ctx, l.path("lock"))
	if err != nil {
		return fmt.Errorf("lock the lab in %s: %w", l.Dir, err)
	}
	defer file.Close()
	h := &held{Lab: l, lock: file, journal: &journal{path: l.path("journal")}}
	if err := h.journal.repair(); err != nil {
		return err
	}
	return f(h)
}

// changing is locked for a lab that must exist already.
func (l *Lab) changing(ctx context.Context, name string, f func(*held, host) error) error {
	if _, err := l.host(name); err != nil {
		return err
	}
	return l.locked(ctx, func(h *held) error {
		target, err := l.host(name) // again: it may have gone while we waited
		if err != nil {
			return err
		}
		return f(h, target)
	})
}
