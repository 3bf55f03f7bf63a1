package e2e

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"roost/lab"
)

// on runs a command in a host, past the network, and returns what it prints.
func (f *fleet) on(t *testing.T, host string, args ...string) string {
	t.Helper()
	out, err := f.lab.Exec(context.Background(), host, args...) // also when the test is over
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(out))
}

// current is the system that a host runs.
func (f *fleet) current(t *testing.T, host string) string {
	t.Helper()
	return f.on(t, host, "readlink", "-f", "/run/current-system")
}

// profile is the system that a host boots next.
func (f *fleet) profile(t *testing.T, host string) string {
	t.Helper()
	return f.on(t, host, "readlink", "-f", "/nix/var/nix/profiles/system")
}

// switches counts how often a system was activated on a host, over all boots.
func (f *fleet) switches(t *testing.T, host, system string) int {
	t.Helper()
	return strings.Count(f.journal(t, host, "--unit=nixos-rebuild-switch-to-configuration.service"),
		"Started nixos-rebuild-switch-to-configuration.service - switch to "+system+".\n")
}

// logins counts the ssh connections that a host has let in.
func (f *fleet) logins(t *testing.T, host string) int {
	t.Helper()
	return strings.Count(f.journal(t, host), "Accepted publickey for root")
}

func (f *fleet) journal(t *testing.T, host string, args ...string) string {
	t.Helper()
	// What was said a moment ago is on its way to the journal.
	f.on(t, host, "journalctl", "--sync")
	return f.on(t, host, append([]string{"journalctl", "--output=cat", "--quiet", "--no-pager"}, args...)...) + "\n"
}

// version is what a host's web server answers.
func (f *fleet) version(t *testing.T, host string) string {
	t.Helper()
	client := http.Client{Timeout: 5 * time.Second}
	response, err := client.Get("http://" + f.address[host] + ":8080/version")
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(body)
}

// reboot reboots a host and waits until it is up again.
func (f *fleet) reboot(t *testing.T, host string) {
	t.Helper()
	before := f.on(t, host, "cat", "/proc/sys/kernel/random/boot_id")
	f.on(t, host, "systemctl", "--no-block", "reboot")
	// Not by Exec: what enters a host that is going down may never come back.
	eventually(t, host+" is up again", func() bool {
		all, err := f.lab.Status(context.Background())
		must(t, err)
		return slices.ContainsFunc(all, func(h lab.HostStatus) bool {
			return h.Name == host && h.Up && h.BootID != "" && h.BootID != before && h.System == "running"
		})
	})
}

// must ends the test for an error of the lab.
func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// eventually waits for something to become so.
func eventually(t *testing.T, what string, so func() bool) {
	t.Helper()
	for end := time.Now().Add(30 * time.Second); !so(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("not in 30 s: " + what)
		}
	}
}

// children are the processes, but roost itself, that a run has left.
func (p *process) children() []string {
	var left []string
	found, _ := filepath.Glob("/proc/[0-9]*/environ")
	for _, file := range found {
		env, err := os.ReadFile(file)
		if err != nil || !bytes.Contains(append([]byte{0}, env...), []byte("\x00"+p.mark+"\x00")) {
			continue
		}
		line, _ := os.ReadFile(filepath.Join(filepath.Dir(file), "cmdline"))
		left = append(left, filepath.Dir(file)+" "+string(bytes.ReplaceAll(line, []byte{0}, []byte{' '})))
	}
	return left
}

// leftNothing wants no process of a run that has ended.
func (p *process) leftNothing(t *testing.T) {
	t.Helper()
	var left []string
	for range 100 { // the kernel buries them a moment later
		if left = p.children(); len(left) == 0 {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Errorf("left by `update:all %s`:\n%s", strings.Join(p.args, " "), strings.Join(left, "\n"))
}
