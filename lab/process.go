package lab

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// A process is known by its id and its start time (clock ticks since boot): the
// kernel gives ids out again.
type process struct {
	PID   int    `json:"pid,omitempty"`
	Start uint64 `json:"start,omitempty"`
}

// processOf reads a running process; zombies do not run.
func processOf(pid int) (process, bool) {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return process{}, false
	}
	state, start, ok := parseStat(string(data))
	return process{pid, start}, ok && state != "Z" && state != "X"
}

// parseStat reads the state and the start time. The name in parentheses may
// hold anything, so it counts from the last one.
func parseStat(stat string) (state string, start uint64, ok bool) {
	end := strings.LastIndexByte(stat, ')')
	if end < 0 {
		return "", 0, false
	}
	fields := strings.Fields(stat[end+1:])
	if len(fields) < 20 {
		return "", 0, false
	}
	start, err := strconv.ParseUint(fields[19], 10, 64)
	return fields[0], start, err == nil
}

func (p process) alive() bool {
	now, ok := processOf(p.PID)
	return ok && p.PID > 0 && now.Start == p.Start
}

func (p process) signal(s syscall.Signal) {
	if p.alive() {
		_ = syscall.Kill(p.PID, s) // gone in between is as good
	}
}

// initOf finds the container's first process among nspawn's children: the one
// which has the id 1 in a namespace of its own.
func initOf(nspawn int) (process, bool) {
	list, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", nspawn, nspawn))
	if err != nil {
		return process{}, false
	}
	for _, word := range strings.Fields(string(list)) {
		pid, err := strconv.Atoi(word)
		if err != nil {
			continue
		}
		status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
		if err != nil {
			continue
		}
		for line := range strings.Lines(string(status)) {
			ids := strings.Fields(line)
			if len(ids) > 2 && ids[0] == "NSpid:" && ids[len(ids)-1] == "1" {
				return processOf(pid)
			}
		}
	}
	return process{}, false
}

// mountPoints gives the mount points in this mount namespace, in mount order.
func mountPoints() ([]string, error) {
	data, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return nil, err
	}
	var points []string
	for line := range strings.Lines(string(data)) {
		if fields := strings.Fields(line); len(fields) > 4 {
			points = append(points, unescapeMount(fields[4]))
		}
	}
	return points, nil
}

// unescapeMount undoes the kernel's \ooo for space, tab, newline and backslash.
func unescapeMount(s string) string {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' && i+3 < len(s) {
			if c, err := strconv.ParseUint(s[i+1:i+4], 8, 8); err == nil {
				b.WriteByte(byte(c))
				i += 3
				continue
			}
		}
		b.WriteByte(s[i])
	}
	return b.String()
}

func mountsUnder(dir string) ([]string, error) {
	points, err := mountPoints()
	var under []string
	for _, p := range points {
		if p == dir || strings.HasPrefix(p, dir+"/") {
			under = append(under, p)
		}
	}
	return under, err
}

// cgroupMounts gives the hierarchies which systemd in a container uses: the
// unified one, and systemd's own where the machine has version 1.
func cgroupMounts() ([]string, error) {
	data, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return nil, err
	}
	var mounts []string
	for line := range strings.Lines(string(data)) {
		left, right, _ := strings.Cut(line, " - ")
		where, what := strings.Fields(left), strings.Fields(right)
		if len(where) < 5 || len(what) < 3 {
			continue
		}
		if what[0] == "cgroup2" || what[0] == "cgroup" && strings.Contains(what[2], "name=systemd") {
			mounts = append(mounts, unescapeMount(where[4]))
		}
	}
	if len(mounts) == 0 {
		return nil, fmt.Errorf("%w: no cgroup file system of systemd is mounted", ErrNotReady)
	}
	return mounts, nil
}

// killCgroup kills all processes in a cgroup folder and below. It is certain
// where killing by process id is not: nothing forks out of a cgroup.
func killCgroup(ctx context.Context, dir string) error {
	var left []int
	gone := until(ctx, 10*time.Second, func() bool {
		left = signalCgroup(dir)
		return len(left) == 0
	})
	if !gone {
		return fmt.Errorf("%s: processes %v do not end", dir, left)
	}
	return nil
}

// signalCgroup kills what is in the cgroup now, and says what that was.
func signalCgroup(dir string) []int {
	pids := cgroupPIDs(dir)
	for _, pid := range pids {
		_ = syscall.Kill(pid, syscall.SIGKILL) // gone in between is as good
	}
	return pids
}

func cgroupPIDs(dir string) []int {
	var pids []int
	_ = filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err != nil || !d.IsDir() {
			return nil // the folder went while we read
		}
		data, _ := os.ReadFile(filepath.Join(path, "cgroup.procs"))
		for _, word := range strings.Fields(string(data)) {
			if pid, err := strconv.Atoi(word); err == nil && pid > 0 {
				pids = append(pids, pid)
			}
		}
		return nil
	})
	return pids
}

// removeCgroup removes the folders of an empty cgroup, deepest first.
func removeCgroup(ctx context.Context, dir string) error {
	var err error
	until(ctx, 5*time.Second, func() bool {
		var dirs []string
		_ = filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
			if err == nil && d.IsDir() {
				dirs = append(dirs, path)
			}
			return nil
		})
		err = nil
		for i := len(dirs) - 1; i >= 0; i-- {
			if e := syscall.Rmdir(dirs[i]); e != nil && !errors.Is(e, syscall.ENOENT) {
				err = fmt.Errorf("remove cgroup %s: %w", dirs[i], e)
			}
		}
		return err == nil
	})
	return err
}
