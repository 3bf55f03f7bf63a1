package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"roost/graph"
)

// A fleet to be probed: hosts answer after their latency, but for one in twenty,
// which never does.
const (
	latency  = 50 * time.Millisecond
	deadline = 2 * time.Second
	deadOne  = 20
)

// declareProbes declares one probe a host.
func declareProbes(g *graph.Graph, hosts int) {
	for i := range hosts {
		graph.Observe(g, fmt.Sprintf("h%05d/probe", i), func(t *graph.Task) func(context.Context) (int, error) {
			t.Timeout(deadline)
			return func(ctx context.Context) (int, error) {
				answer := time.After(latency)
				if i%deadOne == 0 {
					answer = nil
				}
				select {
				case <-answer:
					return i, nil
				case <-ctx.Done():
					return 0, graph.Defer(errors.New("it does not answer"))
				}
			}
		})
	}
}
