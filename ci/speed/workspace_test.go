package speed

import (
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"roost/ci/speed/shape"
	"roost/internal/testneed"
)

var update = flag.Bool("update", false, "write golden files anew")

func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		ok(t, os.MkdirAll("testdata", 0o755))
		ok(t, os.WriteFile(path, []byte(got), 0o644))
	}
	want, err := os.ReadFile(path)
	ok(t, err)
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s is different (-update writes it anew):\n%s", path, diff)
	}
}

func ok(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func newShape(t *testing.T, name string, n int) shape.Shape {
	t.Helper()
	s, err := shape.New(name, n)
	ok(t, err)
	return s
}

func newTestWorkspace(t *testing.T, name string, n int) *workspace {
	t.Helper()
	w, err := newWorkspace(t.TempDir(), newShape(t, name, n))
	ok(t, err)
	return w
}

func TestWorkspace(t *testing.T) {
	w := newTestWorkspace(t, "fleet", 2)
	golden(t, "fleet2.list", strings.ReplaceAll(read(t, w, statList)+"\n"+read(t, w, spawnList), "\x00", "\n"))

	leaf := w.shape.Source(w.shape.Leaf())
	before := read(t, w, leaf)
	other := read(t, w, w.shape.Source(1))
	ok(t, w.editLeaf())
	once := read(t, w, leaf)
	ok(t, w.editLeaf())
	if twice := read(t, w, leaf); before == once || once == twice || read(t, w, w.shape.Source(1)) != other {
		t.Errorf("the leaf is %q, then %q, then %q", before, once, twice)
	}

	old := time.Unix(1_000_000_000, 0)
	ok(t, os.Chtimes(filepath.Join(w.dir, leaf), old, old))
	once = read(t, w, leaf)
	ok(t, w.touch())
	info, err := os.Stat(filepath.Join(w.dir, leaf))
	ok(t, err)
	if !info.ModTime().After(old) || read(t, w, leaf) != once {
		t.Errorf("touched: %v, %q", info.ModTime(), read(t, w, leaf))
	}

	if _, err := w.firstOut(); err == nil {
		t.Error("no stamp file is there, and none was missed")
	}
	ok(t, w.makeOuts())
	ok(t, os.Chtimes(filepath.Join(w.dir, w.shape.Out(3)), old, old))
	if first, err := w.firstOut(); err != nil || !first.Equal(old) {
		t.Errorf("the first stamp is of %v (%v), want %v", first, err, old)
	}
	ok(t, os.Mkdir(filepath.Join(w.dir, stateDir), 0o700))
	ok(t, w.clean(stateDir, "none"))
	left, err := filepath.Glob(filepath.Join(w.dir, "out", "*"))
	if _, gone := os.Stat(filepath.Join(w.dir, stateDir)); err != nil || len(left) > 0 || gone == nil || read(t, w, leaf) != once {
		t.Errorf("after clean there is %q, state %v", left, gone)
	}
}

func read(t *testing.T, w *workspace, name string) string {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(w.dir, name))
	ok(t, err)
	return string(data)
}

// What the engines read, as it is written.
func TestPeerFiles(t *testing.T) {
	for who, one := range peers {
		w := newTestWorkspace(t, "fleet", 2)
		_, found, err := programs{one.tool: "/x"}.peer(who, 2, w)
		if !found || err != nil {
			t.Fatal(found, err)
		}
		for name := range one.files {
			golden(t, strings.ReplaceAll(who, " ", "-")+"."+name, read(t, w, name))
		}
	}
	if _, found, err := (programs{}).peer(Ninja, 2, newTestWorkspace(t, "fleet", 2)); found || err != nil {
		t.Errorf("a peer that is not here: %v, %v", found, err)
	}
}

// Every engine that is here makes every stamp file, and then nothing; the edit
// of a leaf reaches those who can see it.
func TestPeersRun(t *testing.T) {
	for who, one := range peers {
		for _, shape := range []struct {
			name string
			n    int
		}{{"layered", 40}, {"fleet", 3}} {
			if who == Ansible && shape.name == "layered" {
				continue // it has hosts, no files
			}
			t.Run(fmt.Sprintf("%s, %s", who, shape.name), func(t *testing.T) {
				if who == Ninja || who == Make {
					testneed.Tool(t, one.tool)
				}
				path, err := exec.LookPath(one.tool)
				if err != nil {
					t.Skip("needs ", one.tool, ", which only mage bench installs")
				}
				w := newTestWorkspace(t, shape.name, shape.n)
				e, _, err := programs{one.tool: path}.peer(who, 2, w)
				ok(t, err)
				run := func() {
					t.Helper()
					cmd := exec.Command(e.argv[0], e.argv[1:]...)
					cmd.Dir = w.dir
					if out, err := cmd.CombinedOutput(); err != nil {
						t.Fatalf("%v: %v\n%s", e.argv, err, out)
					}
				}
				run()
				if _, err := w.firstOut(); err != nil {
					t.Fatalf("after a whole run: %v", err)
				}
				if one.again {
					return
				}
				time.Sleep(settle)
				out := filepath.Join(w.dir, w.shape.Out(w.shape.Leaf()))
				before, err := os.Stat(out)
				ok(t, err)
				run()
				after, err := os.Stat(out)
				ok(t, err)
				if !after.ModTime().Equal(before.ModTime()) {
					t.Error("nothing has changed, and the leaf was made again")
				}
				ok(t, w.editLeaf())
				time.Sleep(settle)
				run()
				after, err = os.Stat(out)
				ok(t, err)
				if after.ModTime().Equal(before.ModTime()) {
					t.Error("the leaf's source was edited, and it was not made again")
				}
			})
		}
	}
}

