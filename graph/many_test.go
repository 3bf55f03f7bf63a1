package graph

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// manyWorld is tasks that can be declared one by one or as a batch.
type manyWorld struct {
	dir            string
	n              int
	files, uses    [][]int
	rare, key      string
	named, declare int // how often Name and Declare were called
	ran            []int
}

func (w *manyWorld) name(i int) string { return fmt.Sprintf("h%d/t%d", i%3, i) }

// declareTask is what both ways say of a task.
func (w *manyWorld) declareTask(t *Task, i int, ref func(i int) Ref[string]) {
	for k, file := range w.files[i] {
		if k%2 == 0 {
			t.Files(w.dir, fmt.Sprintf("./s%d", file))
		} else {
			t.FileBytes(w.dir, fmt.Appendf(nil, "s%d", file))
		}
	}
	t.Version(i % 2)
	if i%2 == 0 {
		t.Value("number", fmt.Sprint(i))
	} else {
		t.ValueBytes("number", fmt.Append(nil, i))
	}
	t.MakesBytes(w.dir, fmt.Appendf(nil, "m%d", i))
	t.Heavy()
	for _, u := range w.uses[i] {
		t.Files(w.dir, fmt.Sprintf("m%d", u))
		Use(t, ref(u))
	}
	if w.rare != "" && i == w.n/2 {
		t.Lane(w.rare)
	}
}

func (w *manyWorld) run(i int) (string, error) {
	w.ran[i]++
	text := fmt.Sprint(i)
	for _, file := range w.files[i] {
		data, _ := os.ReadFile(filepath.Join(w.dir, fmt.Sprintf("s%d", file)))
		text += string(data)
	}
	for _, u := range w.uses[i] {
		data, err := os.ReadFile(filepath.Join(w.dir, fmt.Sprintf("m%d", u)))
		if err != nil {
			return "", err
		}
		text += "(" + string(data) + ")"
	}
	return "value " + text, os.WriteFile(filepath.Join(w.dir, fmt.Sprintf("m%d", i)), []byte(text), 0o600)
}

func (w *manyWorld) single() (*Graph, []Ref[string]) {
	g := New()
	refs := make([]Ref[string], w.n)
	for i := range refs {
		refs[i] = Pure(g, w.name(i), func(t *Task) Compute[string] {
			w.declareTask(t, i, func(i int) Ref[string] { return refs[i] })
			return Compute[string]{Run: func(context.Context) (string, error) { return w.run(i) }}
		})
	}
	return g, refs
}

func (w *manyWorld) batch(keep *Cache) (*Graph, []Ref[string]) {
	g := New()
	g.KeepIn(keep)
	all := Many(g, Batch[string]{
		N: w.n, Key: w.key,
		Name: func(b []byte, i int) []byte { w.named++; return append(b, w.name(i)...) },
		Declare: func(t *Task, i int, all Refs[string]) {
			w.declare++
			w.declareTask(t, i, all.At)
		},
		Run: func(_ context.Context, i int) (string, error) { return w.run(i) },
	})
	refs := make([]Ref[string], w.n)
	for i := range refs {
		refs[i] = all.At(i)
	}
	return g, refs
}

func drawManyWorld(t *rapid.T, dir string) *manyWorld {
	n := rapid.IntRange(1, 40).Draw(t, "tasks")
	w := &manyWorld{dir: dir, n: n, files: make([][]int, n), uses: make([][]int, n), ran: make([]int, n)}
	for i := range n {
		w.files[i] = rapid.SliceOfNDistinct(rapid.IntRange(0, 5), 0, 3, rapid.ID).Draw(t, "files")
		if i > 0 {
			w.uses[i] = rapid.SliceOfNDistinct(rapid.IntRange(0, i-1), 0, 2, rapid.ID).Draw(t, "uses")
		}
	}
	for i := range 6 {
		must(t, os.WriteFile(filepath.Join(dir, fmt.Sprintf("s%d", i)), fmt.Append(nil, "source ", i), 0o600))
	}
	return w
}

// TestManyIsTheSameAsPure declares random graphs in all ways there are.
func TestManyIsTheSameAsPure(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		dir, err := os.MkdirTemp("", "roost-many")
		must(t, err)
		defer os.RemoveAll(dir)
		w := drawManyWorld(t, dir)
		w.key = "one"
		keep, err := OpenCache(filepath.Join(dir, "kept"))
		must(t, err)
		g, _ := w.batch(keep)
		if w.named != w.n || w.declare != w.n || g.Len() != w.n {
			t.Fatalf("declared %d named %d of %d tasks", w.declare, w.named, g.Len())
		}
		type outcome struct {
			Plan   *Plan
			Values []string
		}
		var first outcome
		for way, declare := range []func() (*Graph, []Ref[string]){
			w.single,
			func() (*Graph, []Ref[string]) { return w.batch(nil) },
			func() (*Graph, []Ref[string]) { return w.batch(keep) },
		} {
			g, refs := declare()
			cache, err := OpenCache(filepath.Join(dir, fmt.Sprint("cache", way)))
			must(t, err)
			o := Options{Cache: cache, Records: true}
			_, err = g.Run(context.Background(), o)
			must(t, err)
			plan, err := g.Plan(context.Background(), o)
			must(t, err)
			for i := range plan.Tasks {
				plan.Tasks[i].Expect = 0
			}
			result, err := g.Run(context.Background(), o)
			must(t, err)
			got := outcome{Plan: plan}
			for i, ref := range refs {
				value, _ := ValueOf(result, ref)
				if got.Values = append(got.Values, value); !strings.HasPrefix(value, fmt.Sprint("value ", i)) || w.ran[i] != way+1 {
					t.Fatalf("way %d: task %d is %q and ran %d times", way, i, value, w.ran[i])
				}
			}
			if way == 0 {
				first = got
			} else if diff := cmp.Diff(first, got); diff != "" {
				t.Fatalf("way %d differs: %s", way, diff)
			}
		}
		if w.named != 2*w.n || w.declare != 2*w.n {
			t.Fatalf("a kept declaration was not used: %d names, %d declarations of %d tasks", w.named, w.declare, w.n)
		}
	})
}

