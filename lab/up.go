package lab

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/google/renameio/v2"
	"golang.org/x/sync/errgroup"

	"roost/internal/privatestore"
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
	names, err := fleetHosts(fleet)
	if err != nil {
		return err
	}
	if err := h.roomFor(names); err != nil {
		return err
	}
	if err := h.journal.add(record{Kind: kindBoot, Name: machineBootID()}); err != nil {
		return err
	}
	id, err := h.layOut(ctx, fleet, image)
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
	for _, dir := range []string{"logs", "hosts", "state"} {
		if err := os.MkdirAll(h.path(dir), 0o700); err != nil {
			return id, err
		}
	}
	if err := h.copyFleet(fleet); err != nil {
		return id, fmt.Errorf("copy the fleet %s: %w", fleet, err)
	}
	if _, err := privatestore.Make(ctx, h.Dir); err != nil {
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

// inotifyPerHost is what systemd, dbus and logind of a host take of root's
// inotify instances, with some to spare.
const inotifyPerHost = 8

// roomFor refuses to boot more hosts than root has inotify instances for. All
// containers share them: one lab too many would stop the hosts of the others
// from booting as well.
func (h *held) roomFor(names []string) error {
	more := 0
	for _, name := range names {
		// Only the folder of the host matters here, not its address.
		if now, err := h.newHost(identity{}, name, 0).running(); err == nil && !now.up() {
			more++
		}
	}
	const file = "/proc/sys/fs/inotify/max_user_instances"
	text, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	limit, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil {
		return fmt.Errorf("read %s: %w", file, err)
	}
	used := inotifyInUse()
	if want := used + more*inotifyPerHost; want > limit {
		return fmt.Errorf("%w: %d hosts more would take %d inotify instances; %d of %d are in use\nAllow more: sysctl fs.inotify.max_user_instances=%d",
			ErrNotReady, more, more*inotifyPerHost, used, limit, max(1024, 2*want))
	}
	return nil
}

// inotifyInUse counts the open inotify files of all processes: a few too many,
// where two processes share one.
func inotifyInUse() int {
	files, _ := filepath.Glob("/proc/[0-9]*/fd/*")
	n := 0
	for _, file := range files {
		if target, err := os.Readlink(file); err == nil && target == "anon_inode:inotify" {
			n++
		}
	}
	return n
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
	start := time.Now()
	answered := false
	until(ctx, bootDeadline, func() bool {
		answered = target.answers(ctx)
		now, err := target.running()
		return answered || err != nil || now.Ended != ""
	})
	if answered {
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
	return fmt.Errorf("no answer on %s port 22 after %.1f s; %s; end of %s:\n%s",
		target.Address, time.Since(start).Seconds(), state, target.Console, strings.Join(tail(target.Console, 12), "\n"))
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
