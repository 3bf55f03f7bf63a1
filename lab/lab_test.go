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

	"roost/internal/testneed"
)

// newLab gives a lab that is not up, and takes it down after the test.
func newLab(t *testing.T) *Lab {
	t.Helper()
	testneed.Lab(t)
	if err := Ready(); err != nil {
		t.Fatal(err)
	}
	l, err := Open(filepath.Join(t.TempDir(), "lab"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := l.Down(context.Background(), t.Output()); err != nil {
			t.Error(err)
		}
	})
	return l
}

func up(t *testing.T, l *Lab) {
	t.Helper()
	if err := l.Up(t.Context(), "testdata/fleet", t.Output()); err != nil {
		t.Fatal(err)
	}
}

func ok(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func ssh(t *testing.T, l *Lab, host string, args ...string) (string, error) {
	t.Helper()
	all := append([]string{"-F", l.SSHConfig(), "-o", "ConnectTimeout=1", host}, args...)
	out, err := exec.CommandContext(t.Context(), "ssh", all...).CombinedOutput()
	return strings.TrimSpace(string(out)), err
}

func statusOf(t *testing.T, l *Lab, name string) HostStatus {
	t.Helper()
	all, err := l.Status(t.Context())
	ok(t, err)
	for _, s := range all {
		if s.Name == name {
			return s
		}
	}
	t.Fatalf("no host %s in %+v", name, all)
	return HostStatus{}
}

// await waits for something to become so in a host.
func await(t *testing.T, what string, so func() bool) {
	t.Helper()
	if !until(t.Context(), 30*time.Second, so) {
		t.Fatal("not in 30 s: " + what)
	}
}

func TestLab(t *testing.T) {
	l := newLab(t)
	up(t, l)
	t.Run("ssh", func(t *testing.T) { testSSH(t, l) })
	t.Run("idempotent", func(t *testing.T) {
		before := statusOf(t, l, "alpha")
		up(t, l)
		if after := statusOf(t, l, "alpha"); after.PID != before.PID || after.BootID != before.BootID {
			t.Errorf("Up again restarted a host: %+v, then %+v", before, after)
		}
	})
	t.Run("reboot", func(t *testing.T) { testReboot(t, l) })
	t.Run("boot activates the profile", func(t *testing.T) { testBootInit(t, l) })
	t.Run("poweroff", func(t *testing.T) { testPowerOff(t, l) })
	t.Run("cut", func(t *testing.T) { testCut(t, l) })
	t.Run("slow", func(t *testing.T) { testSlow(t, l) })
	t.Run("kill", func(t *testing.T) { testKill(t, l) })
	t.Run("full disk", func(t *testing.T) { testFullDisk(t, l) })
	t.Run("host key", func(t *testing.T) { testHostKey(t, l) })
	t.Run("down", func(t *testing.T) { testDown(t, l) })
}

func testSSH(t *testing.T, l *Lab) {
	for _, name := range []string{"alpha", "beta"} {
		out, err := ssh(t, l, name, "hostname; nix --version; test -e /run/current-system || echo none")
		if err != nil || !strings.HasPrefix(out, name+"\nnix (Nix)") || !strings.HasSuffix(out, "none") {
			t.Errorf("ssh %s: %v: %s", name, err, out)
		}
		out, err = ssh(t, l, name, "systemctl is-system-running --wait; systemctl --failed --quiet --plain")
		if err != nil || out != "running" {
			t.Errorf("%s: systemd is not content: %v: %s", name, err, out)
		}
		if s := statusOf(t, l, name); !s.Up || s.System != "running" || len(s.BootID) != 36 || s.Uptime <= 0 || s.Uptime > 5*time.Minute {
			t.Errorf("status %+v", s)
		}
	}
	// One host's services are not another's: their cgroups are apart.
	if out, err := ssh(t, l, "alpha", "systemctl stop console-getty.service"); err != nil {
		t.Error(out)
	}
	if out, err := ssh(t, l, "beta", "systemctl is-active console-getty.service"); err != nil {
		t.Errorf("beta lost a service that alpha stopped: %s", out)
	}
}

func testReboot(t *testing.T, l *Lab) {
	before := statusOf(t, l, "alpha")
	_, _ = ssh(t, l, "alpha", "systemctl reboot") // ssh may say the connection went
	await(t, "alpha answers with a new boot id", func() bool {
		out, err := ssh(t, l, "alpha", "cat /proc/sys/kernel/random/boot_id")
		return err == nil && out != before.BootID && len(out) == 36
	})
	if s := statusOf(t, l, "alpha"); s.Boots != before.Boots+1 || !s.Up || s.BootID == before.BootID {
		t.Errorf("before %+v, after %+v", before, s)
	}
}

func testBootInit(t *testing.T, l *Lab) {
	script := `mkdir -p /nix/var/nix/profiles/system && cd /nix/var/nix/profiles/system &&
		printf '#!/bin/sh\nln -sfn /nix/var/nix/profiles/system /run/current-system\n' > init && chmod +x init && systemctl reboot`
	before := statusOf(t, l, "beta")
	_, _ = ssh(t, l, "beta", script)
	await(t, "beta boots", func() bool { s := statusOf(t, l, "beta"); return s.Up && s.BootID != before.BootID })
	var out string
	await(t, "beta answers", func() (so bool) {
		var err error
		out, err = ssh(t, l, "beta", "readlink /run/current-system || echo none")
		return err == nil
	})
	if out != "/nix/var/nix/profiles/system" {
		t.Errorf("/run/current-system is %s at the first login after a boot", out)
	}
	if out, err := ssh(t, l, "beta", "rm -r /nix/var/nix/profiles/system /run/current-system"); err != nil {
		t.Error(out)
	}
}

func testPowerOff(t *testing.T, l *Lab) {
	_, _ = ssh(t, l, "beta", "systemctl poweroff")
	await(t, "beta is off", func() bool { return !statusOf(t, l, "beta").Up })
	time.Sleep(time.Second) // a reboot by mistake would be under way now
	if s := statusOf(t, l, "beta"); s.Up || s.PID != 0 || s.Ended == "" {
		t.Errorf("after poweroff: %+v", s)
	}
	if _, err := l.Exec(t.Context(), "beta", "true"); err == nil {
		t.Error("Exec worked in a host that is off")
	}
	ok(t, l.Boot(t.Context(), "beta"))
	if out, err := ssh(t, l, "beta", "hostname"); err != nil || out != "beta" {
		t.Errorf("after Boot: %v: %s", err, out)
	}
}

func testCut(t *testing.T, l *Lab) {
	ok(t, l.Cut(t.Context(), "alpha"))
	if out, err := ssh(t, l, "alpha", "true"); err == nil {
		t.Errorf("ssh works with the cable cut: %s", out)
	}
	out, err := l.Exec(t.Context(), "alpha", "hostname")
	if err != nil || strings.TrimSpace(string(out)) != "alpha" {
		t.Errorf("Exec with the cable cut: %v: %s", err, out)
	}
	if s := statusOf(t, l, "alpha"); len(s.Faults) != 1 || s.Faults[0] != "cut" || !s.Up {
		t.Errorf("status of a cut host: %+v", s)
	}
	ok(t, l.Kill(t.Context(), "alpha"))
	ok(t, l.Boot(t.Context(), "alpha"))
	if out, err := ssh(t, l, "alpha", "true"); err == nil {
		t.Errorf("booting mended the cable: %s", out)
	}
	ok(t, l.Mend(t.Context(), "alpha"))
	await(t, "ssh after Mend", func() bool { _, err := ssh(t, l, "alpha", "true"); return err == nil })
	if s := statusOf(t, l, "alpha"); len(s.Faults) != 0 {
		t.Errorf("faults after Mend: %v", s.Faults)
	}
	_, err = l.Exec(t.Context(), "alpha", "sh", "-c", "echo oops >&2; exit 7")
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.ExitCode() != 7 || !strings.Contains(err.Error(), "oops") {
		t.Errorf("exit code of Exec: %v", err)
	}
}

func testSlow(t *testing.T, l *Lab) {
	ok(t, l.Slow(t.Context(), "alpha", 0, 4_000_000)) // 500 kB a second
	start := time.Now()
	if out, err := ssh(t, l, "alpha", "head -c 1000000 /dev/urandom | wc -c; head -c 1000000 /dev/urandom > /dev/stderr"); err != nil {
		t.Error(err, len(out))
	}
	if took := time.Since(start); took < time.Second {
		t.Errorf("1 MB over a line of 4 Mbit/s took %s", took)
	}
	ok(t, l.Mend(t.Context(), "alpha"))
	err := l.Slow(t.Context(), "alpha", 300*time.Millisecond, 0)
	if errors.Is(err, errors.ErrUnsupported) {
		if s := statusOf(t, l, "alpha"); len(s.Faults) != 0 {
			t.Errorf("an unsupported fault counts as made: %v", s.Faults)
		}
		t.Log(err)
		return
	}
	ok(t, err)
	start = time.Now()
	_, err = ssh(t, l, "alpha", "true")
	ok(t, err)
	if took := time.Since(start); took < time.Second {
		t.Errorf("ssh with 300 ms each way took %s", took)
	}
	ok(t, l.Mend(t.Context(), "alpha"))
}

func testKill(t *testing.T, l *Lab) {
	ok(t, l.Kill(t.Context(), "beta"))
	if s := statusOf(t, l, "beta"); s.Up {
		t.Errorf("after Kill: %+v", s)
	}
	if _, err := ssh(t, l, "beta", "true"); err == nil {
		t.Error("a killed host answers")
	}
	ok(t, l.Boot(t.Context(), "beta"))
	if out, err := ssh(t, l, "beta", "hostname"); err != nil || out != "beta" {
		t.Errorf("after Boot: %v: %s", err, out)
	}
}

func testFullDisk(t *testing.T, l *Lab) {
	file := filepath.Join(t.TempDir(), "payload")
	ok(t, os.WriteFile(file, bytes.Repeat([]byte("roost"), 1<<20), 0o600))
	cmd := exec.CommandContext(t.Context(), "nix", "store", "add-file", file)
	cmd.Env = append(os.Environ(), l.Env()...)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	lines := strings.Fields(string(out))
	path := lines[len(lines)-1]
	send := func() (string, error) {
		cmd := exec.CommandContext(t.Context(), "nix", "copy", "--no-check-sigs", "--to", "ssh-ng://beta", path)
		cmd.Env = append(append(os.Environ(), l.Env()...), "NIX_SSHOPTS=-F "+l.SSHConfig())
		out, err := cmd.CombinedOutput()
		return string(out), err
	}
	ok(t, l.FillDisk(t.Context(), "beta"))
	if out, err := send(); err == nil || !strings.Contains(strings.ToLower(out), "no space left") && !strings.Contains(out, "full") {
		t.Errorf("nix copy to a full disk: %v: %s", err, out)
	}
	ok(t, l.FreeDisk(t.Context(), "beta"))
	if out, err := send(); err != nil {
		t.Errorf("nix copy after FreeDisk: %v: %s", err, out)
	}
	if out, err := ssh(t, l, "beta", "test -f "+path); err != nil {
		t.Errorf("%s did not arrive: %s", path, out)
	}
}

func testHostKey(t *testing.T, l *Lab) {
	ok(t, l.ChangeHostKey(t.Context(), "beta"))
	out, err := ssh(t, l, "beta", "true")
	if err == nil || !strings.Contains(out, "REMOTE HOST IDENTIFICATION HAS CHANGED") {
		t.Errorf("ssh to a host with another key: %v: %s", err, out)
	}
	ok(t, l.RestoreHostKey(t.Context(), "beta"))
	if out, err := ssh(t, l, "beta", "true"); err != nil {
		t.Errorf("after RestoreHostKey: %v: %s", err, out)
	}
}

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
	if !strings.Contains(strings.Join(lines, "\n"), "poweroff.target") {
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
