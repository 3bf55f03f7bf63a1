package tasks

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"roost/graph"
	"roost/internal/testneed"
)

// module is a fleet that is a Go module of its own, with a magefile that has a
// verb, and the programs that work on it.
type module struct {
	dir, mage, roost string
	env              []string
}

// newModule builds the fleet of testdata, as its owner does: roost is a module
// that it requires.
func newModule(t *testing.T) *module {
	t.Helper()
	testneed.Tool(t, "go", "ssh", "sh")
	top := t.TempDir()
	m := &module{dir: filepath.Join(top, "fleet"), mage: filepath.Join(top, "fleet-mage"), roost: filepath.Join(top, "roost")}
	m.env = append(os.Environ(), "XDG_STATE_HOME="+filepath.Join(top, "state"), "MAGEFILE_CACHE="+filepath.Join(top, "cache"), "STATE_DIRECTORY=")
	checkout, err := filepath.Abs("..")
	must(t, err)
	must(t, os.CopyFS(m.dir, os.DirFS("testdata/fleet")))
	requirements := read(t, "../go.mod")
	if !strings.HasPrefix(requirements, "module roost\n") {
		t.Fatalf("go.mod begins otherwise: %.40q", requirements)
	}
	m.write(t, "go.mod", strings.Replace(requirements, "module roost\n", "module example.org/fleet\n", 1)+
		"\nrequire roost v0.0.0\n\nreplace roost => "+checkout+"\n")
	m.write(t, "go.sum", read(t, "../go.sum"))
	for _, c := range []struct {
		dir  string
		args []string
	}{
		{m.dir, []string{"tool", "mage", "-compile", m.mage}},
		{"..", []string{"build", "-o", m.roost, "./cmd/roost"}},
	} {
		build := exec.Command("go", c.args...)
		build.Dir, build.Env = c.dir, m.env
		if out, err := build.CombinedOutput(); err != nil {
			t.Fatalf("go %s: %v\n%s", strings.Join(c.args, " "), err, out)
		}
	}
	return m
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func read(t *testing.T, file string) string {
	t.Helper()
	data, err := os.ReadFile(file)
	must(t, err)
	return string(data)
}

func (m *module) write(t *testing.T, name, text string) {
	t.Helper()
	must(t, os.WriteFile(filepath.Join(m.dir, name), []byte(text), 0o600))
}

// note is what the fleet's note says; "" if there is none.
func (m *module) note(t *testing.T) string {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(m.dir, "note"))
	if !errors.Is(err, fs.ErrNotExist) {
		must(t, err)
	}
	return strings.TrimSpace(string(data))
}

// run runs a program in the fleet, and wants an exit code and words.
func (m *module) run(t *testing.T, program string, code int, says string, env []string, args ...string) {
	t.Helper()
	cmd := exec.Command(program, args...)
	cmd.Dir, cmd.Env = m.dir, append(m.env, env...)
	out, _ := cmd.CombinedOutput()
	if got := cmd.ProcessState.ExitCode(); got != code || !strings.Contains(string(out), says) {
		t.Errorf("%s %s: exit code %d and these words; want %d and %q:\n%s", filepath.Base(program), strings.Join(args, " "), got, code, says, out)
	}
}

func (m *module) wantNote(t *testing.T, want string) {
	t.Helper()
	if got := m.note(t); got != want {
		t.Errorf("the note says %q, want %q", got, want)
	}
}

