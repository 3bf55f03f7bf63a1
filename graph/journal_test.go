package graph

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"testing"
	"time"
)

// chain is three tasks, each of which uses the one before; the first reads a file.
func chain(dir string, ran *[3]int) (*Graph, []Ref[string]) {
	g := New()
	var refs []Ref[string]
	for i := range 3 {
		refs = append(refs, Pure(g, "h/t"+string('0'+rune(i)), func(t *Task) Compute[string] {
			var in Input[string]
			if i == 0 {
				t.Files(dir, "in")
			} else {
				in = Use(t, refs[i-1])
			}
			return Compute[string]{Run: func(ctx context.Context) (string, error) {
				ran[i]++
				if i > 0 {
					return in.Get(ctx) + "+", nil
				}
				data, err := os.ReadFile(filepath.Join(dir, "in"))
				return string(data), err
			}}
		}))
	}
	return g, refs
}

// A journal that is shorter than what is known of it, as a power cut leaves it:
// what was lost is computed again, once, and that is said.
func TestJournalShorterThanItsIndex(t *testing.T) {
	for _, opened := range []bool{false, true} {
		dir := t.TempDir()
		ok(t, os.WriteFile(filepath.Join(dir, "in"), []byte("a"), 0o600))
		c := cacheIn(t, filepath.Join(dir, "cache"))
		var ran [3]int
		g, _ := chain(dir, &ran)
		_, err := g.Run(t.Context(), Options{Cache: c})
		ok(t, err)
		ok(t, os.Truncate(c.journalPath(), int64(journalHeader)+40))
		if !opened {
			c = cacheIn(t, c.dir)
		}
		ok(t, os.WriteFile(filepath.Join(dir, "in"), []byte("b"), 0o600))
		for range 2 {
			g, _ = chain(dir, &ran)
			_, err = g.Run(t.Context(), Options{Cache: c})
			ok(t, err)
		}
		if ran != [3]int{2, 2, 2} {
			t.Errorf("still open: %v; the tasks ran %v times, want twice each", opened, ran)
		}
		if c.Damage() == "" {
			t.Errorf("still open: %v; that results were lost is not said", opened)
		}
	}
}

// A result that the journal has lost, although the index knows of it, is
// computed again by the next run at the latest, and Damage says so.
func TestLostValueIsNotLostForEver(t *testing.T) {
	dir := t.TempDir()
	ok(t, os.WriteFile(filepath.Join(dir, "in"), []byte("a"), 0o600))
	var ran [3]int
	run := func(c *Cache) (string, bool) {
		g, refs := chain(dir, &ran)
		result, err := g.Run(t.Context(), Options{Cache: c})
		ok(t, err)
		return ValueOf(result, refs[2])
	}
	c := cacheIn(t, filepath.Join(dir, "cache"))
	run(c)
	last, _ := c.lastOf("h/t2")
	data, err := os.ReadFile(c.journalPath())
	ok(t, err)
	data[last.at+40] ^= 1
	ok(t, os.WriteFile(c.journalPath(), data, 0o600))
	c = cacheIn(t, c.dir)
	c.now = func() time.Time { return time.Now().Add(usedHours * time.Hour) } // the index is made anew meanwhile
	if _, is := run(c); is {
		t.Fatal("the value is not lost")
	}
	if value, _ := run(c); value != "a++" || ran != [3]int{1, 1, 2} || c.Damage() == "" {
		t.Errorf("it is %q, the tasks ran %v times, and the damage is %q", value, ran, c.Damage())
	}
}

// damageWorld is the chain after three runs, two of them over other files, with
// everything a cache keeps.
type damageWorld struct {
	dir string
	ran [3]int
}

func (w *damageWorld) cacheDir() string { return filepath.Join(w.dir, "cache") }

func newDamageWorld(t *testing.T) *damageWorld {
	w := &damageWorld{dir: t.TempDir()}
	for _, text := range []string{"a", "b", "a"} {
		ok(t, os.WriteFile(filepath.Join(w.dir, "in"), []byte(text), 0o600))
		time.Sleep(fileRest + 5*time.Millisecond) // so that its stamp is believed
		w.run(t, text)
	}
	return w
}

