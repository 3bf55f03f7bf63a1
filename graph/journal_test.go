package graph

import (
	"context"
	"os"
	"path/filepath"
	"testing"
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
	if _, is := run(c); is {
		t.Fatal("the value is not lost")
	}
	if value, _ := run(c); value != "a++" || ran != [3]int{1, 1, 2} || c.Damage() == "" {
		t.Errorf("it is %q, the tasks ran %v times, and the damage is %q", value, ran, c.Damage())
	}
}
