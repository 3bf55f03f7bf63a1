package lab

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"roost/internal/privatestore"
)

// Down ends the lab: its hosts, processes, links, loop devices and cgroups, and
// all of its folder but the logs. The base image stays. It undoes what the
// journal names, last first, so that it also clears up after an Up which was
// killed at any moment; running it again is fine. What it could not undo it
// says, and keeps the folder for another try.
func (l *Lab) Down(ctx context.Context, out io.Writer) error {
	if _, err := os.Stat(l.Dir); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err := Ready(); err != nil {
		return err
	}
	start := time.Now()
	return l.locked(ctx, func(h *held) error {
		records, err := h.journal.records(machineBootID())
		if err != nil {
			return err
		}
		if err := h.undo(ctx, records); err != nil {
			return fmt.Errorf("lab:down in %s: %w", l.Dir, err)
		}
		if err := h.purge(); err != nil {
			return err
		}
		fmt.Fprintf(out, "lab in %s is gone, %.1f s\n", l.Dir, time.Since(start).Seconds())
		return nil
	})
}

func (h *held) undo(ctx context.Context, records []record) error {
	if err := stopAll(ctx, records); err != nil {
		return err
	}
	var errs []error
	for _, r := range slices.Backward(records) {
		var err error
		switch r.Kind {
		case kindCgroup:
			if err = killCgroup(ctx, r.Path); err == nil {
				err = removeCgroup(ctx, r.Path)
			}
		case kindLink:
			err = h.removeLink(ctx, r.Name)
		case kindDisk:
			err = h.freeLoops(ctx, r.Path)
		case kindNspawn:
			err = removeLeftOver(r.Path)
		case kindClaim:
			err = h.unclaim(ctx, r.Number)
		}
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// stopAll ends the hosts and their supervisors. The hosts are killed, not
// powered off: their disks are about to be deleted, and a host which is just
// booting does not hear that it should power off.
func stopAll(ctx context.Context, records []record) error {
	var left []process
	for _, r := range records {
		if r.Kind == kindProcess && r.alive() {
			left = append(left, r.process)
			r.signal(syscall.SIGTERM)
		}
	}
	ended := func() bool {
		for _, r := range records {
			if r.Kind == kindCgroup {
				signalCgroup(r.Path)
			}
		}
		left = slices.DeleteFunc(left, func(p process) bool { return !p.alive() })
		return len(left) == 0
	}
	if until(ctx, 10*time.Second, ended) {
		return nil
	}
	for _, p := range left {
		p.signal(syscall.SIGKILL)
	}
	if !until(ctx, 5*time.Second, ended) {
		return fmt.Errorf("processes %v do not end", left)
	}
	return nil
}

// freeLoops waits until the kernel has let go of a host's disk: the loop device
// goes with its last mount. One that was never mounted is detached.
func (h *held) freeLoops(ctx context.Context, file string) error {
	if until(ctx, 3*time.Second, func() bool { return len(loopsOf(file)) == 0 }) {
		return nil
	}
	var errs []error
	for _, device := range loopsOf(file) {
		errs = append(errs, h.run(ctx, "losetup", "--detach", device))
	}
	if err := errors.Join(errs...); err != nil {
		return err
	}
	if !until(ctx, 3*time.Second, func() bool { return len(loopsOf(file)) == 0 }) {
		return fmt.Errorf("%v: something has the disk %s open", loopsOf(file), file)
	}
	return nil
}

// loopsOf gives the loop devices that have a file behind them.
func loopsOf(file string) []string {
	found, _ := filepath.Glob("/sys/block/loop*/loop/backing_file")
	var devices []string
	for _, f := range found {
		if text, err := os.ReadFile(f); err == nil && strings.TrimSpace(string(text)) == file {
			devices = append(devices, "/dev/"+filepath.Base(filepath.Dir(filepath.Dir(f))))
		}
	}
	return devices
}

// removeLeftOver removes an empty folder or an unlocked lock file of nspawn. A
// lock that is held belongs to a newer container, which got the same number.
func removeLeftOver(path string) error {
	info, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if info.IsDir() {
		return removeIfThere(path)
	}
	file, err := os.Open(path)
	if err != nil {
		return err
	}
	defer file.Close()
	if syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB) != nil {
		return nil
	}
	return removeIfThere(path)
}

// purge removes the files of the lab. The journal goes next to last: as long as
// anything is left, it can be read.
func (h *held) purge() error {
	entries, err := os.ReadDir(h.Dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if name := e.Name(); isOurs(name) && name != "logs" && name != "journal" && name != "lock" {
			if err := removeTree(h.path(name)); err != nil {
				return err
			}
		}
	}
	if err := privatestore.Remove(h.Dir); err != nil {
		return err
	}
	err = errors.Join(removeIfThere(h.path("journal")), removeIfThere(h.path("lock")))
	// The folder itself goes too if there are no logs in it.
	_ = syscall.Rmdir(h.path("logs"))
	_ = syscall.Rmdir(h.Dir)
	return err
}

// removeTree removes a folder, but never through a mount in it.
func removeTree(dir string) error {
	mounts, err := mountsUnder(dir)
	if err != nil {
		return err
	}
	if len(mounts) > 0 {
		return fmt.Errorf("%s is not removed: mounted there: %s", dir, strings.Join(mounts, ", "))
	}
	return os.RemoveAll(dir)
}
