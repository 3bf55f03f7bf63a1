package ci

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"roost/internal/command"
	"roost/internal/ledger"
	"roost/internal/testneed"
	"roost/lab"
)

func TestMain(m *testing.M) {
	lab.MaybeSupervise()
	os.Exit(m.Run())
}

// mageDoor is mage itself, a copy of the source tree to run it in (it writes
// into the tree it runs in), and the program it compiles of the magefile.
type mageDoor struct{ mage, tree, compiled string }

func newMageDoor(t *testing.T) mageDoor {
	t.Helper()
	testneed.Tool(t, "git", "go")
	dir := t.TempDir()
	d := mageDoor{filepath.Join(dir, "mage"), filepath.Join(dir, "tree"), filepath.Join(dir, "roost-mage")}
	list, err := command.Output(t.Context(), command.Cmd{Name: "git", Args: []string{"ls-files", "-z", "--cached", "--others", "--exclude-standard"}, Dir: ".."})
	if err != nil {
		t.Skip("needs a git checkout: ", err)
	}
	for name := range strings.SplitSeq(strings.TrimSuffix(string(list), "\x00"), "\x00") {
		data, err := os.ReadFile(filepath.Join("..", name))
		if errors.Is(err, os.ErrNotExist) {
			continue // removed, and not yet in git
		}
		ok(t, err)
		to := filepath.Join(d.tree, name)
		ok(t, os.MkdirAll(filepath.Dir(to), 0o700))
		ok(t, os.WriteFile(to, data, 0o600))
	}
	for _, c := range []command.Cmd{
		{Name: "go", Args: []string{"build", "-o", d.mage, "github.com/magefile/mage"}, Dir: ".."},
		{Name: d.mage, Args: []string{"-compile", d.compiled}, Dir: d.tree, Env: []string{"MAGEFILE_CACHE=" + dir}},
	} {
		ok(t, command.Run(t.Context(), c))
	}
	return d
}

func ok(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestMageDoor(t *testing.T) {
	d := newMageDoor(t)
	out, err := command.Output(t.Context(), command.Cmd{Name: d.mage, Args: []string{"-l"}, Dir: d.tree})
	ok(t, err)
	for _, target := range []string{
		"update:all", "run", "plan", "apply", "resume", "why", "graph", "trace", "cache:stats", "cache:explain", "cache:prune",
		"intents:list", "intents:settle",
		"lab:up", "lab:status", "lab:down", "demo", "test",
	} {
		if !strings.Contains(string(out), "\n  "+target+" ") {
			t.Errorf("mage -l does not list %s:\n%s", target, out)
		}
	}

	fleet := "ROOST_FLEET=" + filepath.Join(d.tree, "lab", "fleet")
	t.Setenv("XDG_STATE_HOME", t.TempDir())
	tests := []struct {
		name string
		args []string
		env  string
		code int
		says string
	}{
		{"a plan of no verb", []string{"plan", "update:some", "p.json"}, fleet, 2, `roost: "update:some" is no verb that can be run, planned and drawn: did you mean "update:all"?`},
		{"a plan in no fleet", []string{"plan", "update:all", "p.json"}, "", 2, "is in no fleet"},
		{"a plan without its file", []string{"plan", "update:all"}, fleet, 2, "not enough arguments"},
		{"apply what is not there", []string{"apply", "none.json"}, fleet, 2, "none.json: no such file"},
		{"resume", []string{"resume"}, fleet, 2, "no run of the fleet is recorded"},
		{"resume a run", []string{"resume", "-run=20260101T000000Z-abc"}, fleet, 2, "no run of the fleet is recorded"},
		{"why", []string{"why", "heron/eval"}, fleet, 2, "no run of this fleet is recorded"},
		{"why of a plan", []string{"why", "heron/eval", "-plan=none.json"}, fleet, 2, "none.json: no such file"},
		{"graph", []string{"graph", "update:all", "-format=mermaid", "-focus=heron/build"}, fleet, 0, "flowchart LR"},
		{"graph of no verb", []string{"graph", "hosts"}, fleet, 2, `"hosts" is no verb that can be run, planned and drawn`},
		{"graph by its variables", []string{"graph", "update:all"}, fleet + " ROOST_ON=heron ROOST_JSON=1", 0, `"from":"heron/eval","to":"heron/build"`},
		{"trace", []string{"trace", "-out=t.json"}, fleet, 2, "no run of the fleet is recorded"},
		{"cache:stats", []string{"cache:stats"}, fleet, 0, "0 results, 0 B"},
		{"cache:explain", []string{"cache:explain", "heron/eval"}, fleet, 2, `no success of "heron/eval" is recorded`},
		{"cache:prune", []string{"cache:prune"}, fleet, 0, "Removed 0 results"},
		{"cache:prune with all of it", []string{"cache:prune", "-age=0d", "-size=0", "-all=true"}, fleet + " ROOST_DRY_RUN=1", 0, "Would remove 0 results"},
		{"cache:prune of no age", []string{"cache:prune", "-age=soon"}, fleet, 2, "want a form like 30d, 2w or 12h"},
		{"an unknown target", []string{"update:al"}, "", 2, `Unknown target specified: "update:al"`},
		{"a variable that cannot be read", []string{"update:all"}, "ROOST_DRY_RUN=ture", 2, `roost: ROOST_DRY_RUN="ture": want true`},
		{"no number", []string{"update:all"}, "ROOST_JOBS=0", 2, `roost: ROOST_JOBS="0": want a number above 0`},
		{"no fleet here", []string{"update:all"}, "", 2, "is in no fleet"},
		{"a fleet without tasks", []string{"run"}, fleet, 2, "tasks.toml: is not in the fleet folder"},
		{"a bad selector", []string{"update:all"}, fleet + " ROOST_ON=mal", 2, `did you mean "malphas"?`},
		// Mage's own, and why units name targets without flags: 1.17.2 prints
		// its help and says that all is well.
		{"an unknown flag", []string{"-dryrun", "update:all"}, "", 0, "flag provided but not defined: -dryrun"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			for _, entry := range strings.Fields(test.env) {
				name, value, _ := strings.Cut(entry, "=")
				t.Setenv(name, value)
			}
			cmd := exec.CommandContext(t.Context(), d.compiled, test.args...)
			cmd.Dir = t.TempDir()
			out, _ := cmd.CombinedOutput()
			if got := cmd.ProcessState.ExitCode(); got != test.code || !strings.Contains(string(out), test.says) {
				t.Errorf("exit code %d and these words; want %d and %q:\n%s", got, test.code, test.says, out)
			}
		})
	}
}

