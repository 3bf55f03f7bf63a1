package lab

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

func testDown(t *testing.T, l *Lab) {
	id, err := l.identity()
	ok(t, err)
	found := strings.Join(leftOvers(t, l.Dir, id.Number), "\n")
	for _, sort := range []string{"process ", "link ", "loop ", "cgroup ", "claim ", "nspawn ", "file "} {
		if !strings.Contains(found, sort) {
			t.Errorf("the search for left-overs sees no %sof a lab that is up:\n%s", sort, found)
		}
	}
	ok(t, l.Down(t.Context(), t.Output()))
	gone(t, l.Dir, id.Number)
	if logs, _ := filepath.Glob(filepath.Join(l.Dir, "logs", "*.console")); len(logs) != 2 {
		t.Errorf("console logs after Down: %v", logs)
	}
	if all, err := l.Status(t.Context()); err != nil || len(all) != 0 {
		t.Errorf("status after Down: %v %v", all, err)
	}
	ok(t, l.Down(t.Context(), t.Output())) // once more is fine
}

// gone fails the test for all that is left of a lab. What the kernel frees a
// moment after a process ended is waited for.
func gone(t *testing.T, dir string, number int) {
	t.Helper()
	var left []string
	if !until(context.Background(), 3*time.Second, func() bool { left = leftOvers(t, dir, number); return len(left) == 0 }) {
		t.Errorf("left over:\n%s", strings.Join(left, "\n"))
	}
}

// leftOvers searches the machine, not the journal: anything that has the lab's
// folder or its number in its name. number -1 stands for none.
func leftOvers(t *testing.T, dir string, number int) []string {
	t.Helper()
	var left []string
	processes, _ := filepath.Glob("/proc/[0-9]*")
	for _, p := range processes {
		if p == fmt.Sprintf("/proc/%d", os.Getpid()) {
			continue
		}
		for _, file := range []string{"cmdline", "environ"} {
			if text, _ := os.ReadFile(filepath.Join(p, file)); bytes.Contains(text, []byte(dir)) {
				left = append(left, "process "+p+" "+strings.ReplaceAll(string(text), "\x00", " "))
			}
		}
		if text, _ := os.ReadFile(filepath.Join(p, "mountinfo")); bytes.Contains(text, []byte(dir)) {
			left = append(left, "mount in "+p)
		}
	}
	backing, _ := filepath.Glob("/sys/block/loop*/loop/backing_file")
	for _, f := range backing {
		if text, _ := os.ReadFile(f); bytes.Contains(text, []byte(dir)) {
			left = append(left, "loop "+f)
		}
	}
	entries, _ := os.ReadDir(dir)
	for _, e := range entries {
		if e.Name() != "logs" {
			left = append(left, "file "+e.Name())
		}
	}
	if number < 0 {
		return left
	}
	prefix := fmt.Sprintf("roost%d", number)
	interfaces, err := net.Interfaces()
	ok(t, err)
	for _, i := range interfaces {
		if i.Name == prefix || strings.HasPrefix(i.Name, prefix+"-") {
			left = append(left, "link "+i.Name)
		}
	}
	for sort, pattern := range map[string]string{
		"cgroup ": "/sys/fs/cgroup/*/" + prefix + "-*", "cgroup2 ": "/sys/fs/cgroup/" + prefix + "-*",
		"nspawn ": "/run/systemd/nspawn/*/" + prefix + "-*", "claim ": claimPath(number),
	} {
		found, _ := filepath.Glob(pattern)
		for _, f := range found {
			left = append(left, sort+f)
		}
	}
	return left
}

// killMoments are dense where Up makes things, in its first tenth of a second.
// ROOST_LAB_KILLS=n tries n moments instead.
func killMoments() []time.Duration {
	n, _ := strconv.Atoi(os.Getenv("ROOST_LAB_KILLS"))
	if n <= 0 {
		n = 12
	}
	var moments []time.Duration
	for i := range n {
		part := float64(i) / float64(n)
		moments = append(moments, 8*time.Millisecond+time.Duration(part*part*float64(900*time.Millisecond)))
	}
	return moments
}

