package lab

import (
	"bytes"
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
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
	// Which nix it is depends on the lab's PATH, so it is looked up here.
	for _, kv := range l.Env() {
		key, value, _ := strings.Cut(kv, "=")
		t.Setenv(key, value)
	}
	out, err := exec.CommandContext(t.Context(), "nix", "store", "add-file", file).CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	lines := strings.Fields(string(out))
	path := lines[len(lines)-1]
	send := func() (string, error) {
		cmd := exec.CommandContext(t.Context(), "nix", "copy", "--no-check-sigs", "--to", "ssh-ng://beta", path)
		cmd.Env = append(os.Environ(), "NIX_SSHOPTS=-F "+l.SSHConfig())
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