// fixedMany is a small batch in a folder of its own.
func fixedMany(t testing.TB) (*manyWorld, *Cache) {
	w := &manyWorld{dir: t.TempDir(), n: 3, files: [][]int{{0}, {1, 0}, nil}, uses: [][]int{nil, {0}, {1, 0}}, ran: make([]int, 3), key: "one"}
	return w, cacheIn(t, filepath.Join(w.dir, "cache"))
}

func TestKeptDeclarations(t *testing.T) {
	tests := []struct {
		name    string
		change  func(*manyWorld, *Cache) // between the two declarations
		again   bool                     // Name and Declare must be called again
		damaged bool
	}{
		{"nothing", func(*manyWorld, *Cache) {}, false, false},
		{"another key", func(w *manyWorld, _ *Cache) { w.key = "two" }, true, false},
		{"no key", func(w *manyWorld, _ *Cache) { w.key = "" }, true, false},
		{"fewer tasks", func(w *manyWorld, _ *Cache) { w.n-- }, true, false},
		{"the file is gone", func(_ *manyWorld, c *Cache) { os.Remove(c.declaredPath()) }, true, false},
		{"the file is empty", func(_ *manyWorld, c *Cache) { os.WriteFile(c.declaredPath(), nil, 0o600) }, true, true},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			w, c := fixedMany(t)
			w.batch(c)
			test.change(w, c)
			w.named, w.declare = 0, 0
			g, refs := w.batch(c)
			if called := w.named + w.declare; called > 0 != test.again || (c.Damage() != "") != test.damaged {
				t.Errorf("called %d times; damage %q", called, c.Damage())
			}
			result, err := g.Run(t.Context(), Options{})
			ok(t, err)
			for i, ref := range refs {
				if value, is := ValueOf(result, ref); !is || !strings.HasPrefix(value, fmt.Sprint("value ", i)) {
					t.Errorf("task %d is %q", i, value)
				}
			}
		})
	}
}

// What few tasks have is not kept, so such a batch is declared each time.
func TestDeclarationsOfOddBatchesAreNotKept(t *testing.T) {
	w, c := fixedMany(t)
	w.rare = "lane"
	for range 2 {
		w.named = 0
		g, _ := w.batch(c)
		if w.named != w.n || len(g.rares) != 1 {
			t.Errorf("named %d, %d tasks have a lane", w.named, len(g.rares))
		}
	}
	w.rare, w.named = "", 0
	g := New()
	g.KeepIn(c)
	pure(g, "a/first", constant(""))
	for range 2 { // a batch that is not the first
		Many(g, Batch[string]{N: 1, Key: "k", Name: func(b []byte, i int) []byte {
			w.named++
			return fmt.Append(b, "b/x", w.named)
		}})
	}
	if w.named != 2 {
		t.Error("a batch that is not the first was taken from a file")
	}
}

// A damaged declaration is noticed, said, and made anew; never used.
func TestDeclarationDamagedAnywhere(t *testing.T) {
	w, c := fixedMany(t)
	w.batch(c)
	whole, err := os.ReadFile(c.declaredPath())
	ok(t, err)
	check := func(what string, at int, data []byte) {
		t.Helper()
		os.Remove(c.declaredPath()) // what is mapped must not change
		ok(t, os.WriteFile(c.declaredPath(), data, 0o600))
		c := cacheIn(t, c.dir)
		w.named = 0
		g, _ := w.batch(c)
		if w.named != w.n || g.Len() != w.n || c.Damage() == "" {
			t.Fatalf("%s at %d: named %d of %d; damage: %q", what, at, w.named, w.n, c.Damage())
		}
		w.named = 0
		if w.batch(c); w.named != 0 {
			t.Fatalf("%s at %d: it was not made anew", what, at)
		}
	}
	for at := range whole {
		check("cut", at, whole[:at])
		flipped := []byte(string(whole))
		flipped[at] ^= 1 << (at % 8)
		check("flipped", at, flipped)
	}
}

