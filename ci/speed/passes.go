package speed

import (
	"context"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"

	"roost/internal/command"
)

// PassFloor is the pass that counts, for each task, the edges that lead to it:
// no pass over the graph can do with less.
const PassFloor = "floor"

// Pass is one pass over the edges of the largest graph.
type Pass struct {
	Name string
	Took time.Duration // the fastest
}

// passes runs BenchmarkPass of package graph, which has a benchmark a pass and
// one that is the floor, at a million tasks.
func passes(ctx context.Context) ([]Pass, error) {
	out, err := command.Output(ctx, command.Cmd{Name: "go", Env: []string{"CGO_ENABLED=0"},
		Args: []string{"test", "-run=^$", "-bench=^BenchmarkPass$", "-benchtime=5x", "-count=3", "roost/graph"}})
	if err != nil {
		return nil, fmt.Errorf("%w\n%s", err, out)
	}
	return readPasses(string(out))
}

// processorCount is what go test puts behind a name where there are several.
var processorCount = regexp.MustCompile(`-\d+$`)

func readPasses(out string) ([]Pass, error) {
	var all []Pass
	at := map[string]int{}
	for line := range strings.Lines(out) {
		fields := strings.Fields(line)
		if len(fields) < 4 || !strings.HasPrefix(fields[0], "BenchmarkPass/") || fields[3] != "ns/op" {
			continue
		}
		ns, err := strconv.ParseFloat(fields[2], 64)
		if err != nil {
			return nil, fmt.Errorf("the benchmark said %q: %w", line, err)
		}
		name := processorCount.ReplaceAllString(strings.TrimPrefix(fields[0], "BenchmarkPass/"), "")
		took := time.Duration(ns)
		if i, ok := at[name]; ok {
			all[i].Took = min(all[i].Took, took)
			continue
		}
		at[name] = len(all)
		all = append(all, Pass{name, took})
	}
	if _, ok := at[PassFloor]; !ok || len(all) < 2 {
		return nil, fmt.Errorf("BenchmarkPass of package graph gave no floor, or no pass: %d lines", len(all))
	}
	return all, nil
}
