package graph

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// planWorld is a file, its evaluation, a heavy build and an effect after it.
type planWorld struct {
	dir     string
	running string
	builds  int
}

func (w *planWorld) graph() *Graph {
	g := New()
	want := pure(g, "h/eval", func(context.Context) (string, error) {
		data, err := os.ReadFile(filepath.Join(w.dir, "in"))
		return string(data), err
	}, func(t *Task) { t.Files(w.dir, "in"); t.Value("nix", "2.8") })
	built := pure(g, "h/build", func(context.Context) (string, error) { w.builds++; return "out", nil },
		func(t *Task) { Use(t, want); t.Heavy() })
	Effect(g, "h/set", func(t *Task) Change[string] {
		in := Use(t, want)
		t.After(built)
		return Change[string]{
			Check: func(ctx context.Context) (State[string], error) {
				return State[string]{Done: w.running == in.Get(ctx), Reason: "it runs " + w.running}, nil
			},
			Apply: func(ctx context.Context) error { w.running = in.Get(ctx); return nil },
		}
	})
	return g
}

func TestApplyRefusesWhatHasMoved(t *testing.T) {
	tests := []struct {
		name  string
		move  func(*planWorld)
		moved string // empty = the plan is followed
	}{
		{"nothing", func(*planWorld) {}, ""},
		{"a file", func(w *planWorld) { w.write("newer") }, "h/eval: in changed"},
		{"the world", func(w *planWorld) { w.running = "other" },
			"h/set: planned: run (it runs old); now: run (it runs other)"},
		{"somebody did it", func(w *planWorld) { w.running = "new" },
			"h/set: planned: run (it runs old); now: satisfied (it runs new)"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			w := &planWorld{dir: t.TempDir(), running: "old"}
			w.write("new")
			cache, err := OpenCache(filepath.Join(w.dir, "cache"))
			if err != nil {
				t.Fatal(err)
			}
			plan, err := w.graph().Plan(t.Context(), Options{Cache: cache, Records: true})
			if err != nil {
				t.Fatal(err)
			}
			test.move(w)
			before := w.running
			_, err = w.graph().Run(t.Context(), Options{Cache: cache, Records: true, Expect: plan})
			if test.moved == "" {
				if err != nil || w.running != "new" || w.builds != 1 {
					t.Errorf("%v; it runs %s after %d builds", err, w.running, w.builds)
				}
				return
			}
			stale, is := errors.AsType[*StaleError](err)
			if !is || len(stale.Moved) != 1 || !strings.Contains(err.Error(), test.moved) {
				t.Errorf("got %v, want %q", err, test.moved)
			}
			if w.running != before || w.builds != 0 {
				t.Errorf("a stale plan was carried out: it runs %s after %d builds", w.running, w.builds)
			}
		})
	}
}

func (w *planWorld) write(text string) {
	if err := os.WriteFile(filepath.Join(w.dir, "in"), []byte(text), 0o600); err != nil {
		panic(err)
	}
}

func TestPlanOfOtherTasksIsStale(t *testing.T) {
	w := &planWorld{dir: t.TempDir(), running: "old"}
	w.write("new")
	plan, err := w.graph().Plan(t.Context(), Options{})
	if err != nil {
		t.Fatal(err)
	}
	g := w.graph()
	pure(g, "i/more", constant(""))
	plan.Tasks = append(plan.Tasks, Planned{Task: "j/gone", Kind: KindPure})
	_, err = g.Run(t.Context(), Options{Expect: plan})
	for _, want := range []string{"i/more: it was not in the plan", "j/gone: it is gone"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
}

func TestExplain(t *testing.T) {
	w := &planWorld{dir: t.TempDir(), running: "old"}
	cache, err := OpenCache(filepath.Join(w.dir, "cache"))
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{"one", "two"} {
		w.write(text)
		if _, err := w.graph().Run(t.Context(), Options{Cache: cache}); err != nil {
			t.Fatal(err)
		}
	}
	e, ok := cache.Explain("h/eval")
	if !ok || strings.Join(e.Inputs, " ") != "in nix roost's own code for this task" {
		t.Errorf("inputs %v", e.Inputs)
	}
	if len(e.Changed) != 1 || e.Changed[0].What != "in" || len(e.Changed[0].Old) != 8 || e.Changed[0].Old == e.Changed[0].New {
		t.Errorf("changed %+v", e.Changed)
	}
	if _, ok := cache.Explain("h/set"); ok {
		t.Error("an effect has no record")
	}
}
