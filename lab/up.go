package lab

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/google/renameio/v2"
	"golang.org/x/sync/errgroup"
)

// bootDeadline is how long a host may take until sshd answers.
const bootDeadline = 60 * time.Second

// Up boots one host for each hosts/*/host.toml of the fleet, and returns when
// all answer ssh. The fleet folder is copied into the lab if the lab has none
// yet: afterwards the copy is what counts. Hosts that run already stay as they
// are. It prints a line per host; one host's failure does not stop the others.
func (l *Lab) Up(ctx context.Context, fleet string, out io.Writer) error {
	if err := Ready(); err != nil {
		return err
	}
	if _, err := os.Stat(l.Fleet()); err == nil {
		fleet = l.Fleet()
	}
	if _, err := fleetHosts(fleet); err != nil {
		return fmt.Errorf("fleet: %w", err)
	}
	image, err := l.Image(ctx, out)
	if err != nil {
		return err
	}
	return l.locked(ctx, func(h *held) error { return h.up(ctx, fleet, image, out) })
}

func (h *held) up(ctx context.Context, fleet, image string, out io.Writer) error {
	if err := h.journal.add(record{Kind: kindBoot, Name: machineBootID()}); err != nil {
		return err
	}
	id, err := h.layOut(ctx, fleet, image)
	if err != nil {
		return err
	}
	names, err := fleetHosts(h.Fleet())
	if err != nil {
		return err
	}
	if err := h.enrol(&id, names); err != nil {
		return err
	}
	group, groupCtx := errgroup.WithContext(ctx)
	group.SetLimit(h.Parallel)
	for _, name := range names {
		group.Go(func() error { return h.prepare(groupCtx, h.newHost(id, name, id.Hosts[name])) })
	}
	if err := group.Wait(); err != nil {
		return err
	}
	if err := h.writeSSH(id); err != nil {
		return err
	}
	return h.bootAll(ctx, id, names, out)
}

// layOut makes the lab's folders, files, keys and bridge.
func (h *held) layOut(ctx context.Context, fleet, image string) (identity, error) {
	id, err := h.identity()
	if errors.Is(err, fs.ErrNotExist) {
		id.Image = image
	} else if err != nil {
		return id, err
	}
	if _, err := os.Stat(id.Image); err != nil {
		return id, fmt.Errorf("the base image of this lab's hosts is gone: %w\nRemove the lab: mage lab:down", err)
	}
	for _, dir := range []string{"logs", "hosts", "state", "store", "nix", "home"} {
		if err := os.MkdirAll(h.path(dir), 0o700); err != nil {
			return id, err
		}
	}
	if err := h.copyFleet(fleet); err != nil {
		return id, fmt.Errorf("copy the fleet %s: %w", fleet, err)
	}
	if err := renameio.WriteFile(h.path("nix", "nix.conf"), []byte(nixConf()), 0o600); err != nil {
		return id, err
	}
	if err := h.newKey(ctx, h.path("client_key"), "roost-lab"); err != nil {
		return id, err
	}
	return id, h.bridge(ctx, &id)
}

func (h *held) copyFleet(fleet string) error {
	if _, err := os.Stat(h.Fleet()); err == nil {
		return nil
	}
	half := h.Fleet() + ".new"
	if err := os.RemoveAll(half); err != nil {
		return err
	}
	if err := os.CopyFS(half, os.DirFS(fleet)); err != nil {
		return err
	}
	return os.Rename(half, h.Fleet())
}

// nixConf is for the controller: a chroot store of its own, whose builders see
// the machine's shell, as there is no stdenv in the lab.
func nixConf() string {
	var paths []string
	for _, path := range []string{"/bin", "/usr", "/lib", "/lib64"} {
		if _, err := os.Stat(path); err == nil {
			paths = append(paths, path)
		}
	}
	return "experimental-features = nix-command flakes\nbuild-users-group =\nsandbox = true\nsandbox-paths = " +
		strings.Join(paths, " ") + "\nsubstituters =\n"
}

// enrol gives each new host an index, and so an address. A host keeps it.
func (h *held) enrol(id *identity, names []string) error {
	used := map[int]bool{}
	for _, index := range id.Hosts {
		used[index] = true
	}
	next := 0
	for _, name := range names {
		if _, ok := id.Hosts[name]; ok {
			continue
		}
		for used[next] {
			next++
		}
		if next >= maxHosts {
			return fmt.Errorf("a lab has at most %d hosts", maxHosts)
		}
		id.Hosts[name] = next
		used[next] = true
	}
	return h.writeIdentity(*id)
}

