package graph

import "testing"

// BenchmarkPass measures passes over a graph of a million tasks and 2.7 million
// edges. The floor counts the edges that lead to each task. ci/speed compares
// them: each sub-benchmark is a pass, but for the one named floor.
func BenchmarkPass(b *testing.B) {
	const tasks, tier = 1_000_000, 100_000
	c := &compiled{Graph: &Graph{rows: make([]row, tasks)}}
	for id := range tasks {
		c.rows[id].edges = uint32(len(c.edges))
		if id < tier {
			continue
		}
		at, before := id%tier, (id/tier-1)*tier
		for _, need := range []int{before + at, before + (at+1)%tier, before + (at*7919+13)%tier} {
			c.edges = append(c.edges, makeEdge(int32(need), uses))
		}
	}
	b.Run("floor", func(b *testing.B) {
		for b.Loop() {
			count := make([]int32, tasks)
			for _, e := range c.edges {
				count[e.task()]++
			}
		}
	})
	b.Run("users", func(b *testing.B) {
		for b.Loop() {
			c.turnRound()
		}
	})
	b.Run("order", func(b *testing.B) { // and that there is no circle
		for b.Loop() {
			if len(c.kahn()) != tasks {
				b.Fatal("a circle")
			}
		}
	})
	b.Run("longest way", func(b *testing.B) {
		for b.Loop() {
			if d := c.depths(); d[tasks-1] != 9 {
				b.Fatal("depth", d[tasks-1])
			}
		}
	})
}
