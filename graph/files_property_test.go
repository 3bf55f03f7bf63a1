package graph

import (
	"context"
	"crypto/sha256"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// fileTask is a pure task of a random graph over real files.
type fileTask struct {
	name  string
	reads []string // sources
	uses  []int
	looks []bool // by use: it reads the files, too, that the used task makes
	makes []string
	heavy bool
	lossy bool // its value tells little of its inputs: early cut-off
	text  string
	how   int // how it writes
}

// knows is what a reference that forgets nothing says of the cache.
type knows uint8

const (
	surelyNot knows = iota
	maybe           // the cache was damaged or pruned since
	surely
)

// fileWorld is a folder, random tasks over it, and what must be in the cache.
type fileWorld struct {
	dir, cacheDir string
	sources       []string
	tasks         []*fileTask
	caches        []*Cache // processes that share the folder
	known         []map[string]knows
	damaged       bool // a cache file was, at any time

	mu  sync.Mutex
	ran []int
	log []string // what happened, for who has to find out why
}

const fileRest = 15 * time.Millisecond

func drawFileWorld(t *rapid.T) (*fileWorld, func()) {
	dir, err := os.MkdirTemp("", "roost-files")
	if err != nil {
		t.Fatal(err)
	}
	w := &fileWorld{dir: filepath.Join(dir, "root"), cacheDir: filepath.Join(dir, "cache")}
	must(t, os.MkdirAll(filepath.Join(w.dir, "sub"), 0o700))
	for i := range rapid.IntRange(1, 5).Draw(t, "sources") {
		rel := fmt.Sprintf("%ss%d", []string{"", "sub/"}[i%2], i)
		w.sources = append(w.sources, rel)
		if rapid.IntRange(0, 5).Draw(t, "missing") > 0 {
			must(t, os.WriteFile(w.path(rel), []byte(drawContent(t)), 0o600))
		}
	}
	for i := range rapid.IntRange(1, 7).Draw(t, "tasks") {
		x := &fileTask{
			name:  fmt.Sprintf("h/t%d", i),
			lossy: rapid.Bool().Draw(t, "lossy"),
			heavy: rapid.IntRange(0, 3).Draw(t, "heavy") == 0,
			how:   rapid.IntRange(0, 2).Draw(t, "how"),
		}
		for _, source := range w.sources {
			if rapid.IntRange(0, 2).Draw(t, "reads") == 0 {
				x.reads = append(x.reads, source)
			}
		}
		for need := range i {
			if rapid.IntRange(0, 2).Draw(t, "uses") == 0 {
				x.uses = append(x.uses, need)
				x.looks = append(x.looks, rapid.Bool().Draw(t, "looks"))
			}
		}
		for n := range rapid.SampledFrom([]int{0, 0, 1, 2}).Draw(t, "makes") {
			x.makes = append(x.makes, fmt.Sprintf("m%d.%d", i, n))
			x.heavy = true // what makes files must not work in a dry run
		}
		w.tasks = append(w.tasks, x)
		w.known = append(w.known, map[string]knows{})
	}
	w.caches = make([]*Cache, 2)
	for i := range w.caches {
		w.restart(t, i)
	}
	return w, func() { os.RemoveAll(dir) }
}

func must(t *rapid.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func drawContent(t *rapid.T) string {
	return rapid.SampledFrom([]string{"aa", "ab", "ba", "long one", ""}).Draw(t, "content")
}

func (w *fileWorld) path(rel string) string { return filepath.Join(w.dir, rel) }

func (w *fileWorld) restart(t *rapid.T, i int) {
	c, err := OpenCache(w.cacheDir)
	must(t, err)
	if w.caches[i] != nil && rapid.Bool().Draw(t, "closed") {
		w.caches[i].Close()
	}
	w.caches[i] = c
}

// describe says what a file is.
func (w *fileWorld) describe(rel string) string {
	info, err := os.Lstat(w.path(rel))
	if err != nil {
		return rel + " is missing"
	}
	if info.Mode()&fs.ModeSymlink != 0 {
		target, _ := os.Readlink(w.path(rel))
		return rel + " leads to " + target
	}
	data, err := os.ReadFile(w.path(rel))
	return fmt.Sprintf("%s %v %q %v", rel, info.Mode()&0o111 != 0, data, err)
}

func madeIs(rel, content string) string { return fmt.Sprintf("%s false %q <nil>", rel, content) }

// some tells little of a text.
func some(text string, of byte) string {
	sum := sha256.Sum256([]byte(text))
	return string('p' + sum[0]%of)
}

// result is a task's value, and the content of each file it makes.
func (x *fileTask) result(inputs []string) (value string, made []string) {
	text := x.name + x.text + strings.Join(inputs, "\n")
	for _, rel := range x.makes {
		made = append(made, rel+" "+some(rel+text, 3))
	}
	if x.lossy {
		return some(text, 2), made
	}
	sum := sha256.Sum256([]byte(text))
	return fmt.Sprintf("%x", sum[:4]), made
}

func (w *fileWorld) graph() (*Graph, []Ref[string]) {
	w.ran = make([]int, len(w.tasks))
	g := New()
	refs := make([]Ref[string], len(w.tasks))
	for i, x := range w.tasks {
		refs[i] = Pure(g, x.name, func(t *Task) Compute[string] {
			t.Value("text", x.text)
			t.Files(w.dir, x.reads...)
			t.Makes(w.dir, x.makes...)
			var ins []Input[string]
			for k, u := range x.uses {
				ins = append(ins, Use(t, refs[u]))
				if x.looks[k] {
					t.Files(w.dir, w.tasks[u].makes...)
				}
			}
			if x.heavy {
				t.Heavy()
			}
			return Compute[string]{Run: func(ctx context.Context) (string, error) {
				w.mu.Lock()
				w.ran[i]++
				w.mu.Unlock()
				var inputs []string
				for _, rel := range x.reads {
					inputs = append(inputs, w.describe(rel))
				}
				for k, u := range x.uses {
					inputs = append(inputs, ins[k].Get(ctx))
					for _, rel := range w.tasks[u].makes {
						if x.looks[k] {
							inputs = append(inputs, w.describe(rel))
						}
					}
				}
				value, made := x.result(inputs)
				for n, rel := range x.makes {
					if err := x.write(w.path(rel), made[n]); err != nil {
						return "", err
					}
				}
				return value, nil
			}}
		})
	}
	return g, refs
}

func (x *fileTask) write(path, content string) error {
	switch x.how {
	case 0:
		if info, err := os.Lstat(path); err == nil && info.Mode() == 0o600 {
			return os.WriteFile(path, []byte(content), 0o600)
		}
		fallthrough
	case 1:
		os.Remove(path)
		return os.WriteFile(path, []byte(content), 0o600)
	default:
		if err := os.WriteFile(path+".new", []byte(content), 0o600); err != nil {
			return err
		}
		return os.Rename(path+".new", path)
	}
}

// expected is what plain recursion over the real files says of a task.
type expected struct {
	value string
	made  []string
	key   string // all that its result depends on
	whole bool   // what it makes is there as it makes it
}

func (w *fileWorld) reference() []expected {
	all := make([]expected, len(w.tasks))
	for i, x := range w.tasks {
		e := &all[i]
		var inputs []string
		for _, rel := range x.reads {
			inputs = append(inputs, w.describe(rel))
		}
		e.key = x.text + "\n" + strings.Join(inputs, "\n")
		for k, u := range x.uses {
			inputs = append(inputs, all[u].value)
			e.key += fmt.Sprint("\n", all[u].value, all[u].made)
			for n, rel := range w.tasks[u].makes {
				if x.looks[k] {
					inputs = append(inputs, madeIs(rel, all[u].made[n]))
				}
			}
		}
		e.value, e.made = x.result(inputs)
		e.whole = true
		for n, rel := range x.makes {
			e.whole = e.whole && w.describe(rel) == madeIs(rel, e.made[n])
		}
	}
	return all
}

// tree is everything below the world's folder.
func (w *fileWorld) tree() map[string]string {
	all := map[string]string{}
	filepath.WalkDir(filepath.Dir(w.dir), func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			all[path] = err.Error()
			return nil
		}
		info, err := d.Info()
		if err != nil {
			all[path] = err.Error()
			return nil
		}
		all[path] = fmt.Sprint(info.Mode(), info.ModTime().UnixNano(), info.Size())
		if info.Mode().IsRegular() {
			data, _ := os.ReadFile(path)
			all[path] += string(data)
		}
		return nil
	})
	return all
}

