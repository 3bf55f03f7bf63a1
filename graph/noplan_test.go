package graph

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// Without a plan a run that has nothing to do does next to nothing; what it
// says of itself is the same, also on the day on which uses are noted.
func TestNoPlan(t *testing.T) {
	dir := t.TempDir()
	c := cacheIn(t, filepath.Join(dir, "cache"))
	began := time.Now()
	for day := range 3 {
		c.now = func() time.Time { return began.AddDate(0, 0, day) }
		g := New()
		for i := range 3 {
			name := fmt.Sprint("in", i)
			if day == 0 {
				ok(t, os.WriteFile(filepath.Join(dir, name), []byte("x"), 0o600))
			}
			pure(g, fmt.Sprintf("h/t%d", i), constant(name), func(t *Task) {
				t.Files(dir, name)
				if i > 0 {
					Use(t, Ref[string]{int32(i)})
				}
			})
		}
		result, err := g.Run(t.Context(), Options{Cache: c, NoPlan: true})
		ok(t, err)
		want, why := StatusCached, unchanged
		if day == 0 {
			want, why = StatusRan, "never ran"
		}
		if result.Counts[want] != 3 || result.Plan != nil {
			t.Fatal(day, result.Counts, result.Plan)
		}
		if status, reason := result.Status("h/t2"); status != want || reason != why {
			t.Error(day, status, reason)
		}
		if v, ok := ValueOf(result, Ref[string]{3}); v != "in2" || !ok {
			t.Error(day, v, ok)
		}
		kept, err := c.Entries()
		ok(t, err)
		for _, k := range kept {
			if age := c.now().Sub(k.Used); age > 2*time.Hour {
				t.Errorf("day %d: %s was of use %s ago", day, k.Task, age)
			}
		}
	}
}
