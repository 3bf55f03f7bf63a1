package verbs

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"roost/graph"
)

func TestFleetDir(t *testing.T) {
	root, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	fleet := filepath.Join(root, "fleet")
	deep := filepath.Join(fleet, "hosts", "rook", "secrets")
	half := filepath.Join(fleet, "modules", "inner") // has hosts/, but no flake.nix
	for _, dir := range []string{deep, filepath.Join(half, "hosts"), filepath.Join(root, "elsewhere")} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(fleet, "flake.nix"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name, at, given string
		want            string // empty: an error
		says            string
	}{
		{name: "the fleet itself", at: fleet, want: fleet},
		{name: "below it", at: deep, want: fleet},
		{name: "past a folder that is half a fleet", at: half, want: fleet},
		{name: "in no fleet", at: filepath.Join(root, "elsewhere"), says: "--fleet DIR (ROOST_FLEET)"},
		{name: "given", at: deep, given: "../..", want: filepath.Join(fleet, "hosts")},
		{name: "given, absolute", at: root, given: fleet, want: fleet},
		{name: "given, not there", at: fleet, given: "none", says: "fleet/none"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Chdir(test.at)
			got, err := FleetDir(test.given)
			if got != test.want {
				t.Errorf("found %q, %v; want %q", got, err, test.want)
			}
			if test.want == "" && (Code(err) != CodeUsage || !strings.Contains(err.Error(), test.says)) {
				t.Errorf("exit code %d and %v; want %d and words about %q", Code(err), err, CodeUsage, test.says)
			}
		})
	}
}

func TestFromEnv(t *testing.T) {
	names := []string{"FLEET", "ON", "TASKS", "DRY_RUN", "JOBS", "JSON", "YES", "NO_CACHE", "VERIFY", "VERBOSE"}
	tests := []struct {
		name string
		env  map[string]string
		want Options
		bad  []string // names of variables in the error
	}{
		{name: "nothing"},
		{name: "everything", env: map[string]string{"FLEET": "/f", "ON": "@home", "TASKS": " site  @home/motd ", "DRY_RUN": "1", "JOBS": "7", "JSON": "true", "YES": "TRUE", "NO_CACHE": "yes", "VERIFY": "1", "VERBOSE": "Yes"},
			want: Options{Fleet: "/f", On: "@home", Args: []string{"site", "@home/motd"}, DryRun: true, Jobs: 7, JSON: true, Yes: true, NoCache: true, Verify: true, Verbose: true}},
		{name: "said to be off", env: map[string]string{"DRY_RUN": "0", "JSON": "false", "YES": "no"}},
		{name: "a typing error never runs for real", env: map[string]string{"DRY_RUN": "ture", "JOBS": "0"}, bad: []string{"ROOST_DRY_RUN", "ROOST_JOBS"}},
		{name: "no number", env: map[string]string{"JOBS": "many"}, bad: []string{"ROOST_JOBS"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			for _, name := range names {
				t.Setenv("ROOST_"+name, test.env[name])
			}
			got, err := FromEnv()
			if len(test.bad) == 0 {
				if diff := cmp.Diff(test.want, got); diff != "" || err != nil {
					t.Errorf("%v\n%s", err, diff)
				}
				return
			}
			if Code(err) != CodeUsage {
				t.Fatalf("exit code %d (%v), want %d", Code(err), err, CodeUsage)
			}
			for _, name := range test.bad {
				if !strings.Contains(err.Error(), name) {
					t.Errorf("%q does not name %s", err, name)
				}
			}
		})
	}
}

// ran is the error of a run in which one task of each error failed.
func ran(t *testing.T, errs ...error) error {
	t.Helper()
	g := graph.New()
	for i, err := range errs {
		graph.Observe(g, "host"+strconv.Itoa(i)+"/task", func(*graph.Task) func(context.Context) (string, error) {
			return func(context.Context) (string, error) { return "", err }
		})
	}
	_, err := g.Run(t.Context(), graph.Options{})
	return err
}

