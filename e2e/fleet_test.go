package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"roost/graph"
	"roost/lab"
)

// The hosts of lab/fleet. wren has no web server.
var (
	everyone = []string{"heron", "malphas", "rook", "wren"}
	web      = []string{"heron", "malphas", "rook"}
)

// fleet is the lab's fleet folder, its hosts, and the roost that works on them.
type fleet struct {
	lab     *lab.Lab
	roost   string            // the program
	address map[string]string // of the hosts
	files   map[string]string // the fleet folder as it was at first
	first   *result           // of the very first run, on hosts that ran nothing
	serial  int
}

// write replaces a file of the fleet.
func (f *fleet) write(t *testing.T, file, text string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(f.lab.Fleet(), file), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func (f *fleet) read(t *testing.T, file string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(f.lab.Fleet(), file))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// replace edits a file of the fleet; what is to go must be there.
func (f *fleet) replace(t *testing.T, file, from, to string) {
	t.Helper()
	text := f.read(t, file)
	if !strings.Contains(text, from) {
		t.Fatalf("%s has no %q:\n%s", file, from, text)
	}
	f.write(t, file, strings.Replace(text, from, to, 1))
}

// set sets an option in a host's default.nix: f.set(t, "rook", "web.broken", "true").
func (f *fleet) set(t *testing.T, host, option, value string) {
	t.Helper()
	file := "hosts/" + host + "/default.nix"
	text := f.read(t, file)
	line := fmt.Sprintf("  %s = %s;\n", option, value)
	old := regexp.MustCompile(`(?m)^  ` + regexp.QuoteMeta(option) + ` = .*;\n`)
	if old.MatchString(text) {
		text = old.ReplaceAllLiteralString(text, line)
	} else {
		text = strings.TrimSuffix(strings.TrimSpace(text), "}") + line + "}\n"
	}
	f.write(t, file, text)
}

// change gives hosts a new system each, one that no host had before. It returns
// the version that their web servers then answer.
func (f *fleet) change(t *testing.T, hosts ...string) string {
	t.Helper()
	f.serial++
	version := fmt.Sprintf("2.%d", f.serial)
	for _, host := range hosts {
		f.set(t, host, `etc."serial".text`, `"`+version+`"`)
		if slices.Contains(web, host) {
			f.set(t, host, "web.version", `"`+version+`"`)
		}
	}
	return version
}

// payload makes a host's system larger by a file that no host had before.
func (f *fleet) payload(t *testing.T, host string, size int) {
	t.Helper()
	f.serial++
	f.set(t, host, "faults.payload", fmt.Sprint(size+f.serial))
}

// restore puts the fleet's files back and ends every fault.
func (f *fleet) restore(t *testing.T) {
	t.Helper()
	f.restoreFiles(t)
	ctx := context.Background() // the test's own has ended
	all, err := f.lab.Status(ctx)
	errs := []error{err}
	for _, h := range all {
		for _, fault := range h.Faults {
			switch fault {
			case "cut", "slow":
				errs = append(errs, f.lab.Mend(ctx, h.Name))
			case "full disk":
				errs = append(errs, f.lab.FreeDisk(ctx, h.Name))
			case "changed host key":
				errs = append(errs, f.lab.RestoreHostKey(ctx, h.Name))
			}
		}
	}
	if err := errors.Join(errs...); err != nil {
		t.Error(err)
	}
}

func (f *fleet) restoreFiles(t *testing.T) {
	t.Helper()
	for file, text := range f.files {
		f.write(t, file, text)
	}
}

// runs are the folders of the recorded runs, oldest first.
func (f *fleet) runs(t *testing.T) []string {
	t.Helper()
	found, err := filepath.Glob(filepath.Join(f.lab.Dir, "state", "roost", "*", "runs", "*"))
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(found)
	return found
}

// process is a verb at work: update:all but for a few tests.
type process struct {
	f              *fleet
	args           []string
	cmd            *exec.Cmd
	stdout, stderr bytes.Buffer
	before         []string // the runs that were there
	mark           string   // stands in the environment of it and of all that it starts
	began          time.Time
}

// start starts `roost update:all ARGS`.
func (f *fleet) start(t *testing.T, args ...string) *process {
	t.Helper()
	return f.verb(t, append([]string{"update:all"}, args...)...)
}

// verb starts `roost ARGS`.
func (f *fleet) verb(t *testing.T, args ...string) *process {
	t.Helper()
	f.serial++
	p := &process{f: f, args: args, before: f.runs(t), mark: fmt.Sprintf("ROOST_E2E=%d-%d", os.Getpid(), f.serial), began: time.Now()}
	p.cmd = exec.Command(f.roost, args...)
	p.cmd.Env = append(append(os.Environ(), f.lab.Env()...), p.mark)
	p.cmd.Stdout, p.cmd.Stderr = &p.stdout, &p.stderr
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // a signal for it is not for us
	p.cmd.WaitDelay = 10 * time.Second
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if p.cmd.ProcessState == nil { // the test gave up on it
			_ = p.cmd.Process.Kill()
			_ = p.cmd.Wait()
		}
	})
	return p
}

func (p *process) signal(t *testing.T, s syscall.Signal) {
	t.Helper()
	if err := p.cmd.Process.Signal(s); err != nil {
		t.Fatalf("%v: %v", s, err)
	}
}

// record is the folder of the run, empty as long as it has none.
func (p *process) record(t *testing.T) string {
	t.Helper()
	for _, run := range p.f.runs(t) {
		if !slices.Contains(p.before, run) {
			return run
		}
	}
	return ""
}

