package hosts

import (
	"errors"
	"flag"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

var update = flag.Bool("update", false, "write the golden files anew")

// writeFleet makes a fleet of files, given by their path in it.
func writeFleet(t testing.TB, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		file := filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func mustLoad(t testing.TB, files map[string]string) *Fleet {
	t.Helper()
	fleet, err := Load(writeFleet(t, files))
	if err != nil {
		t.Fatal(err)
	}
	return fleet
}

// problemsOf loads a fleet that must be invalid.
func problemsOf(t testing.TB, dir string) []Problem {
	t.Helper()
	fleet, err := Load(dir)
	var invalid *InvalidError
	if fleet != nil || !errors.As(err, &invalid) {
		t.Fatalf("Load = %v, %v; want an *InvalidError", fleet, err)
	}
	return invalid.Problems
}

func TestLoadReadsEveryKeyAndDefault(t *testing.T) {
	fleet := mustLoad(t, map[string]string{
		"modules/opt-in/desktop/plasma.nix":       "{ }",
		"modules/opt-in/services/web/default.nix": "{ }",
		"hosts/README.md":                         "not a host",
		"hosts/small/host.toml":                   "system = 'aarch64-darwin'\nrole = 'server'\n",
		"hosts/malphas/host.toml": `
system = "x86_64-linux"
role = "desktop"
tags = ["home", "canary"]
modules = ["desktop/plasma", "services/web"]
[ssh]
address = "fd00::5"
user = "deploy"
port = 2222
jump = "bastion,root@[fd00::1]:22"
[update]
health = [{ http = ":8080/version", expect = "1.2" }, { unit = "nginx.service", timeout = "1m30s" }]
`,
	})
	want := []*Host{
		{
			Name: "malphas", File: "hosts/malphas/host.toml", System: X8664Linux, Role: Desktop,
			Tags: []string{"home", "canary"}, Modules: []string{"desktop/plasma", "services/web"},
			SSH: SSH{Address: "fd00::5", User: "deploy", Port: 2222, Jump: "bastion,root@[fd00::1]:22"},
			Update: Update{Health: []HealthCheck{
				{HTTP: ":8080/version", Expect: "1.2", Timeout: Duration{10 * time.Second}},
				{Unit: "nginx.service", Timeout: Duration{90 * time.Second}},
			}},
		},
		{
			Name: "small", File: "hosts/small/host.toml", System: AArch64Darwin, Role: Server,
			SSH: SSH{Address: "small", User: "root"},
		},
	}
	if diff := cmp.Diff(want, fleet.Hosts, cmpopts.EquateEmpty()); diff != "" {
		t.Errorf("hosts (-want +got):\n%s", diff)
	}
	if fleet.Hosts[0].IsDarwin() || !fleet.Hosts[1].IsDarwin() {
		t.Error("IsDarwin does not follow system")
	}
}

func TestNastyFleetListsEveryProblem(t *testing.T) {
	_, err := Load("testdata/nasty")
	var invalid *InvalidError
	if !errors.As(err, &invalid) {
		t.Fatalf("got %v", err)
	}
	got := err.Error() + "\n"
	const golden = "testdata/nasty.golden"
	if *update {
		if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("problems (-want +got); -update writes them anew:\n%s", diff)
	}
}

func TestHostByName(t *testing.T) {
	const host = "system = 'x86_64-linux'\nrole = 'server'\n"
	fleet := mustLoad(t, map[string]string{"hosts/malphas/host.toml": host, "hosts/agares/host.toml": host})
	if diff := cmp.Diff([]string{"agares", "malphas"}, fleet.Names()); diff != "" {
		t.Error(diff)
	}
	if h, err := fleet.Host("malphas"); err != nil || h.Name != "malphas" {
		t.Errorf("Host(malphas) = %v, %v", h, err)
	}
	for name, want := range map[string]string{
		"malfas":  `no host "malfas" in this fleet; did you mean "malphas"?`,
		"zz":      `no host "zz" in this fleet; known hosts: agares, malphas`,
		"":        `no host "" in this fleet; known hosts: agares, malphas`,
		"-oProxy": `no host "-oProxy" in this fleet; known hosts: agares, malphas`,
	} {
		_, err := fleet.Host(name)
		var unknown *UnknownHostError
		if !errors.As(err, &unknown) || err.Error() != want {
			t.Errorf("Host(%q): %v, want %s", name, err, want)
		}
	}
}

func TestHealthCheckURL(t *testing.T) {
	for _, c := range []struct{ http, address, want string }{
		{":8080/version", "malphas", "http://malphas:8080/version"},
		{":80", "fd00::1", "http://[fd00::1]:80"},
		{"https://example.org/x?y=1", "malphas", "https://example.org/x?y=1"},
	} {
		if got := (HealthCheck{HTTP: c.http}).URL(c.address); got != c.want {
			t.Errorf("URL of %s at %s = %s, want %s", c.http, c.address, got, c.want)
		}
	}
}