// run runs the chain in a new process, and again, and wants the right values of
// it. It returns how often the tasks ran, and what was said of damage.
func (w *damageWorld) run(t *testing.T, text string) (ran [3]int, damage string) {
	t.Helper()
	c := cacheIn(t, w.cacheDir())
	defer c.Close()
	for again := range 3 {
		before := w.ran
		g, refs := chain(w.dir, &w.ran)
		result, err := g.Run(t.Context(), Options{Cache: c})
		ok(t, err)
		if _, err := json.Marshal(result.Plan); err != nil {
			t.Fatal(err)
		}
		for i, ref := range refs {
			want := text + "++"[:i]
			if got, is := ValueOf(result, ref); got != want && (is || again > 0 || c.Damage() == "") {
				t.Fatalf("task %d is %q (%v), want %q; damage: %q", i, got, is, want, c.Damage())
			}
		}
		for i := range ran {
			now := w.ran[i] - before[i]
			if ran[i] += now; now > 1 || again == 2 && now > 0 {
				t.Fatalf("task %d ran %d times in run %d", i, now, again)
			}
		}
	}
	return ran, c.Damage()
}

// files are what a cache has kept.
func (w *damageWorld) files(t *testing.T) map[string][]byte {
	files := map[string][]byte{}
	for _, name := range []string{"journal", "index"} {
		data, err := os.ReadFile(filepath.Join(w.cacheDir(), name))
		ok(t, err)
		files[name] = data
	}
	return files
}

// restore puts the cache's files in place, one of them in another form.
func (w *damageWorld) restore(t *testing.T, files map[string][]byte, name string, data []byte) {
	for file, whole := range files {
		if file == name {
			whole = data
		}
		path := filepath.Join(w.cacheDir(), file)
		os.Remove(path) // what is mapped must not change
		ok(t, os.WriteFile(path, whole, 0o600))
	}
}

func TestCacheDamagedAnywhere(t *testing.T) {
	defer func(was time.Duration) { rest = was }(rest)
	rest = fileRest
	w := newDamageWorld(t)
	files := w.files(t)
	if ran, damage := w.run(t, "a"); ran != [3]int{} || damage != "" {
		t.Fatalf("with nothing damaged, the tasks ran %v times: %s", ran, damage)
	}
	for _, name := range []string{"journal", "index"} {
		t.Run(name, func(t *testing.T) {
			whole := files[name]
			for at := range whole {
				w.restore(t, files, name, whole[:at])
				ran, damage := w.run(t, "a")
				if damage == "" && (ran != [3]int{} || at < journalHeader) {
					t.Errorf("cut at %d: the tasks ran %v times, and nothing was said", at, ran)
				}
			}
			for at := range whole {
				flipped := slices.Clone(whole)
				flipped[at] ^= 1 << (at % 8)
				w.restore(t, files, name, flipped)
				ran, damage := w.run(t, "a")
				if name == "journal" && damage == "" && ran != [3]int{} {
					t.Errorf("flipped at %d: the tasks ran %v times, and nothing was said", at, ran)
				}
			}
		})
	}
}

// FuzzParseEntry: any bytes are an entry or none; an entry that was parsed is
// written as one that is parsed as the same.
func FuzzParseEntry(f *testing.F) {
	made := []content{{regular, keyOf(1)}, {missing, digest{}}}
	for _, e := range []entry{
		{kind: recordSuccess, task: []byte("h/x"), key: keyOf(1), value: []byte("{}"), text: []byte("a\nb"), made: made, seconds: 1.5, time: 7},
		{kind: recordAgain, task: []byte("h/x"), key: keyOf(2), used: map[string]int{"memory": 3, "disk": -1}},
		{kind: recordTiming, task: []byte("h/y"), seconds: 2},
		{kind: recordFile, root: []byte("/r"), file: []byte("a b"), stamp: 9, content: executable, digest: keyOf(3)},
	} {
		f.Add(e.appendTo(nil)[frameHeader:])
	}
	f.Add([]byte{})
	f.Add([]byte("S\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"))
	f.Fuzz(func(t *testing.T, payload []byte) {
		e, ok := parseEntry(payload)
		if !ok {
			return
		}
		frame := e.appendTo(nil)
		if length, ok := frameLength(frame); !ok || length != len(frame) || !frameWhole(frame) {
			t.Fatalf("a frame of %d bytes is not whole", len(frame))
		}
		again, ok := parseEntry(frame[frameHeader:])
		if e.seconds != e.seconds { // NaN
			e.seconds, again.seconds = 0, 0
		}
		if !ok || !reflect.DeepEqual(e, again) {
			t.Fatalf("%+v became %+v (%v)", e, again, ok)
		}
	})
}