// await waits until the record of the run has an event.
func (p *process) await(t *testing.T, kind graph.EventKind, task string) {
	t.Helper()
	eventually(t, fmt.Sprintf("%s of %s", kind, task), func() bool {
		return slices.ContainsFunc(readEvents(t, p.record(t)), func(e graph.Event) bool { return e.Kind == kind && e.Task == task })
	})
}

// system is the path that the run has evaluated for a host by now.
func (p *process) system(t *testing.T, host string) string {
	t.Helper()
	return (&result{args: p.args, events: readEvents(t, p.record(t))}).system(t, host)
}

// result is how a run ended.
type result struct {
	args           []string
	code           int // -1: a signal ended it
	stdout, stderr string
	took           time.Duration
	record         string        // its folder; empty: it made none
	events         []graph.Event // as recorded, so none in a dry run
}

func (p *process) wait(t *testing.T) *result {
	t.Helper()
	err := p.cmd.Wait()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatalf("roost update:all: %v\n%s%s", err, &p.stdout, &p.stderr)
	}
	r := &result{args: p.args, code: p.cmd.ProcessState.ExitCode(), stdout: p.stdout.String(), stderr: p.stderr.String(),
		took: time.Since(p.began), record: p.record(t)}
	r.events = readEvents(t, r.record)
	t.Logf("%s: exit code %d in %.1f s", strings.Join(r.args, " "), r.code, r.took.Seconds())
	return r
}

// run runs `roost update:all ARGS` to its end.
func (f *fleet) run(t *testing.T, args ...string) *result {
	t.Helper()
	return f.start(t, args...).wait(t)
}

// readEvents reads what is recorded of a run; a line that is being written, or
// was when roost was killed, is left out.
func readEvents(t *testing.T, record string) []graph.Event {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(record, "events.jsonl"))
	if err != nil {
		return nil // not made yet
	}
	return parseEvents(t, data[:bytes.LastIndexByte(data, '\n')+1])
}

func parseEvents(t *testing.T, data []byte) []graph.Event {
	t.Helper()
	var events []graph.Event
	for line := range bytes.Lines(data) {
		var e graph.Event
		if err := json.Unmarshal(line, &e); err != nil {
			t.Fatalf("no event: %s: %v", line, err)
		}
		events = append(events, e)
	}
	return events
}

// failure is the test's own words with all that roost has said.
func (r *result) failure(format string, args ...any) string {
	return fmt.Sprintf(format, args...) + fmt.Sprintf("\nroost %s: exit code %d\n--- stdout\n%s--- stderr\n%s---",
		strings.Join(r.args, " "), r.code, r.stdout, r.stderr)
}

// want wants an exit code; without it the rest of a test means nothing.
func (r *result) want(t *testing.T, code int) {
	t.Helper()
	if r.code != code {
		t.Fatal(r.failure("exit code %d, want %d", r.code, code))
	}
}

var blanks = regexp.MustCompile(`\s+`)

// says wants words on stdout or stderr; where lines break does not matter.
func (r *result) says(t *testing.T, words ...string) {
	t.Helper()
	text := blanks.ReplaceAllString(r.stdout+" "+r.stderr, " ")
	for _, w := range words {
		if !strings.Contains(text, w) {
			t.Error(r.failure("it does not say %q", w))
		}
	}
}

// status is how a task ended; empty: it did not.
func (r *result) status(task string) graph.Status {
	for _, e := range r.events {
		if e.Kind == graph.TaskFinished && e.Task == task {
			return e.Status
		}
	}
	return ""
}

// ended wants a task's end, and says why it ended otherwise.
func (r *result) ended(t *testing.T, task string, want graph.Status) {
	t.Helper()
	if got := r.status(task); got != want {
		t.Error(r.failure("%s ended %q, want %q", task, got, want))
	}
}

// started names the tasks of a step that began to work.
func (r *result) started(step string) []string {
	var tasks []string
	for _, e := range r.events {
		if e.Kind == graph.TaskStarted && strings.HasSuffix(e.Task, "/"+step) {
			tasks = append(tasks, e.Task)
		}
	}
	return tasks
}

// didNothing wants a run without evaluation, build or effect.
func (r *result) didNothing(t *testing.T) {
	t.Helper()
	r.want(t, 0)
	for _, step := range []string{"eval", "build", "copy", "activate"} {
		if tasks := r.started(step); len(tasks) > 0 {
			t.Error(r.failure("nothing was to do, but there began %v", tasks))
		}
	}
}

// system is the path that the run evaluated for a host.
func (r *result) system(t *testing.T, host string) string {
	t.Helper()
	var system struct{ Out string }
	for _, e := range r.events {
		if e.Kind == graph.TaskFinished && e.Task == host+"/eval" && len(e.Result) > 0 {
			if err := json.Unmarshal(e.Result, &system); err != nil {
				t.Fatal(err)
			}
		}
	}
	if system.Out == "" {
		t.Fatal(r.failure("no event has the system of %s", host))
	}
	return system.Out
}

// running wants hosts to run what the run evaluated for them.
func (r *result) running(t *testing.T, f *fleet, hosts ...string) {
	t.Helper()
	for _, host := range hosts {
		if got, want := f.current(t, host), r.system(t, host); got != want {
			t.Error(r.failure("%s runs %s, want %s", host, got, want))
		}
	}
}
