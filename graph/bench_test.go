package graph

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"testing"
)

// fleetGraph is the shape of update:all: per host an evaluation of one file, a
// probe, an effect that is satisfied, and a health check.
func fleetGraph(dir string, hosts int) *Graph {
	g := New()
	for i := range hosts {
		name := fmt.Sprintf("host%05d", i)
		want := Pure(g, name+"/eval", func(t *Task) Compute[string] {
			t.Files(dir, name)
			return Compute[string]{Run: func(context.Context) (string, error) { return name, nil }}
		})
		probe := Observe(g, name+"/probe", func(*Task) func(context.Context) (string, error) {
			return func(context.Context) (string, error) { return name, nil }
		})
		set := Effect(g, name+"/activate", func(t *Task) Change[string] {
			in, now := Use(t, want), Use(t, probe)
			t.Lane(name)
			return Change[string]{
				Check: func(ctx context.Context) (State[string], error) {
					return State[string]{Done: in.Get(ctx) == now.Get(ctx)}, nil
				},
				Apply: func(context.Context) error { return nil },
			}
		})
		Observe(g, name+"/health", func(t *Task) func(context.Context) (bool, error) {
			t.After(set)
			return func(context.Context) (bool, error) { return true, nil }
		})
	}
	return g
}

// A no-change run, with its keys from files and its results from the cache.
func BenchmarkNoChange(b *testing.B) {
	for _, hosts := range []int{40, 1000} {
		b.Run(fmt.Sprintf("hosts=%d", hosts), func(b *testing.B) {
			dir := b.TempDir()
			for i := range hosts {
				if err := os.WriteFile(filepath.Join(dir, fmt.Sprintf("host%05d", i)), []byte("x"), 0o600); err != nil {
					b.Fatal(err)
				}
			}
			cache, err := OpenCache(filepath.Join(dir, "cache"))
			if err != nil {
				b.Fatal(err)
			}
			options := Options{Cache: cache}
			g := fleetGraph(dir, hosts)
			if _, err := g.Run(b.Context(), options); err != nil {
				b.Fatal(err)
			}
			for b.Loop() {
				result, err := g.Run(b.Context(), options)
				if err != nil || result.Counts[StatusCached] != hosts {
					b.Fatal(err, result.Counts)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(b.N*4*hosts), "us/task")
		})
	}
}

func BenchmarkDeclare(b *testing.B) {
	for b.Loop() {
		fleetGraph("/none", 1000)
	}
	b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(b.N*4000), "us/task")
}

// A cold run of pure tasks that cost nothing themselves: what keys, the cache
// and the scheduler add to each.
func BenchmarkCold(b *testing.B) {
	const tasks = 1000
	g := New()
	for i := range tasks {
		pure(g, fmt.Sprintf("h/t%04d", i), constant("x"))
	}
	for b.Loop() {
		b.StopTimer()
		cache, err := OpenCache(b.TempDir())
		if err != nil {
			b.Fatal(err)
		}
		b.StartTimer()
		if _, err := g.Run(b.Context(), Options{Cache: cache}); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(b.N*tasks), "us/task")
}