// The programs of the benchmark do what they say, from building them to what
// they tell.
func TestOwnPrograms(t *testing.T) {
	testneed.Tool(t, "go")
	bin := t.TempDir()
	p, err := build(t.Context(), bin, t.Output())
	ok(t, err)
	l := launcher{p["launch"], bin}
	w := newTestWorkspace(t, "layered", 40)

	for _, who := range []string{StatFloor, HashFloor} {
		if _, err := l.run(t.Context(), p.floor(who, 2, w)); err == nil || !strings.Contains(err.Error(), "out/00000") {
			t.Errorf("%s, without stamp files: %v", who, err)
		}
	}
	for _, who := range []string{SpawnFloor, StatFloor, HashFloor} {
		phase := NoOp
		if who == SpawnFloor {
			phase = Cold
		}
		r, err := l.measure(t.Context(), phase, p.floor(who, 2, w))
		if err != nil || r.Wall <= 0 || r.CPU < 0 || r.Peak < 100<<10 {
			t.Errorf("%s: %+v, %v", who, r, err)
		}
	}

	ours := p.contender(Roost, "layered", 40, 2, w)
	for _, step := range []struct {
		phase       Phase
		who         string
		flags       []string
		ran, cached int
	}{
		{Cold, RoostInside, []string{"-inprocess"}, 40, 0},
		{Cold, RoostEvents, []string{"-events"}, 40, 0},
		{Cold, Roost, nil, 40, 0},
		{NoOp, Roost, nil, 0, 40},
		{NoOp, RoostVerify, []string{"-verify"}, 0, 40},
		{NoOp, RoostDry, []string{"-dry"}, 0, 40},
		{NoOp, RoostWhy, []string{"-why", "layer9/t0000039"}, 0, 0},
		{Leaf, Roost, nil, 1, 39},
		{Touched, Roost, nil, 0, 40},
		{Bare, RoostLimits, []string{"-bare", "-limits"}, 40, 0},
	} {
		e := ours
		e.who, e.argv = step.who, append(e.argv[:len(e.argv):len(e.argv)], step.flags...)
		r, err := l.measure(t.Context(), step.phase, e)
		if err != nil || r.Said.Ran != step.ran || r.Said.Cached != step.cached {
			t.Errorf("%s, %s: ran %d, cached %d, want %d and %d: %v", step.who, step.phase, r.Said.Ran, r.Said.Cached, step.ran, step.cached, err)
		}
		if step.who == RoostEvents {
			records, _ := filepath.Glob(filepath.Join(w.dir, stateDir, "runs", "*", "events.jsonl"))
			if r.Said.Events < 2*40 || len(records) != 1 {
				t.Errorf("%d events, records %q", r.Said.Events, records)
			}
		}
		if worked := step.ran > 0; worked != (r.Said.First > 0) || r.Said.First > r.Said.Wall {
			t.Errorf("%s, %s: the first task after %s of %s", step.who, step.phase, r.Said.First, r.Said.Wall)
		}
	}

	// A run that does what it should not is no measurement.
	if _, err := l.measure(t.Context(), Cold, p.contender(RoostDry, "layered", 40, 2, w, "-dry")); err == nil || !strings.Contains(err.Error(), "no such file") {
		t.Errorf("a cold run that made nothing: %v", err)
	}
	_, err = l.measure(t.Context(), Cold, ours)
	ok(t, err)
	ok(t, w.editLeaf())
	if _, err := l.measure(t.Context(), NoOp, ours); err == nil || !strings.Contains(err.Error(), "it ran 1 of 40 tasks, want 0") {
		t.Errorf("a no-op that ran a task: %v", err)
	}
	_, err = l.run(t.Context(), ours)
	ok(t, err)
	if err := l.remakes(t.Context(), ours); err == nil || !strings.Contains(err.Error(), "a stamp file was removed; it ran 0 tasks: ") {
		t.Errorf("an engine that does not look at stamp files: %v", err)
	}
	if _, err := l.run(t.Context(), p.contender(Roost, "star", 40, 2, w)); err == nil || !strings.Contains(err.Error(), `shape "star"`) {
		t.Errorf("a run that fails: %v", err)
	}
}
