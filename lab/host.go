package lab

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/google/renameio/v2"
)

// A host is what both the lab and the host's supervisor know of it; it crosses
// to the supervisor as JSON.
type host struct {
	Name    string
	Dir     string // DIR/hosts/NAME
	Image   string // root folder of the base image
	Address string
	Bridge  string
	Link    string // its end of the cable, on the machine
	Machine string // name for nspawn, unique on the machine
	Journal string
	Console string
	Cgroups []string
	Cut     bool // start with the cable pulled out
}

func (l *Lab) newHost(id identity, name string, index int) host {
	return host{
		Name: name, Dir: l.path("hosts", name), Image: id.Image,
		Address: addressOf(id.Number, index), Bridge: bridgeName(id.Number), Link: linkName(id.Number, index),
		Machine: fmt.Sprintf("roost%d-%s", id.Number, name),
		Journal: l.path("journal"), Console: l.path("logs", name+".console"),
	}
}

func (h host) disk() string  { return filepath.Join(h.Dir, "disk.img") }
func (h host) upper() string { return filepath.Join(h.Dir, "disk") } // where the disk is mounted
func (h host) root() string  { return filepath.Join(h.Dir, "root") }
func (h host) key() string   { return filepath.Join(h.Dir, "ssh_host_ed25519_key") }
func (h host) log() string {
	return strings.TrimSuffix(h.Console, ".console") + ".supervisor"
}

// A running says which processes a host has. The supervisor writes it.
type running struct {
	Supervisor process `json:"supervisor"`
	Init       process `json:"init"`
	Boots      int     `json:"boots"`
	Ended      string  `json:"ended,omitempty"` // why it does not run any more
}

func (h host) runFile() string { return filepath.Join(h.Dir, "run.json") }

func (h host) running() (running, error) {
	var r running
	data, err := os.ReadFile(h.runFile())
	if err == nil {
		err = json.Unmarshal(data, &r)
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return r, fmt.Errorf("host %s: %w", h.Name, err)
	}
	return r, nil
}

func (h host) writeRunning(r running) error {
	data, err := json.Marshal(r)
	if err != nil {
		return err
	}
	return renameio.WriteFile(h.runFile(), append(data, '\n'), 0o600)
}

// up is whether the host is on and watched.
func (r running) up() bool { return r.Supervisor.alive() && r.Init.alive() }

var goodName = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]{0,40}[a-z0-9])?$`)

// fleetHosts gives the host names of a fleet folder: hosts/*/host.toml.
func fleetHosts(fleet string) ([]string, error) {
	files, err := filepath.Glob(filepath.Join(fleet, "hosts", "*", "host.toml"))
	if err != nil {
		return nil, err
	}
	var names []string
	for _, file := range files {
		name := filepath.Base(filepath.Dir(file))
		if !goodName.MatchString(name) {
			return nil, fmt.Errorf("%s: %q is no host name: lower-case letters, digits and inner hyphens, at most 42", file, name)
		}
		names = append(names, name)
	}
	if len(names) == 0 {
		return nil, fmt.Errorf("%s has no hosts/*/host.toml: nothing to boot", fleet)
	}
	slices.Sort(names)
	return names, nil
}

// diskSize is how large a host's disk says it is. The file is sparse.
const diskSize = "4G"

// prepare makes the host's folder, key and disk, unless they are there.
func (h *held) prepare(ctx context.Context, target host) error {
	for _, dir := range []string{target.upper(), target.root()} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return err
		}
	}
	if err := h.newKey(ctx, target.key(), target.Name); err != nil {
		return err
	}
	if _, err := os.Stat(target.disk()); err == nil {
		return nil
	}
	half := target.disk() + ".new"
	if err := errors.Join(removeIfThere(half), os.WriteFile(half, nil, 0o600)); err != nil {
		return err
	}
	// No reserve for root, or a full disk would not be full for Nix; no journal,
	// as the machine's own file system has one.
	if err := h.run(ctx, "mkfs.ext4", "-q", "-m", "0", "-O", "^has_journal",
		"-E", "lazy_itable_init=1,nodiscard", half, diskSize); err != nil {
		return err
	}
	return os.Rename(half, target.disk())
}

// newKey makes a key pair, unless it is there.
func (h *held) newKey(ctx context.Context, path, comment string) error {
	if _, err := os.Stat(path); err == nil {
		return nil
	}
	half := path + ".new"
	if err := errors.Join(removeIfThere(half), removeIfThere(half+".pub")); err != nil {
		return err
	}
	if err := h.run(ctx, "ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", comment, "-f", half); err != nil {
		return err
	}
	return errors.Join(os.Rename(half+".pub", path+".pub"), os.Rename(half, path))
}

// install puts into the host's root what only this host has. It runs where the
// root is mounted, before the host boots.
func (h host) install() error {
	client, err := os.ReadFile(filepath.Join(h.Dir, "..", "..", "client_key.pub"))
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Join(h.root(), "root/.ssh"), 0o700); err != nil {
		return err
	}
	if err := writeInto(h.root(), "root/.ssh/authorized_keys", string(client), 0o600); err != nil {
		return err
	}
	if err := writeInto(h.root(), "etc/hostname", h.Name+"\n", 0o644); err != nil {
		return err
	}
	if err := writeInto(h.root(), "etc/hosts", "127.0.0.1 localhost\n"+h.Address+" "+h.Name+"\n", 0o644); err != nil {
		return err
	}
	if _, err := os.Stat(filepath.Join(h.root(), hostKeyPath)); err == nil {
		return nil // perhaps not the key we know: see ChangeHostKey
	}
	return h.installKey(h.root(), h.key())
}

const hostKeyPath = "etc/ssh/ssh_host_ed25519_key"

func (h host) installKey(root, key string) error {
	for suffix, mode := range map[string]os.FileMode{".pub": 0o644, "": 0o600} {
		data, err := os.ReadFile(key + suffix)
		if err != nil {
			return err
		}
		if err := writeInto(root, hostKeyPath+suffix, string(data), mode); err != nil {
			return err
		}
	}
	return nil
}

// writeInto writes a file inside a root folder: a link which stands there is
// replaced, not followed out of it.
func writeInto(root, path, text string, mode os.FileMode) error {
	full := filepath.Join(root, path)
	if err := os.MkdirAll(filepath.Dir(full), 0o755); err != nil {
		return err
	}
	if old, err := os.ReadFile(full); err == nil && string(old) == text {
		return nil // a full disk still boots
	}
	return renameio.WriteFile(full, []byte(text), mode, renameio.WithStaticPermissions(mode))
}
