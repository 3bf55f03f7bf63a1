package graph

import "testing"

// BenchmarkPass measures passes over a graph of a million tasks and 2.7 million
// edges. The floor counts the edges that lead to each task. ci/speed compares
// them: each sub-benchmark is a pass, but for the one named floor.
func BenchmarkPass(b *testing.B) {
	const tasks, tier = 1_000_000, 100_000
	c := &compiled{tasks: make([]*Task, tasks), needs: make([][]int, tasks), users: make([][]int, tasks)}
	edges := make([]int32, 0, 3*tasks)
	for id := tier; id < tasks; id++ {
		at, before := id%tier, (id/tier-1)*tier
		for _, need := range []int{before + at, before + (at+1)%tier, before + (at*7919+13)%tier} {
			c.needs[id] = append(c.needs[id], need)
			c.users[need] = append(c.users[need], id)
			edges = append(edges, int32(need))
		}
	}
	b.Run("floor", func(b *testing.B) {
		for b.Loop() {
			count := make([]int32, tasks)
			for _, need := range edges {
				count[need]++
			}
		}
	})
	b.Run("order", func(b *testing.B) {
		for b.Loop() {
			if len(c.topological()) != tasks {
				b.Fatal("a cycle")
			}
		}
	})
}
