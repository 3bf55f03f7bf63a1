package ci

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"roost/internal/testneed"
	"roost/internal/verbs"
)

func TestPackages(t *testing.T) {
	if len(packages) == 0 || slices.Contains(packages, "") {
		t.Errorf("the tests need packages: %q", packages)
	}
	sorted := slices.Sorted(slices.Values(packages))
	if len(slices.Compact(sorted)) != len(packages) {
		t.Errorf("a package stands twice in %q", packages)
	}
}

// refusedEnv makes this test binary a process that runs Test as nobody.
const refusedEnv = "ROOST_CI_TEST_REFUSED"

func TestNeedsRoot(t *testing.T) {
	if os.Getenv(refusedEnv) != "" {
		err := Test(t.Context(), verbs.Options{})
		fmt.Println(err)
		os.Exit(verbs.Code(err))
	}
	if os.Geteuid() != 0 {
		err := Test(t.Context(), verbs.Options{})
		if verbs.Code(err) != verbs.CodeUsage {
			t.Errorf("exit code %d (%v), want %d", verbs.Code(err), err, verbs.CodeUsage)
		}
		return
	}
	testneed.Tool(t, "setpriv")
	// The test binary is in a folder that only we may enter: hand it over.
	self, err := os.Executable()
	ok(t, err)
	binary, err := os.Open(self)
	ok(t, err)
	defer binary.Close()
	cmd := exec.Command("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "/proc/self/fd/3", "-test.run=^TestNeedsRoot$")
	cmd.ExtraFiles = []*os.File{binary}
	cmd.Dir = "/"
	cmd.Env = []string{refusedEnv + "=1", "PATH=" + os.Getenv("PATH")}
	out, _ := cmd.CombinedOutput()
	if code := cmd.ProcessState.ExitCode(); code != verbs.CodeUsage || !strings.Contains(string(out), "needs Linux (Debian 12 or 13) and root") || strings.Contains(string(out), "==") {
		t.Errorf("exit code %d, want %d and nothing run:\n%s", code, verbs.CodeUsage, out)
	}
}

// The measure is of starts, so a program that sleeps is over by its sleep.
func TestStartTime(t *testing.T) {
	dir := t.TempDir()
	build := func(name, body string) string {
		source, binary := filepath.Join(dir, name+".go"), filepath.Join(dir, name)
		ok(t, os.WriteFile(source, []byte(body), 0o600))
		if out, err := exec.Command("go", "build", "-o", binary, source).CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		return binary
	}
	empty := build("empty", emptyProgram)
	slow := build("slow", "package main\n\nimport \"time\"\n\nfunc main() { time.Sleep(50 * time.Millisecond) }\n")
	broken := build("broken", "package main\n\nimport \"os\"\n\nfunc main() { os.Exit(3) }\n")

	over, err := startTime(t.Context(), slow, empty)
	if err != nil || over < 40*time.Millisecond || over > 5*time.Second {
		t.Errorf("a program that sleeps 50 ms starts %s later (%v)", over, err)
	}
	if under, err := startTime(t.Context(), empty, slow); err != nil || under > 0 {
		t.Errorf("an empty program starts %s later than one that sleeps (%v)", under, err)
	}
	if _, err := startTime(t.Context(), broken, empty); err == nil {
		t.Error("a program that fails was measured")
	}
}