// run plans and runs the graph, and holds both against the reference.
func (w *fileWorld) run(t *rapid.T, c *Cache, again bool) {
	g, _ := w.graph()
	before := w.tree()
	plan, err := g.Plan(context.Background(), Options{Cache: c, Jobs: 3})
	must(t, err)
	if after := w.tree(); !maps.Equal(before, after) {
		t.Fatalf("a dry run changed files:\n%v\n%v", before, after)
	}
	for i, x := range w.tasks {
		if w.ran[i] > 1 || x.heavy && w.ran[i] > 0 {
			t.Fatalf("%s ran %d times in a dry run", x.name, w.ran[i])
		}
	}
	w.log = append(w.log, fmt.Sprint("run of process ", slices.Index(w.caches, c)))
	planned := map[string]Planned{}
	for _, p := range plan.Tasks {
		planned[p.Task] = p
	}

	want := w.reference()
	g, refs := w.graph()
	result, err := g.Run(context.Background(), Options{Cache: c, Jobs: 3})
	must(t, err)
	lost := false
	for i, x := range w.tasks {
		e := want[i]
		value, ok := ValueOf(result, refs[i])
		if !ok && w.damaged && c.Damage() != "" {
			lost = true // nobody used it, and the next run computes it again
		} else if !ok || value != e.value {
			t.Fatalf("%s is %q (%v), want %q", x.name, value, ok, e.value)
		}
		for n, rel := range x.makes {
			if got := w.describe(rel); got != madeIs(rel, e.made[n]) {
				t.Fatalf("%s made %s, want %s", x.name, got, madeIs(rel, e.made[n]))
			}
		}
		w.checkRan(t, i, e, planned[x.name], again)
		if w.ran[i] > 0 {
			w.known[i][e.key] = surely
		}
	}
	if lost && again {
		t.Fatalf("a value is lost for good: %s", c.Damage())
	}
}

