package command

import (
	"bytes"
	"os"
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"
)

// BenchmarkRun measures a cheap program against its floor, ForkExec and wait4
// of the same argv, two at a time. The two take turns in batches: what else the
// machine does hits both. "x/floor" is the quotient of their medians.
//
//	go test -bench Run -benchtime 2000x ./internal/command
func BenchmarkRun(b *testing.B) {
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		b.Fatal(err)
	}
	defer null.Close()
	env, dir := []string{"PATH=/usr/bin:/bin", "LC_ALL=C"}, b.TempDir()
	floor := func(argv []string) error {
		fd := null.Fd()
		pid, err := syscall.ForkExec(argv[0], argv, &syscall.ProcAttr{Dir: dir, Env: env, Files: []uintptr{fd, fd, fd}})
		if err == nil {
			reap(pid)
		}
		return err
	}
	run := func(argv []string) error {
		var log bytes.Buffer
		return Run(b.Context(), Cmd{Name: argv[0], Args: argv[1:], Dir: dir, Environ: env, Stdout: &log, Stderr: &log})
	}
	for name, argv := range map[string][]string{
		"true":  {"/bin/true"},
		"shell": {"/bin/sh", "-c", ": > out"},
		"words": {"/bin/sh", "-c", "echo one; echo two >&2"},
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			const batch = 40
			var floors, runs []float64
			for range max(1, b.N/batch) {
				floors = append(floors, each(b, batch, func() error { return floor(argv) }))
				runs = append(runs, each(b, batch, func() error { return run(argv) }))
			}
			f, r := median(floors), median(runs)
			b.ReportMetric(0, "ns/op") // of both together: says nothing
			b.ReportMetric(f, "floor-ns")
			b.ReportMetric(r, "run-ns")
			b.ReportMetric(r/f, "x/floor")
		})
	}
}

// each is what one call of do takes, in ns, when two goroutines make n calls.
func each(b *testing.B, n int, do func() error) float64 {
	began := time.Now()
	var both sync.WaitGroup
	for range 2 {
		both.Go(func() {
			for range n / 2 {
				if err := do(); err != nil {
					b.Error(err)
				}
			}
		})
	}
	both.Wait()
	return float64(time.Since(began).Nanoseconds()) / float64(n)
}

func median(of []float64) float64 {
	slices.Sort(of)
	return of[len(of)/2]
}
