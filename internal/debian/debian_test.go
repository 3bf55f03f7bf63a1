package debian

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"roost/internal/testneed"
)

// fake puts programs of our own on PATH, and nothing else but a shell.
func fake(t *testing.T, programs map[string]string) (dir string) {
	t.Helper()
	dir = t.TempDir()
	for name, script := range programs {
		if err := os.WriteFile(filepath.Join(dir, name), []byte("#!/bin/sh\n"+script), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv("PATH", dir)
	t.Setenv("LOG", filepath.Join(dir, "log"))
	return dir
}

const dpkgQuery = `for p; do :; done
case $p in
here) printf 'install ok installed';;
removed) printf 'deinstall ok config-files';;
broken) printf 'install ok half-configured';;
*) echo "no packages found matching $p" >&2; exit 1;;
esac
`

func TestMissing(t *testing.T) {
	fake(t, map[string]string{"apt-get": "", "dpkg-query": dpkgQuery})
	got, err := Missing(t.Context(), "here", "removed", "broken", "unknown")
	if diff := cmp.Diff([]string{"removed", "broken", "unknown"}, got); diff != "" || err != nil {
		t.Errorf("%v\n%s", err, diff)
	}
	if got, err := Missing(t.Context(), "here"); len(got) > 0 || err != nil {
		t.Errorf("missing %q, %v", got, err)
	}
}

func TestMissingWithoutApt(t *testing.T) {
	fake(t, nil)
	if _, err := Missing(t.Context()); !errors.Is(err, ErrNotDebian) {
		t.Errorf("want ErrNotDebian, got %v", err)
	}
}

func TestInstall(t *testing.T) {
	testneed.Root(t)
	const apt = `echo "$DEBIAN_FRONTEND apt-get $*" >> "$LOG"
[ -x /usr/sbin/policy-rc.d ] || echo 'services may start' >> "$LOG"
echo "from apt"
[ "$1" != "$FAIL" ] || { echo 'E: no such package' >&2; exit 100; }
`
	const systemctl = `echo "systemctl $*" >> "$LOG"`
	tests := []struct {
		name, fail string
		packages   []string
		want       []string
		says       string
	}{
		{name: "nothing"},
		{name: "well", packages: []string{"jq", "git"}, want: []string{
			"noninteractive apt-get update -q",
			"noninteractive apt-get install -q -y --no-install-recommends jq git",
		}},
		{name: "sshd is not to start at boot", packages: []string{"openssh-server"}, want: []string{
			"noninteractive apt-get update -q",
			"noninteractive apt-get install -q -y --no-install-recommends openssh-server",
			"systemctl --root=/ disable ssh.service",
		}},
		{name: "no network", fail: "update", packages: []string{"jq"}, says: "install jq: ", want: []string{
			"noninteractive apt-get update -q",
		}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			dir := fake(t, map[string]string{"apt-get": apt, "systemctl": systemctl})
			t.Setenv("FAIL", test.fail)
			_, before := os.Lstat(policyPath)
			logs := t.TempDir()
			t.Setenv("TMPDIR", logs)
			err := Install(t.Context(), test.packages...)
			if test.says == "" && err != nil || test.says != "" && (err == nil || !strings.Contains(err.Error(), test.says) || !strings.Contains(err.Error(), "E: no such package")) {
				t.Errorf("error %v, want %q", err, test.says)
			}
			var got []string
			if log, err := os.ReadFile(filepath.Join(dir, "log")); err == nil {
				got = strings.Split(strings.TrimSpace(string(log)), "\n")
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Error(diff)
			}
			kept, _ := filepath.Glob(filepath.Join(logs, "roost-apt-*.log"))
			switch {
			case test.says == "" && len(kept) != 0:
				t.Errorf("logs of what went well stay: %q", kept)
			case test.says != "" && (len(kept) != 1 || !strings.Contains(err.Error(), kept[0])):
				t.Errorf("the log %q is not named: %v", kept, err)
			case test.says != "":
				if data, err := os.ReadFile(kept[0]); err != nil || !strings.Contains(string(data), "from apt") {
					t.Errorf("apt's words are lost: %q, %v", data, err)
				}
			}
			if _, after := os.Lstat(policyPath); (before == nil) != (after == nil) {
				t.Errorf("%s was %v before and is %v after", policyPath, before, after)
			}
		})
	}
}

func TestForbidServices(t *testing.T) {
	path := filepath.Join(t.TempDir(), "policy-rc.d")
	restore, err := forbidServices(path)
	if err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(path)
	info, errStat := os.Stat(path)
	if err != nil || errStat != nil || string(data) != "#!/bin/sh\nexit 101\n" || info.Mode()&0o111 == 0 {
		t.Errorf("the policy is %q, %v", data, info.Mode())
	}
	// A second one, and one of the machine's own, is left alone.
	again, err := forbidServices(path)
	if err != nil {
		t.Fatal(err)
	}
	again()
	if _, err := os.Stat(path); err != nil {
		t.Error("a policy that was there already was removed")
	}
	restore()
	if _, err := os.Stat(path); err == nil {
		t.Error("our own policy stays")
	}
	if _, err := forbidServices(filepath.Join(path, "none", "x")); err == nil {
		t.Error("a policy that cannot be written is no error")
	}
}