// What a plan says stays, when the graph that was mapped from a file is gone.
func TestPlanOutlivesAKeptGraph(t *testing.T) {
	w, c := fixedMany(t)
	w.batch(c)
	plan := func() *Plan {
		g, _ := w.batch(c)
		plan, err := g.Plan(t.Context(), Options{})
		ok(t, err)
		return plan
	}()
	for range 3 {
		runtime.GC()
		runtime.Gosched()
	}
	var names []string
	for _, p := range plan.Tasks {
		names = append(names, strings.Clone(p.Task))
	}
	if diff := cmp.Diff([]string{"h0/t0", "h1/t1", "h2/t2"}, names); diff != "" {
		t.Error(diff)
	}
}

func TestBadBatches(t *testing.T) {
	name := func(b []byte, i int) []byte { return fmt.Append(b, "h/t", i) }
	run := func(context.Context, int) (string, error) { return "", nil }
	tests := []struct {
		name  string
		batch func(g *Graph) Batch[string]
		panic string // or an error of the graph
		error string
	}{
		{"the same name twice", func(*Graph) Batch[string] {
			return Batch[string]{N: 2, Name: func(b []byte, i int) []byte { return append(b, "h/x"...) }}
		}, "", "task h/x is declared twice"},
		{"a bad name", func(*Graph) Batch[string] {
			return Batch[string]{N: 1, Name: func(b []byte, i int) []byte { return append(b, "x"...) }}
		}, "", `task name "x": want GROUP/STEP`},
		{"a task in a task", func(g *Graph) Batch[string] {
			return Batch[string]{N: 2, Name: name, Declare: func(*Task, int, Refs[string]) { pure(g, "h/inner", constant("")) }}
		}, "task h/inner is declared while another one is", ""},
		{"a batch in a task", func(g *Graph) Batch[string] {
			return Batch[string]{N: 2, Name: name, Declare: func(*Task, int, Refs[string]) {
				Many(g, Batch[string]{N: 1, Name: func(b []byte, i int) []byte { return append(b, "i/x"...) }})
			}}
		}, "task i/x is declared while another one is", ""},
		{"itself", func(*Graph) Batch[string] {
			return Batch[string]{N: 1, Name: name, Declare: func(t *Task, i int, all Refs[string]) { Use(t, all.At(i)) }}
		}, "task h/t0 needs a task of another graph, or none", ""},
		{"a later one", func(*Graph) Batch[string] {
			return Batch[string]{N: 2, Name: name, Declare: func(t *Task, i int, all Refs[string]) { t.After(all.At(i + 1)) }}
		}, "task h/t0 needs a task of another graph, or none", ""},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			defer func() {
				said := recover()
				if got := fmt.Sprint(said); test.panic != "" && !strings.Contains(got, test.panic) || test.panic == "" && said != nil {
					t.Errorf("panic %q, want %q", got, test.panic)
				}
			}()
			g := New()
			b := test.batch(g)
			b.Run = run
			g.KeepIn(cacheIn(t, t.TempDir()))
			b.Key = "k"
			Many(g, b)
			if _, err := g.Plan(t.Context(), Options{}); err == nil || !strings.Contains(err.Error(), test.error) {
				t.Errorf("got %v, want %q", err, test.error)
			}
			if _, err := os.Stat(g.keep.declaredPath()); err == nil {
				t.Error("a declaration that is not valid was kept")
			}
		})
	}
}

// A graph that was mapped back goes on as any other: it grows, gets edges by
// name, and leaves the file as it is.
func TestKeptGraphGrows(t *testing.T) {
	w, c := fixedMany(t)
	w.batch(c)
	for range 2 {
		w.named = 0
		g, refs := w.batch(c)
		if w.named != 0 {
			t.Fatal("the declaration was not kept")
		}
		for i := range 100 {
			pure(g, fmt.Sprintf("more/t%d", i), constant("more"), func(t *Task) {
				Use(t, refs[i%w.n])
				t.Files(w.dir, fmt.Sprintf("s%d", i))
				t.Value("n", fmt.Sprint(i))
			})
		}
		g.Order(w.name(2), "more/t0")
		Many(g, Batch[string]{
			N: 2, Key: "one", Name: func(b []byte, i int) []byte { return fmt.Append(b, "batch/t", i) },
			Run: func(_ context.Context, i int) (string, error) { return fmt.Sprint("of the batch: ", i), nil },
		})
		result, err := g.Run(t.Context(), Options{Cache: c})
		ok(t, err)
		n := 0
		for _, status := range []Status{StatusRan, StatusCached, StatusUnneeded} { // a task that is as it was asks for nothing it comes after
			for range result.Ended(status) {
				n++
			}
		}
		plan := result.Plan
		if n != w.n+102 || len(plan.Tasks) != w.n+102 {
			t.Errorf("%d tasks ended well, %d are planned, of %d", n, len(plan.Tasks), w.n+102)
		}
		if got := valueOf(result, int32(w.n+101)); got != "of the batch: 1" {
			t.Errorf("the last is %v", got)
		}
		if !slices.Contains(plan.Tasks[slices.IndexFunc(plan.Tasks, func(p Planned) bool { return p.Task == w.name(2) })].Needs, "more/t0") {
			t.Error("the edge by name is lost")
		}
	}
}
