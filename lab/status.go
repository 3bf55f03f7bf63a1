package lab

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"
)

// A HostStatus is how one host of the lab is now.
type HostStatus struct {
	Name    string
	Address string
	Up      bool
	PID     int           // of its systemd, as the machine sees it; 0 when down
	BootID  string        // another one after every boot
	System  string        // what systemctl is-system-running says; empty when down
	Uptime  time.Duration // since its systemd started
	Boots   int           // since it was last started by the lab: 2 after one reboot
	Ended   string        // why it is down, if its supervisor could say
	Faults  []string      // "cut", "slow", "full disk", "changed host key"
}

// Status reads how the hosts are, sorted by name. A lab that is not there has
// no hosts; that is no error. It takes no lock and may run beside Up.
func (l *Lab) Status(ctx context.Context) ([]HostStatus, error) {
	id, err := l.identity()
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	j := journal{path: l.path("journal")}
	records, err := j.records(machineBootID())
	if err != nil {
		return nil, fmt.Errorf("read the journal: %w", err)
	}
	names := slices.Sorted(maps.Keys(id.Hosts))
	all := make([]HostStatus, len(names))
	var group errgroup.Group
	group.SetLimit(l.Parallel)
	for i, name := range names {
		group.Go(func() (err error) {
			all[i], err = l.newHost(id, name, id.Hosts[name]).status(ctx)
			all[i].Faults = faultsOf(records, name)
			return err
		})
	}
	return all, group.Wait()
}

func (h host) status(ctx context.Context) (HostStatus, error) {
	s := HostStatus{Name: h.Name, Address: h.Address}
	now, err := h.running()
	s.Boots, s.Ended = now.Boots, now.Ended
	if err != nil || !now.up() {
		return s, err
	}
	s.Up, s.PID = true, now.Init.PID
	if id, err := os.ReadFile(fmt.Sprintf("/proc/%d/root/proc/sys/kernel/random/boot_id", s.PID)); err == nil {
		s.BootID = strings.TrimSpace(string(id))
	}
	if text, err := os.ReadFile("/proc/uptime"); err == nil {
		s.Uptime = sinceStart(string(text), now.Init.Start)
	}
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	// It exits with 1 for everything but "running": the word is what counts.
	word, err := h.exec(ctx, now.Init, "systemctl", "is-system-running")
	s.System = strings.TrimSpace(string(word))
	if s.System == "" && err != nil {
		s.System = "unknown"
	}
	return s, nil
}

// sinceStart counts from the machine's uptime and a start in clock ticks, which
// Linux shows to programs as hundredths of a second.
func sinceStart(uptime string, start uint64) time.Duration {
	first, _, _ := strings.Cut(uptime, " ")
	seconds, err := strconv.ParseFloat(first, 64)
	if err != nil {
		return 0
	}
	return time.Duration((seconds - float64(start)/100) * float64(time.Second))
}