// writeSSH writes ssh_config and known_hosts for all hosts of the lab.
func (h *held) writeSSH(id identity) error {
	var config, known strings.Builder
	for name, index := range id.Hosts {
		target := h.newHost(id, name, index)
		key, err := os.ReadFile(target.key() + ".pub")
		if err != nil {
			return err
		}
		fields := strings.Fields(string(key))
		if len(fields) < 2 {
			return fmt.Errorf("%s.pub is no public key", target.key())
		}
		fmt.Fprintf(&known, "%s,%s %s %s\n", name, target.Address, fields[0], fields[1])
		fmt.Fprintf(&config, "Host %s\n  HostName %s\n\n", name, target.Address)
	}
	fmt.Fprintf(&config, `Host *
  User root
  IdentityFile %s
  IdentitiesOnly yes
  BatchMode yes
  UserKnownHostsFile %s
  GlobalKnownHostsFile none
  StrictHostKeyChecking yes
`, h.path("client_key"), h.path("known_hosts"))
	return errors.Join(
		renameio.WriteFile(h.path("known_hosts"), []byte(known.String()), 0o600),
		renameio.WriteFile(h.SSHConfig(), []byte(config.String()), 0o600))
}

// bootAll boots the hosts, some at once, and says how each went.
func (h *held) bootAll(ctx context.Context, id identity, names []string, out io.Writer) error {
	var group errgroup.Group
	group.SetLimit(h.Parallel)
	var mu sync.Mutex
	var errs []error
	for _, name := range names {
		group.Go(func() error {
			start := time.Now()
			target := h.newHost(id, name, id.Hosts[name])
			did, err := h.boot(ctx, target)
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				errs = append(errs, fmt.Errorf("host %s: %w", name, err))
				did = "failed"
			}
			fmt.Fprintf(out, "%-16s %-14s %s, %.1f s\n", name, target.Address, did, time.Since(start).Seconds())
			return nil
		})
	}
	_ = group.Wait() // the errors are in errs: all of them, not the first
	return errors.Join(errs...)
}

// boot starts a host that is off and waits until it answers.
func (h *held) boot(ctx context.Context, target host) (string, error) {
	now, err := target.running()
	if err != nil {
		return "", err
	}
	if now.up() {
		return "already up", nil
	}
	records, err := h.journal.records(machineBootID())
	if err != nil {
		return "", err
	}
	for _, fault := range faultsOf(records, target.Name) {
		switch fault {
		case faultCut:
			target.Cut = true
		case faultSlow: // it went with the old cable
			if err := h.journal.add(record{Kind: kindFault, Host: target.Name, Name: faultSlow}); err != nil {
				return "", err
			}
		}
	}
	mounts, err := cgroupMounts()
	if err != nil {
		return "", err
	}
	for _, mount := range mounts {
		target.Cgroups = append(target.Cgroups, filepath.Join(mount, target.Machine))
	}
	if err := h.launch(ctx, target); err != nil {
		return "", err
	}
	if target.Cut {
		return "booting, its network is cut", nil
	}
	return "up", h.awaitSSH(ctx, target)
}

// awaitSSH waits for sshd, and then logs in once: that proves the keys too.
func (h *held) awaitSSH(ctx context.Context, target host) error {
	if until(ctx, bootDeadline, func() bool { return target.answers(ctx) }) {
		cmd := command(ctx, "ssh", "-F", h.SSHConfig(), "-o", "ConnectTimeout=10", target.Name, "true")
		_, err := finish(cmd)
		return err
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	now, err := target.running()
	if err != nil {
		return err
	}
	state := "it is running"
	if !now.up() {
		state = "it has ended: " + now.Ended
	}
	return fmt.Errorf("no answer on %s port 22 after %s; %s; end of %s:\n%s",
		target.Address, bootDeadline, state, target.Console, strings.Join(tail(target.Console, 12), "\n"))
}

// tail gives the last lines of a log file; of a missing one, none.
func tail(path string, n int) []string {
	file, err := os.Open(path)
	if err != nil {
		return nil
	}
	defer file.Close()
	if info, err := file.Stat(); err == nil && info.Size() > 64<<10 {
		_, _ = file.Seek(-64<<10, io.SeekEnd)
	}
	return lastLines(file, n)
}