func (w *fileWorld) checkRan(t *rapid.T, i int, e expected, p Planned, again bool) {
	x, ran := w.tasks[i], w.ran[i]
	known := w.known[i][e.key]
	switch {
	case ran > 1:
		t.Fatalf("%s ran %d times", x.name, ran)
	case ran == 1 && known == surely && e.whole:
		t.Fatalf("%s ran (%s), but its inputs and outputs are what they were; %v", x.name, p.Reason, w.log)
	case ran == 0 && (known == surelyNot || !e.whole):
		t.Fatalf("%s did not run, but must have (%s)", x.name, p.Reason)
	case ran == 1 && again && !w.damaged:
		t.Fatalf("%s ran again, although nothing has changed", x.name)
	case p.Decision == DecideCached && ran == 1 && w.damaged:
		// Planning has found that the journal is damaged, and the run computes what was lost.
	case p.Decision == DecideRun && ran == 0, p.Decision == DecideCached && ran == 1,
		p.Decision != DecideRun && p.Decision != DecideCached && p.Decision != DecideUnknown:
		t.Fatalf("%s was planned as %s (%s), and ran %d times", x.name, p.Decision, p.Reason, ran)
	}
}

// forget lowers what must be in the cache.
func (w *fileWorld) forget(to knows) {
	for _, known := range w.known {
		for key, is := range known {
			known[key] = min(is, to)
		}
	}
}

// edit changes a file, as people, editors and tools do.
func (w *fileWorld) edit(t *rapid.T) {
	all := slices.Clone(w.sources)
	for _, x := range w.tasks {
		all = append(all, x.makes...)
	}
	path := w.path(rapid.SampledFrom(all).Draw(t, "file"))
	other := w.path(rapid.SampledFrom(w.sources).Draw(t, "other"))
	info, err := os.Lstat(path)
	there := err == nil
	isFile := there && info.Mode().IsRegular()
	switch rapid.IntRange(0, 10).Draw(t, "edit") {
	case 0: // of equal size, with the time put back
		if isFile && info.Size() > 0 {
			data, err := os.ReadFile(path)
			must(t, err)
			data[0] ^= 3
			must(t, os.WriteFile(path, data, 0o600))
			must(t, os.Chtimes(path, info.ModTime(), info.ModTime()))
		}
	case 1:
		os.Remove(path)
		must(t, os.WriteFile(path, []byte(drawContent(t)), 0o600))
	case 2:
		if isFile {
			must(t, os.WriteFile(path, []byte(drawContent(t)), 0o600))
		}
	case 3: // one over another
		if _, err := os.Lstat(other); err == nil {
			must(t, os.Rename(other, path))
		}
	case 4: // swapped
		if _, err := os.Lstat(other); err == nil && there && other != path {
			must(t, os.Rename(path, path+".swap"))
			must(t, os.Rename(other, path))
			must(t, os.Rename(path+".swap", other))
		}
	case 5: // as editors save
		must(t, os.WriteFile(path+".tmp", []byte(drawContent(t)), 0o600))
		if there {
			must(t, os.Chtimes(path+".tmp", info.ModTime(), info.ModTime()))
		}
		must(t, os.Rename(path+".tmp", path))
	case 6:
		os.Remove(path)
	case 7:
		if isFile {
			must(t, os.Chmod(path, info.Mode()^0o100))
		}
	case 8:
		os.Remove(path)
		must(t, os.Symlink(filepath.Base(other), path))
	case 9:
		if isFile {
			must(t, os.Chtimes(path, time.Time{}, info.ModTime().Add(time.Hour*time.Duration(rapid.IntRange(-1, 1).Draw(t, "hours")))))
		}
	case 10: // a task of other code
		w.tasks[rapid.IntRange(0, len(w.tasks)-1).Draw(t, "task")].text = drawContent(t)
	}
}