// TestKilledUp kills an Up at several moments; Down must clear up each time.
func TestKilledUp(t *testing.T) {
	l := newLab(t)
	_, err := l.Image(t.Context(), t.Output())
	ok(t, err)
	for _, after := range killMoments() {
		cmd := exec.Command("/proc/self/exe")
		cmd.Env = append(os.Environ(), upEnv+"="+l.Dir)
		ok(t, cmd.Start())
		time.Sleep(after)
		ok(t, cmd.Process.Signal(syscall.SIGKILL))
		_ = cmd.Wait()
		number := -1
		if id, err := l.identity(); err == nil {
			number = id.Number
		}
		records, err := (&journal{path: l.path("journal")}).records(machineBootID())
		ok(t, err)
		ok(t, l.Down(t.Context(), t.Output()))
		t.Logf("killed after %s: %d records", after, len(records))
		gone(t, l.Dir, number)
	}
}

// TestKilledSupervisor: the container of a killed supervisor goes on alone;
// Boot and Down must both get hold of it.
func TestKilledSupervisor(t *testing.T) {
	l := newLab(t)
	up(t, l)
	id, err := l.identity()
	ok(t, err)
	for _, name := range []string{"alpha", "beta"} {
		target, err := l.host(name)
		ok(t, err)
		now, err := target.running()
		ok(t, err)
		now.Supervisor.signal(syscall.SIGKILL)
		await(t, "the supervisor ends", func() bool { return !now.Supervisor.alive() })
	}
	ok(t, l.Boot(t.Context(), "alpha"))
	if out, err := ssh(t, l, "alpha", "hostname"); err != nil || out != "alpha" {
		t.Errorf("after Boot: %v: %s", err, out)
	}
	ok(t, l.Down(t.Context(), t.Output()))
	gone(t, l.Dir, id.Number)
}

// TestSupervisorTerm is what a host gets when the machine itself shuts down.
func TestSupervisorTerm(t *testing.T) {
	l := newLab(t)
	up(t, l)
	target, err := l.host("beta")
	ok(t, err)
	now, err := target.running()
	ok(t, err)
	ok(t, syscall.Kill(now.Supervisor.PID, syscall.SIGTERM))
	await(t, "the supervisor ends", func() bool { return !now.Supervisor.alive() && !now.Init.alive() })
	lines, err := l.Console("beta", 100)
	ok(t, err)
	if !strings.Contains(strings.Join(lines, "\n"), "Reached target final.target") {
		t.Errorf("not powered off, but killed; its console:\n%s", strings.Join(lines, "\n"))
	}
	if s := statusOf(t, l, "alpha"); !s.Up {
		t.Errorf("the other host: %+v", s)
	}
}

func TestTwoLabs(t *testing.T) {
	one, two := newLab(t), newLab(t)
	errs := make(chan error, 2)
	for _, l := range []*Lab{one, two} {
		go func() { errs <- l.Up(t.Context(), "testdata/fleet", t.Output()) }()
	}
	ok(t, errors.Join(<-errs, <-errs))
	id1, err := one.identity()
	ok(t, err)
	id2, err := two.identity()
	ok(t, err)
	if id1.Number == id2.Number {
		t.Fatalf("both labs have number %d", id1.Number)
	}
	ok(t, one.Down(t.Context(), t.Output()))
	gone(t, one.Dir, id1.Number)
	for _, name := range []string{"alpha", "beta"} {
		if out, err := ssh(t, two, name, "hostname"); err != nil || out != name {
			t.Errorf("the other lab's Down hurt %s: %v: %s", name, err, out)
		}
	}
	ok(t, two.Down(t.Context(), t.Output()))
	gone(t, two.Dir, id2.Number)
}