// Signals reach an update by both ways in which mage can run it: what is being
// switched is finished, nothing stays behind, and the exit code tells.
func TestMageSignals(t *testing.T) {
	testneed.Lab(t)
	d := newMageDoor(t)
	l := slowLab(t)
	tests := []struct {
		name    string
		program string
		group   bool
		sig     syscall.Signal
		code    int // -1: the signal ends mage itself
	}{
		{"compiled, SIGTERM to all", d.compiled, true, syscall.SIGTERM, 143},
		{"compiled, SIGTERM to it", d.compiled, false, syscall.SIGTERM, 143},
		{"compiled, Ctrl-C", d.compiled, true, syscall.SIGINT, 130},
		{"mage, SIGTERM to all", d.mage, true, syscall.SIGTERM, -1},
		{"mage, SIGTERM to it alone", d.mage, false, syscall.SIGTERM, -1},
		{"mage, Ctrl-C", d.mage, true, syscall.SIGINT, 130},
	}
	for i, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			edit(t, l, `web.version = "`, `web.version = "`+strconv.Itoa(i)+".")
			u := startUpdate(t, d, l, test.program)
			u.await(t, "the switch has begun", func() bool {
				return strings.Contains(u.record(), `"kind":"task.started","task":"heron/activate"`)
			})
			time.Sleep(time.Second) // well inside the switch, which takes eight
			pid := u.cmd.Process.Pid
			if test.group {
				pid = -pid
			}
			ok(t, syscall.Kill(pid, test.sig))
			u.cmd.Wait()
			if got := u.cmd.ProcessState.ExitCode(); got != test.code {
				t.Errorf("exit code %d, want %d", got, test.code)
			}
			u.await(t, "every process is gone", func() bool { return len(u.processes(t)) == 0 })
			record := u.record()
			if !strings.Contains(record, `"kind":"run.finished"`) || strings.Contains(record, `"task":"heron/activate","task_kind":"effect","status":"failed"`) {
				t.Errorf("the switch was not let finish:\n%s", record)
			}
			lock, err := u.state.Lock("test", time.Now())
			ok(t, err)
			ok(t, lock.Release())
		})
	}
}

