package own

import (
	"bytes"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"roost/graph"
	"roost/hosts"
	"roost/internal/remote"
	"roost/internal/testneed"
)

// world is a fleet with a tasks.toml, and what its runs remember.
type world struct {
	t     *testing.T
	fleet *hosts.Fleet
	state string
	logs  map[string]*bytes.Buffer // of the last run
}

func newWorld(t *testing.T, tasks string, files map[string]string) *world {
	t.Helper()
	testneed.Tool(t, "sh")
	w := &world{t: t, fleet: newFleet(t, files), state: t.TempDir()}
	w.write(FileName, tasks)
	return w
}

func (w *world) write(name, text string) {
	w.t.Helper()
	writeFile(w.t, w.fleet.Dir, name, text)
}

func (w *world) remove(name string) {
	w.t.Helper()
	if err := os.Remove(filepath.Join(w.fleet.Dir, name)); err != nil {
		w.t.Fatal(err)
	}
}

// read is the content of a file; "" if there is none.
func (w *world) read(name string) string {
	data, err := os.ReadFile(filepath.Join(w.fleet.Dir, name))
	if err != nil && !os.IsNotExist(err) {
		w.t.Fatal(err)
	}
	return string(data)
}

type closer struct{ io.Writer }

func (closer) Close() error { return nil }

// run runs tasks, and returns how each ended.
func (w *world) run(dry bool, names ...string) (map[string]graph.Status, error) {
	w.t.Helper()
	tasks, err := Load(w.fleet)
	if err != nil {
		w.t.Fatal(err)
	}
	chosen, err := tasks.Choose(names, w.fleet.Hosts)
	if err != nil {
		w.t.Fatal(err)
	}
	cache, err := graph.OpenCache(filepath.Join(w.state, "cache"))
	if err != nil {
		w.t.Fatal(err)
	}
	g := graph.New()
	scratch, err := os.MkdirTemp("", "own-") // short enough for a socket
	if err != nil {
		w.t.Fatal(err)
	}
	defer os.RemoveAll(scratch)
	chosen.Declare(g, func(h *hosts.Host) *remote.Conn {
		return remote.Dial(remote.Target{Name: h.Name, Address: h.SSH.Address, Port: h.SSH.Port}, remote.Options{RuntimeDir: scratch, Config: "none"})
	})
	w.logs = map[string]*bytes.Buffer{}
	ends := map[string]graph.Status{}
	_, err = g.Run(w.t.Context(), graph.Options{
		Goals: chosen.Goals(), Pools: Pools(), Cache: cache, Dry: dry,
		LogTo: func(task string) (io.WriteCloser, error) {
			w.logs[task] = new(bytes.Buffer)
			return closer{w.logs[task]}, nil
		},
		Watch: []func(graph.Event){func(e graph.Event) {
			if e.Kind == graph.TaskFinished {
				ends[e.Task] = e.Status
			}
		}},
	})
	return ends, err
}

// want runs tasks, and wants each to end so: "fleet/a ran, fleet/b cached".
func (w *world) want(want string, names ...string) {
	w.t.Helper()
	ends, err := w.run(false, names...)
	var got []string
	for task, status := range ends {
		got = append(got, task+" "+string(status))
	}
	slices.Sort(got)
	if diff := cmp.Diff(want, strings.Join(got, ", ")); diff != "" {
		w.t.Errorf("(-want +got):\n%s%v", diff, err)
	}
}

// fails runs all tasks, and wants these words in the error.
func (w *world) fails(words string) {
	w.t.Helper()
	_, err := w.run(false)
	if err == nil || !strings.Contains(err.Error(), words) {
		w.t.Errorf("got the error %v, want %q in it", err, words)
	}
}