// harm does something to the cache.
func (w *fileWorld) harm(t *rapid.T) {
	journal, index := filepath.Join(w.cacheDir, "journal"), filepath.Join(w.cacheDir, "index")
	c := w.caches[rapid.IntRange(0, 1).Draw(t, "process")]
	harm := rapid.IntRange(0, 9).Draw(t, "harm")
	w.log = append(w.log, fmt.Sprint("harm ", harm))
	switch harm {
	case 0:
		os.Remove(index)
	case 1:
		os.Remove(journal)
		w.forget(surelyNot)
	case 2:
		w.flip(t, index)
	case 3:
		w.flip(t, journal)
	case 4:
		w.cut(t, index)
	case 5:
		w.cut(t, journal)
	case 6:
		_, _, err := c.Prune(PruneOptions{OlderThan: 1 << 62})
		must(t, err)
		w.forget(surelyNot)
	case 7:
		_, _, err := c.Prune(PruneOptions{OlderThan: 1 << 62, MaxSize: int64(rapid.IntRange(0, 2000).Draw(t, "left"))})
		must(t, err)
		w.forget(maybe)
	case 8: // another process at the same files
		w.run(t, w.caches[1], false)
	case 9:
		w.restart(t, rapid.IntRange(0, 1).Draw(t, "process"))
	}
}

func (w *fileWorld) flip(t *rapid.T, path string) {
	data, err := os.ReadFile(path)
	if err != nil || len(data) == 0 {
		return
	}
	at := rapid.IntRange(0, len(data)-1).Draw(t, "byte")
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	must(t, err)
	_, err = f.WriteAt([]byte{data[at] ^ 1<<rapid.IntRange(0, 7).Draw(t, "bit")}, int64(at))
	must(t, err)
	must(t, f.Close())
	w.damaged = true
	w.forget(maybe)
	if filepath.Base(path) == "journal" && at < journalHeader {
		w.restartAll(t) // who has it open goes on with it, and the next process begins another
	}
}

// restartAll is what a power cut does to processes.
func (w *fileWorld) restartAll(t *rapid.T) {
	for i := range w.caches {
		w.restart(t, i)
	}
}

// cut shortens a file: the journal in place, as a power cut does; the index,
// which is mapped, in a copy that takes its place.
func (w *fileWorld) cut(t *rapid.T, path string) {
	data, err := os.ReadFile(path)
	if err != nil || len(data) == 0 {
		return
	}
	size := rapid.IntRange(0, len(data)-1).Draw(t, "size")
	w.damaged = true
	if filepath.Base(path) == "journal" {
		w.forget(maybe)
		must(t, os.Truncate(path, int64(size)))
		w.restartAll(t)
		return
	}
	must(t, os.WriteFile(path+".cut", data[:size], 0o600))
	must(t, os.Rename(path+".cut", path))
}

// TestFilesKeepTheirPromises runs random graphs over random files, edits the
// files and harms the cache in between, and holds every run against plain
// recursion over the real files.
func TestFilesKeepTheirPromises(t *testing.T) {
	defer func(was time.Duration) { rest = was }(rest)
	rest = fileRest // so that stamps are believed within a test
	rapid.Check(t, func(t *rapid.T) {
		w, remove := drawFileWorld(t)
		defer remove()
		for range rapid.IntRange(1, 5).Draw(t, "rounds") {
			c := w.caches[rapid.SampledFrom([]int{0, 0, 0, 1}).Draw(t, "process")]
			if rapid.IntRange(0, 3).Draw(t, "waits") == 0 {
				time.Sleep(fileRest + 5*time.Millisecond)
			}
			w.run(t, c, false)
			w.run(t, c, true)
			for range rapid.IntRange(0, 3).Draw(t, "edits") {
				w.edit(t)
			}
			for range rapid.SampledFrom([]int{0, 0, 1, 2}).Draw(t, "harms") {
				w.harm(t)
			}
		}
	})
}