// A verb in a fleet's own module has the plan, the record, the lock, the exit
// codes and the signals of roost's own.
func TestVerbOfAFleet(t *testing.T) {
	m := newModule(t)
	m.run(t, m.mage, 0, "there is no note", []string{"ROOST_DRY_RUN=1"}, "notes", "milk")
	m.wantNote(t, "")
	m.run(t, m.mage, 0, "deferred", nil, "notes", "milk") // away does not answer
	m.wantNote(t, "milk")
	m.run(t, m.mage, 0, "satisfied", []string{"ROOST_VERBOSE=1"}, "notes", "milk")
	m.run(t, m.roost, 0, "fleet/write: satisfied, because the note is about milk", nil, "why", "fleet/write")

	m.run(t, m.mage, 0, "Carry it out: tasks.Apply, in the program that has the verb notes", nil, "plan", "plan.json", "bread")
	m.wantNote(t, "milk")
	m.run(t, m.roost, 2, `"notes" is no verb that can be run, planned and drawn`, nil, "apply", "plan.json")
	m.write(t, "note", "eggs\n")
	m.run(t, m.mage, 3, "the plan is stale", nil, "apply", "plan.json")
	m.wantNote(t, "eggs")
	m.write(t, "note", "milk\n")
	m.run(t, m.mage, 0, "applied", nil, "apply", "plan.json")
	m.wantNote(t, "bread")

	m.write(t, "note", "eggs\n")
	m.run(t, m.mage, 0, "Again: notes bread", nil, "resume")
	m.wantNote(t, "bread")
	m.run(t, m.mage, 0, "flowchart LR", nil, "draw")

	m.run(t, m.mage, 1, "exit code 9", nil, "notes", "wrong")
	m.run(t, m.mage, 2, "notes wants something", nil, "notes", "nothing")
	m.run(t, m.mage, 2, `no host "nobody"`, []string{"ROOST_ON=nobody"}, "notes", "milk")
	m.run(t, m.mage, 1, "update:all is a verb of roost", nil, "update")
}

// SIGTERM ends what the verb has started, and a second run meanwhile finds the
// fleet locked.
func TestVerbOfAFleetIsStopped(t *testing.T) {
	m := newModule(t)
	cmd := exec.Command(m.mage, "notes", "for ever")
	var out bytes.Buffer
	cmd.Dir, cmd.Env, cmd.Stdout, cmd.Stderr, cmd.WaitDelay = m.dir, m.env, &out, &out, time.Minute
	must(t, cmd.Start())
	t.Cleanup(func() { _ = cmd.Process.Kill() })
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	for {
		if _, err := os.Stat(filepath.Join(m.dir, "begun")); err == nil {
			break
		}
		if ctx.Err() != nil {
			t.Fatalf("it did not begin:\n%s", &out)
		}
		time.Sleep(10 * time.Millisecond)
	}
	m.run(t, m.mage, 3, "notes", nil, "notes", "milk")
	ended := make(chan struct{})
	go func() { _ = cmd.Wait(); close(ended) }()
	for stopped := false; !stopped; {
		// The effect would have a minute after the first one. Two that come close
		// together are one.
		_ = cmd.Process.Signal(syscall.SIGTERM)
		select {
		case <-ended:
			stopped = true
		case <-time.After(200 * time.Millisecond):
		}
	}
	if code := cmd.ProcessState.ExitCode(); code != 143 {
		t.Errorf("exit code %d, want 143:\n%s", code, &out)
	}
	m.run(t, m.mage, 0, "applied", nil, "notes", "milk")
}

func TestVerbsThatAreNone(t *testing.T) {
	declare := func(*Fleet, *graph.Graph) error { return nil }
	for _, c := range []struct {
		verb Verb
		args []string
		says string
	}{
		{Verb{Declare: declare}, nil, `"" is no name for a verb`},
		{Verb{Name: "two words", Declare: declare}, nil, `"two words" is no name`},
		{Verb{Name: "run", Declare: declare}, nil, "run is a verb of roost"},
		{Verb{Name: "x"}, nil, "the verb x declares nothing"},
		{Verb{Name: "x", Declare: declare}, []string{"a", "--on"}, `"--on": an argument of a verb cannot begin with a dash`},
	} {
		if err := Run(t.Context(), c.verb, c.args...); err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%+v %q: %v, want %q", c.verb.Name, c.args, err, c.says)
		}
	}
	if got := ExitCode(errors.New("no program")); got != -1 {
		t.Errorf("the exit code of any error is %d, want -1", got)
	}
}