// A pure task runs when an input, the list of inputs, its command, its variables,
// its own program or the result of another task has changed, and not otherwise.
func TestPureTask(t *testing.T) {
	const tasks = `
[task.site]
run     = ["./make.sh", "public/index.html"]
inputs  = ["site/*.md"]
outputs = ["public/index.html"]
env     = { TITLE = "one" }
[task.count]
run     = ["sh", "-c", "cat public/*.html | wc -c >count"]
inputs  = ["public/*.html"]
outputs = ["count"]
`
	w := newWorld(t, tasks, map[string]string{
		"make.sh": "#!/bin/sh\necho \"$TITLE\" >$1; cat site/*.md >>$1\n", "site/a.md": "a\n", "site/b.md": "b\n", "site/c.txt": "c\n",
	})
	ends, err := w.run(true)
	if err != nil || ends["fleet/site"] != graph.StatusPlanned || w.read("public/index.html") != "" {
		t.Errorf("a dry run ended %v (%v), and made %q", ends, err, w.read("public/index.html"))
	}
	w.want("fleet/count ran, fleet/site ran")
	if got := w.read("public/index.html"); got != "one\na\nb\n" {
		t.Errorf("it made %q", got)
	}
	w.want("fleet/count cached, fleet/site cached")
	w.write("site/c.txt", "changed\n") // no input
	w.want("fleet/count cached, fleet/site cached")
	w.write("site/a.md", "A\n")
	w.want("fleet/count ran, fleet/site ran")
	w.write("site/d.md", "")
	w.want("fleet/site ran", "site")
	w.remove("site/d.md")
	w.write("make.sh", w.read("make.sh")+"# again\n")
	w.want("fleet/site ran", "site")
	w.write(FileName, strings.Replace(tasks, `"one"`, `"two"`, 1))
	w.want("fleet/count ran, fleet/site ran")
	w.remove("count")
	w.want("fleet/count ran, fleet/site cached")
	if got := w.read("count"); strings.TrimSpace(got) != "8" {
		t.Errorf("counted %q, want 8", got)
	}
	w.write("site/a.md", "A2\n")
	w.write("site/a.md", "A\n")
	w.want("fleet/count cached, fleet/site cached") // back before anybody looked
	w.write("site/a.md", "AA\n")
	w.want("fleet/count ran, fleet/site ran")
	w.write("site/a.md", "A\n") // its result is known, but what is there is another
	w.want("fleet/count ran, fleet/site ran")
	if got := w.read("public/index.html"); got != "two\nA\nb\n" {
		t.Errorf("after an edit was taken back it is %q", got)
	}
	w.write("public/index.html", "by hand\n")
	w.want("fleet/count cached, fleet/site ran")
	if got := w.read("public/index.html"); got != "two\nA\nb\n" {
		t.Errorf("after an edit by hand it is %q", got)
	}
	w.write("site/a.md", "AA\n")
	w.want("fleet/count ran, fleet/site ran", "count") // what it needs comes along
}

func TestPureTaskThatLies(t *testing.T) {
	newWorld(t, "[task.x]\nrun = ['true']\noutputs = ['made']", nil).fails("made")
	newWorld(t, "[task.x]\nrun = ['sh', '-c', ': >in/b']\ninputs = ['in/*']", map[string]string{"in/a": ""}).
		fails(`in/b, which its input "in/*" matches, appeared while it was at work`)
	newWorld(t, "[task.x]\nrun = ['sh', '-c', 'echo more >>in/a']\ninputs = ['in/*']", map[string]string{"in/a": ""}).
		fails("in/a changed while it was at work")
}

// A symlink is an input together with the file that it leads to.
func TestLinkedInput(t *testing.T) {
	w := newWorld(t, "[task.x]\nrun = ['true']\ninputs = ['link']", map[string]string{"deep/real": "1"})
	if err := os.Symlink("deep/real", filepath.Join(w.fleet.Dir, "link")); err != nil {
		t.Fatal(err)
	}
	w.want("fleet/x ran")
	w.want("fleet/x cached")
	w.write("deep/real", "2")
	w.want("fleet/x ran")
}

func TestEffect(t *testing.T) {
	w := newWorld(t, `
[task.mark]
on    = "@server"
check = ["test", "-e", "marks/{host}"]
run   = ["touch", "marks/{host}"]
`, map[string]string{"marks/rook": ""})
	ends, err := w.run(true)
	if err != nil || ends["heron/mark"] != graph.StatusPlanned || ends["rook/mark"] != graph.StatusSatisfied {
		t.Errorf("a dry run ended %v, %v", ends, err)
	}
	if _, err := os.Stat(filepath.Join(w.fleet.Dir, "marks/heron")); err == nil {
		t.Error("a dry run made a mark")
	}
	w.want("heron/mark ran, rook/mark satisfied")
	w.want("heron/mark satisfied, rook/mark satisfied")

	newWorld(t, "[task.x]\nrun = ['true']\ncheck = ['sh', '-c', 'exit 3']", nil).fails("the proof says no: check: sh -c \"exit 3\": exit code 3")
	newWorld(t, "[task.x]\nrun = ['true']\ncheck = ['sh', '-c', 'exit 127']", nil).fails("the check: sh -c \"exit 127\": exit code 127")
	newWorld(t, "[task.x]\nrun = ['true']\ncheck = ['no-such-program']", nil).fails("the check: no-such-program: there is no such program on its PATH")
	newWorld(t, "[task.x]\nrun = ['sh', '-c', 'exit 9']\ncheck = ['false']", nil).fails("fleet/x: sh -c \"exit 9\": exit code 9")
}