// slowLab is a lab of one host, whose switches take eight seconds.
func slowLab(t *testing.T) *lab.Lab {
	t.Helper()
	ok(t, lab.Ready())
	l, err := lab.Open(filepath.Join(t.TempDir(), "lab"))
	ok(t, err)
	fleet := filepath.Join(t.TempDir(), "fleet")
	ok(t, os.CopyFS(fleet, lab.FleetFS()))
	for _, name := range []string{"malphas", "rook", "wren"} {
		ok(t, os.RemoveAll(filepath.Join(fleet, "hosts", name)))
	}
	t.Cleanup(func() {
		if err := l.Down(context.Background(), t.Output()); err != nil {
			t.Error(err)
		}
	})
	ok(t, l.Up(t.Context(), fleet, t.Output()))
	edit(t, l, `web.broken = false;`, "web.broken = false;\n  faults.slowSwitch = 8;")
	return l
}

func edit(t *testing.T, l *lab.Lab, from, to string) {
	t.Helper()
	path := filepath.Join(l.Fleet(), "hosts", "heron", "default.nix")
	data, err := os.ReadFile(path)
	ok(t, err)
	if !strings.Contains(string(data), from) {
		t.Fatalf("%s has no %q", path, from)
	}
	ok(t, os.WriteFile(path, []byte(strings.Replace(string(data), from, to, 1)), 0o600))
}

// anUpdate is `update:all` at work, in a process group of its own.
type anUpdate struct {
	cmd   *exec.Cmd
	mark  string // stands in the environment of all its processes
	state *ledger.State
	old   int // runs that were recorded before
}

func startUpdate(t *testing.T, d mageDoor, l *lab.Lab, program string) *anUpdate {
	t.Helper()
	for _, entry := range l.Env() {
		if name, value, _ := strings.Cut(entry, "="); name == "XDG_STATE_HOME" {
			t.Setenv(name, value) // for ledger.Open
		}
	}
	state, err := ledger.Open(l.Fleet())
	ok(t, err)
	runs, err := state.Runs()
	ok(t, err)
	u := &anUpdate{mark: "ROOST_TEST_MARK=" + t.Name() + strconv.Itoa(os.Getpid()), state: state, old: len(runs)}
	// The lab's environment has a home of its own, where go would find nothing.
	goEnv, err := command.Output(t.Context(), command.Cmd{Name: "go", Args: []string{"env", "GOENV", "GOCACHE", "GOMODCACHE"}})
	ok(t, err)
	lines := strings.Split(string(goEnv), "\n")
	u.cmd = exec.Command(program, "update:all")
	u.cmd.Dir = d.tree
	u.cmd.Env = append(append(os.Environ(), l.Env()...), u.mark, "MAGEFILE_CACHE="+filepath.Dir(d.mage),
		"GOENV="+lines[0], "GOCACHE="+lines[1], "GOMODCACHE="+lines[2])
	u.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	// A file, not a pipe: Wait must not wait for what outlives mage.
	log, err := os.Create(filepath.Join(t.TempDir(), "out"))
	ok(t, err)
	u.cmd.Stdout, u.cmd.Stderr = log, log
	ok(t, u.cmd.Start())
	t.Cleanup(func() {
		for _, pid := range u.processes(t) {
			syscall.Kill(pid, syscall.SIGKILL)
		}
		u.cmd.Wait()
		log.Close()
		if data, err := os.ReadFile(log.Name()); err == nil && t.Failed() {
			t.Logf("%s", data)
		}
	})
	return u
}

func (u *anUpdate) await(t *testing.T, what string, so func() bool) {
	t.Helper()
	for end := time.Now().Add(2 * time.Minute); !so(); time.Sleep(50 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("not in 2 minutes: %s; processes %v", what, u.processes(t))
		}
	}
}

// record is what the ledger has of this run so far.
func (u *anUpdate) record() string {
	runs, err := u.state.Runs()
	if err != nil || len(runs) <= u.old {
		return ""
	}
	data, _ := os.ReadFile(u.state.Path("runs", runs[len(runs)-1], "events.jsonl"))
	return string(data)
}

// processes finds what the update has started and is still there.
func (u *anUpdate) processes(t *testing.T) []int {
	t.Helper()
	all, err := filepath.Glob("/proc/[0-9]*/environ")
	ok(t, err)
	var pids []int
	for _, path := range all {
		data, err := os.ReadFile(path) // empty for a zombie, gone for an ended one
		if err == nil && strings.Contains(string(data), u.mark+"\x00") {
			pid, _ := strconv.Atoi(filepath.Base(filepath.Dir(path)))
			pids = append(pids, pid)
		}
	}
	return pids
}