// FuzzColumns: any bytes are an index and a declaration, or none; what they hold
// can be asked for, and is in the file.
func FuzzColumns(f *testing.F) {
	dir := f.TempDir()
	path := filepath.Join(dir, "columns")
	small := columnLayout{magic: "roost-test-0001\n", numbers: 1, columns: 2}
	ok(f, small.write(path, []uint64{3}, func(w *columnWriter) {
		writeSlice(w, []uint32{1, 2, 3})
		writeRoots(w, []string{"/a", "/b"})
	}))
	add := func(path string) {
		data, err := os.ReadFile(path)
		ok(f, err)
		f.Add(data, uint16(0), byte(0))
		f.Add(data, uint16(len(data)-1), byte(1))
	}
	add(path)
	var ran [3]int
	ok(f, os.WriteFile(filepath.Join(dir, "in"), []byte("a"), 0o600))
	c := cacheIn(f, filepath.Join(dir, "cache"))
	g, _ := chain(dir, &ran)
	_, err := g.Run(f.Context(), Options{Cache: c})
	ok(f, err)
	add(c.indexPath())
	w, kept := fixedMany(f)
	w.batch(kept)
	add(kept.declaredPath())
	f.Fuzz(func(t *testing.T, data []byte, at uint16, flip byte) {
		if len(data) > 0 {
			data = slices.Clone(data)
			data[int(at)%len(data)] ^= flip
		}
		dir := t.TempDir()
		path := filepath.Join(dir, "index")
		ok(t, os.WriteFile(path, data, 0o600))
		if file, _ := small.open(path); file != nil {
			is := true
			numbers := column[uint32](file, 0, int(file.numbers[0]), &is)
			if is != (uint64(len(numbers)) == file.numbers[0]) {
				t.Fatalf("%d numbers of %d: %v", len(numbers), file.numbers[0], is)
			}
		}
		if file, _ := indexLayout.open(path); file != nil {
			x := &index{mapped: file}
			if x.parse() {
				for i := range x.tasks {
					guess := -1
					x.row(i)
					x.findTask(x.name(i), &guess)
				}
				for i := range x.files {
					x.file(i)
				}
				x.findKey(keyOf(1))
			}
		}
		g := New()
		g.KeepIn(cacheIn(t, dir))
		ok(t, os.Rename(path, g.keep.declaredPath()))
		if g.recall(w.key, w.n) && (g.Len() != w.n || g.name(0) != w.name(0)) {
			t.Fatalf("took a declaration of %d tasks", g.Len())
		}
	})
}

// A damaged duration is none: a plan has numbers that JSON knows.
func TestDamagedDuration(t *testing.T) {
	dir := t.TempDir()
	ok(t, os.WriteFile(filepath.Join(dir, "in"), []byte("a"), 0o600))
	var ran [3]int
	c := cacheIn(t, filepath.Join(dir, "cache"))
	g, _ := chain(dir, &ran)
	_, err := g.Run(t.Context(), Options{Cache: c})
	ok(t, err)
	f, _ := indexLayout.open(c.indexPath())
	data := slices.Clone(f.data)
	for at := f.starts[colTaskSeconds]; at < f.starts[colRoots]; at++ {
		data[at] = 0xff
	}
	ok(t, os.Remove(c.indexPath()))
	ok(t, os.WriteFile(c.indexPath(), data, 0o600))
	ok(t, os.WriteFile(filepath.Join(dir, "in"), []byte("b"), 0o600))
	g, _ = chain(dir, &ran)
	plan, err := g.Plan(t.Context(), Options{Cache: cacheIn(t, c.dir)})
	ok(t, err)
	if _, err := json.Marshal(plan); err != nil {
		t.Error(err)
	}
}