func TestAlways(t *testing.T) {
	w := newWorld(t, "[task.x]\nrun = ['sh', '-c', 'echo x >>said']\nalways = true", nil)
	ends, err := w.run(true)
	if err != nil || ends["fleet/x"] != graph.StatusPlanned || w.read("said") != "" {
		t.Errorf("a dry run ended %v, %v", ends, err)
	}
	w.want("fleet/x ran")
	w.want("fleet/x ran")
	if got := w.read("said"); got != "x\nx\n" {
		t.Errorf("it said %q", got)
	}
}

// What a program sees: nothing of ours but what it needs to run at all, and what
// the task says.
func TestWhatAProgramSees(t *testing.T) {
	t.Setenv("ROOST_OWN_SECRET", "ours")
	t.Setenv("ROOST_OWN_PASSED", "passed")
	t.Setenv("HOME", "/home/of-us")
	w := newWorld(t, `
[task.x]
run    = ["sh", "-c", "pwd; env; cat", "{{host}"]
always = true
dir    = "deep"
stdin  = "words"
env    = { OWN = "", HOME = "/home/of-task" }
pass   = ["ROOST_OWN_PASSED", "ROOST_OWN_UNSET"]
`, map[string]string{"deep/x": "", "words": "from stdin\n"})
	w.want("fleet/x ran")
	got := strings.Split(strings.TrimSpace(w.logs["fleet/x"].String()), "\n")
	got = slices.DeleteFunc(got, func(line string) bool { // what a shell sets by itself, and what we do have
		for _, name := range []string{"PATH=", "TMPDIR=", "PWD=", "OLDPWD=", "SHLVL=", "_="} {
			if strings.HasPrefix(line, name) {
				return true
			}
		}
		return false
	})
	slices.Sort(got)
	want := []string{filepath.Join(w.fleet.Dir, "deep"), "HOME=/home/of-task", "LANG=C.UTF-8", "OWN=", "ROOST_OWN_PASSED=passed", "from stdin"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// The variables of env reach a host in the arguments of env, in one order.
func TestVariablesOfAHost(t *testing.T) {
	w := worker{instance: &instance{Task: Task{Env: map[string]string{"B": "2 3", "A": ""}}}}
	if diff := cmp.Diff([]string{"env", "A=", "B=2 3"}, w.variables()); diff != "" {
		t.Error(diff)
	}
	if got := (&worker{instance: &instance{}}).variables(); got != nil {
		t.Errorf("without env it is %q", got)
	}
}

// A host that is away is deferred, also by a task that has nothing to check.
func TestHostThatIsAway(t *testing.T) {
	testneed.Tool(t, "ssh")
	newWorld(t, `
[task.x]
run   = ["true"]
check = ["true"]
on    = "rook"
at    = "host"
[task.y]
run    = ["true"]
always = true
on     = "rook"
at     = "host"
[task.z]
run    = ["true"]
always = true
needs  = ["x"]
`, nil).want("fleet/z deferred, rook/x deferred, rook/y deferred")
}

func TestRetries(t *testing.T) {
	const third = `n=$(cat n 2>/dev/null || echo 0); n=$((n+1)); echo $n >n; [ $n -ge 3 ] || exit `
	w := newWorld(t, "[task.x]\nrun = ['sh', '-c', '"+third+"75']\nalways = true\nretries = { times = 2, codes = [75, 76] }", nil)
	w.want("fleet/x ran")
	if got := w.read("n"); got != "3\n" {
		t.Errorf("it ran %q times", got)
	}
	w = newWorld(t, "[task.x]\nrun = ['sh', '-c', '"+third+"75']\nalways = true\nretries = { times = 1, codes = [75] }", nil)
	w.want("fleet/x failed")
	w = newWorld(t, "[task.x]\nrun = ['sh', '-c', '"+third+"1']\noutputs = ['n']\nretries = { times = 9, codes = [75] }", nil)
	w.want("fleet/x failed")
	if got := w.read("n"); got != "1\n" {
		t.Errorf("after another exit code it ran %q times", got)
	}
}

// The PATH of env is where the program is looked up.
func TestPathOfATask(t *testing.T) {
	bin := t.TempDir()
	writeFile(t, bin, "roost-own-tool", "#!/bin/sh\necho \"$0\"\n")
	w := newWorld(t, "[task.x]\nrun = ['roost-own-tool']\nalways = true\nenv.PATH = 'relative:"+bin+":/bin'", map[string]string{"relative/roost-own-tool": "#!/bin/sh\n"})
	w.want("fleet/x ran")
	if got := strings.TrimSpace(w.logs["fleet/x"].String()); got != filepath.Join(bin, "roost-own-tool") {
		t.Errorf("it ran %q", got)
	}
}

// A program that a signal ends, or that cannot be started, says so once.
func TestProgramThatDies(t *testing.T) {
	w := newWorld(t, "[task.x]\nrun = ['sh', '-c', 'echo dying >&2; kill -9 $$']\nalways = true", nil)
	if _, err := w.run(false); err == nil || !strings.Contains(err.Error(), "was killed (signal 9)") || strings.Count(err.Error(), "dying") != 1 {
		t.Errorf("got %v", err) // "dying" is in its arguments
	}
	newWorld(t, "[task.x]\nrun = ['no-such-program']\nalways = true", nil).fails("no-such-program: there is no such program on its PATH")
	w = newWorld(t, "[task.x]\nrun = ['./plain']\nalways = true", map[string]string{"plain": ""})
	if err := os.Chmod(filepath.Join(w.fleet.Dir, "plain"), 0o600); err != nil {
		t.Fatal(err)
	}
	w.fails("permission denied")
}

func TestTimeout(t *testing.T) {
	newWorld(t, "[task.x]\nrun = ['sleep', '1000']\nalways = true\ntimeout = '50ms'", nil).fails("it took longer than 50ms")
	newWorld(t, "[task.x]\nrun = ['sleep', '1000']\noutputs = ['x']\ntimeout = '50ms'", nil).fails("it took longer than 50ms")
	newWorld(t, "[task.x]\nrun = ['true']\ncheck = ['sleep', '1000']\ntimeout = '500ms'", nil).fails("the check: it took longer than 500ms: sleep 1000: was stopped")
}

// Two tasks that cannot work side by side: the folder is there while one works.
func TestLane(t *testing.T) {
	const body = "run = ['sh', '-c', 'mkdir busy && sleep 0.05 && rmdir busy']\nalways = true\nlane = 'busy-{host}'\n"
	newWorld(t, "[task.x]\non = 'rook'\n"+body+"[task.y]\non = 'rook'\n"+body, nil).want("rook/x ran, rook/y ran")
	one := strings.Replace(body, "-{host}", "", 1)
	newWorld(t, "[task.x]\n"+one+"[task.y]\non = 'rook'\n"+one+"[task.z]\n"+one, nil).want("fleet/x ran, fleet/z ran, rook/y ran")
}

// Needs: a satisfied effect asks for nothing, an effect that must run does; what
// fails blocks; what a check reads is made before it is asked.
func TestNeeds(t *testing.T) {
	w := newWorld(t, `
[task.paper]
run     = ["sh", "-c", "echo paper >paper"]
outputs = ["paper"]
[task.print]
check = ["cmp", "-s", "-", "printed"]
run   = ["sh", "-c", "cat >printed"]
stdin = "paper"
[task.post]
needs = ["print"]
check = ["test", "-e", "posted"]
run   = ["cp", "printed", "posted"]
`, nil)
	w.want("fleet/paper ran, fleet/post ran, fleet/print ran", "post")
	w.want("fleet/post satisfied", "post")
	w.write("printed", "by hand")
	w.want("fleet/post satisfied", "post")
	w.want("fleet/paper cached, fleet/post satisfied, fleet/print ran")
	if got := w.read("printed"); got != "paper\n" {
		t.Errorf("it printed %q", got)
	}

	newWorld(t, `
[task.bad]
on     = "@server"
run    = ["test", "{host}", "!=", "rook"]
always = true
[task.each]
on     = "@server"
run    = ["true"]
always = true
needs  = ["bad"]
[task.all]
run    = ["true"]
always = true
needs  = ["bad"]
[task.one]
run    = ["true"]
always = true
needs  = ["heron/bad"]
`, nil).want("fleet/all blocked, fleet/one ran, heron/bad ran, heron/each ran, rook/bad failed, rook/each blocked")
}

// A program that another task makes is made first.
func TestProgramThatIsMade(t *testing.T) {
	w := newWorld(t, `
[task.tool]
run     = ["sh", "-c", "echo '#!/bin/sh' >tool; echo 'echo made >$1' >>tool; chmod +x tool"]
outputs = ["tool"]
[task.use]
run     = ["./tool", "out"]
outputs = ["out"]
[task.call]
check = ["test", "-e", "called"]
run   = ["./tool", "called"]
needs = ["tool"]
[task.called]
check = ["./tool", "/dev/null"]
run   = ["false"]
`, nil)
	w.want("fleet/call ran, fleet/called satisfied, fleet/tool ran, fleet/use ran")
	w.want("fleet/call satisfied, fleet/called satisfied, fleet/tool cached, fleet/use cached")
}