func TestCodeOf(t *testing.T) {
	failed, refused, deferred := errors.New("no space left"), graph.Refuse(errors.New("a guard")), graph.Defer(errors.New("asleep"))
	terminated := &Signals{}
	terminated.code.Store(codeTerminated)
	tests := []struct {
		name    string
		err     error
		signals *Signals
		want    int
	}{
		{"well", ran(t, nil), &Signals{}, 0},
		{"deferred", ran(t, deferred), &Signals{}, 0},
		{"failed", ran(t, failed), &Signals{}, 1},
		{"refused", ran(t, refused), &Signals{}, 3},
		{"refused and failed", ran(t, refused, failed), &Signals{}, 1},
		{"refused and deferred", ran(t, refused, deferred), &Signals{}, 3},
		{"no error of a run", failed, &Signals{}, 1},
		{"stopped", fmt.Errorf("stopped: %w", graph.ErrStopped), &Signals{}, 130},
		{"stopped by SIGTERM", graph.ErrStopped, terminated, 143},
		{"stopped, and something had failed", errors.Join(ran(t, failed), graph.ErrStopped), terminated, 143},
		{"all was done before the signal came", nil, terminated, 0},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if got := codeOf(test.err, test.signals); got != test.want {
				t.Errorf("exit code %d of %v, want %d", got, test.err, test.want)
			}
		})
	}
}

func TestTell(t *testing.T) {
	told := errors.New("why")
	tests := []struct {
		err  error
		code int
		text string
	}{
		{nil, 0, ""},
		{told, 1, "roost: why\n"},
		{exit(CodeUsage, told), 2, "roost: why\n"},
		{fmt.Errorf("where: %w", exit(CodeUsage, told)), 2, "roost: where: why\n"},
		{exit(CodeRefused, nil), 3, ""},
	}
	for _, test := range tests {
		var b strings.Builder
		Tell(&b, test.err)
		if b.String() != test.text || Code(test.err) != test.code {
			t.Errorf("%v: code %d and %q, want %d and %q", test.err, Code(test.err), b.String(), test.code, test.text)
		}
	}
}

// A question is no place where Ctrl-C is not heard.
func TestTypedEndsWithTheContext(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	defer w.Close()
	ctx, cancel := context.WithCancel(t.Context())
	answer := make(chan bool)
	go func() { answer <- typed(ctx, r) }()
	cancel()
	if <-answer {
		t.Error("the question was answered by nobody")
	}
	if _, err := w.WriteString("n\n"); err != nil {
		t.Fatal(err)
	}
	if !typed(t.Context(), r) {
		t.Error("a line that is there was not seen")
	}
}

func TestScratchSweepsWhatTheDeadLeft(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	dead := exec.Command("true")
	if err := dead.Run(); err != nil {
		t.Fatal(err)
	}
	uid, gone, alive := strconv.Itoa(os.Getuid()), strconv.Itoa(dead.Process.Pid), strconv.Itoa(os.Getppid())
	stay := []string{
		"roost-" + uid + "-" + alive + "-1",                           // of a process that lives
		"roost-" + strconv.Itoa(os.Getuid()+1) + "-" + gone + "-1",    // of another user
		"roost-" + uid + "-x-1", "roost-" + uid + "-" + gone, "nix-1", // none of ours
	}
	sweep := "roost-" + uid + "-" + gone + "-123"
	for _, name := range append(stay, sweep) {
		if err := os.MkdirAll(filepath.Join(os.TempDir(), name, "sockets"), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	file, link := "roost-"+uid+"-"+gone+"-file", "roost-"+uid+"-"+gone+"-link"
	if err := os.WriteFile(filepath.Join(os.TempDir(), file), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(t.TempDir(), filepath.Join(os.TempDir(), link)); err != nil {
		t.Fatal(err)
	}
	if os.Geteuid() == 0 { // a folder with our name in it that somebody else made
		foreign := "roost-" + uid + "-" + gone + "-foreign"
		if err := os.Mkdir(filepath.Join(os.TempDir(), foreign), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.Chown(filepath.Join(os.TempDir(), foreign), 12345, 12345); err != nil {
			t.Fatal(err)
		}
		stay = append(stay, foreign)
	}

	dir, err := newScratch()
	if err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(dir)
	if err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("the scratch folder has mode %v (%v)", info.Mode(), err)
	}
	if _, err := newScratch(); err != nil { // a second run of this process
		t.Fatal(err)
	}
	if _, err := os.Stat(dir); err != nil {
		t.Error("a second scratch folder swept the first one")
	}
	for _, name := range append(stay, file, link) {
		if _, err := os.Lstat(filepath.Join(os.TempDir(), name)); err != nil {
			t.Errorf("%s was swept", name)
		}
	}
	if _, err := os.Lstat(filepath.Join(os.TempDir(), sweep)); err == nil {
		t.Errorf("%s was not swept", sweep)
	}
}
