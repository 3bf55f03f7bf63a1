package shape

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestNew(t *testing.T) {
	for _, test := range []struct {
		name string
		n    int
		good bool
	}{
		{"layered", 30, true}, {"layered", 1_000_000, true}, {"fleet", 1, true},
		{"layered", 20, false}, {"layered", 35, false}, {"fleet", 0, false}, {"star", 100, false},
	} {
		if _, err := New(test.name, test.n); (err == nil) != test.good {
			t.Errorf("New(%q, %d): %v", test.name, test.n, err)
		}
	}
}

// What is promised of the shapes, counted.
func TestShapes(t *testing.T) {
	for _, test := range []struct {
		name                           string
		n, tasks, edges, sources, deep int
	}{
		{"layered", 30, 30, 81, 30, 10},
		{"layered", 1000, 1000, 2700, 1000, 10},
		{"fleet", 1, 10, 9, 1, 10},
		{"fleet", 100, 802, 900, 100, 10},
	} {
		s, err := New(test.name, test.n)
		if err != nil {
			t.Fatal(err)
		}
		names, files := map[string]bool{}, map[string]bool{}
		depth := make([]int, s.Len())
		edges, sources, deepest := 0, 0, 0
		for i := range s.Len() {
			needs := s.Needs(nil, i)
			distinct := map[int]bool{}
			depth[i] = 1
			for _, need := range needs {
				if need < 0 || need >= i {
					t.Fatalf("%s: task %d needs %d, which is not before it", s, i, need)
				}
				distinct[need] = true
				depth[i] = max(depth[i], depth[need]+1)
			}
			if len(distinct) != len(needs) {
				t.Errorf("%s: task %d needs %v: one stands twice", s, i, needs)
			}
			edges += len(needs)
			deepest = max(deepest, depth[i])
			names[s.Name(i)] = true
			files[s.Out(i)] = true
			if source := s.Source(i); source != "" {
				sources++
				files[source] = true
			}
		}
		got := []int{s.Len(), edges, sources, deepest, len(names), len(files), s.Edges()}
		want := []int{test.tasks, test.edges, test.sources, test.deep, test.tasks, test.tasks + test.sources, test.edges}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s: tasks, edges, sources, depth, names, files, Edges:\n%s", s, diff)
		}
		if s.Source(s.Leaf()) == "" {
			t.Errorf("%s: the leaf has no source to edit", s)
		}
	}
}

func TestNumber(t *testing.T) {
	for i, want := range map[int]string{0: "t0000000", 7: "t0000007", 10: "t0000010", 999_999: "t0999999", 1_000_000: "t1000000", 12_345_678: "t12345678"} {
		if got := string(number(nil, "t", i)); got != want {
			t.Errorf("number(%d) = %q, want %q", i, got, want)
		}
	}
}
