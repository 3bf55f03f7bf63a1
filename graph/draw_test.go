package graph

import (
	"bytes"
	"context"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// sketch declares tasks from lines "NAME KIND:NEED KIND:NEED ...".
func sketch(lines ...string) *Graph {
	g := New()
	refs := map[string]Ref[string]{}
	for _, line := range lines {
		words := strings.Fields(line)
		refs[words[0]] = pure(g, words[0], constant(""), func(t *Task) {
			for _, word := range words[1:] {
				kind, need, _ := strings.Cut(word, ":")
				switch EdgeKind(kind) {
				case EdgeUse:
					Use(t, refs[need])
				case EdgeAfter:
					t.After(refs[need])
				case EdgeFinally:
					t.Finally(refs[need])
				case EdgeBehind:
					t.Behind(refs[need])
				}
			}
		})
	}
	return g
}

// edgesOf are the edges of a shape as "TO KIND:FROM", sorted.
func edgesOf(s *Shape) []string {
	var all []string
	for _, e := range s.Edges {
		all = append(all, fmt.Sprintf("%s %s:%s", s.Tasks[e.To].Name, e.Kind, s.Tasks[e.From].Name))
	}
	slices.Sort(all)
	return all
}

func shapeOf(t testing.TB, g *Graph) *Shape {
	t.Helper()
	s, err := g.Shape()
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestShapeIsReduced(t *testing.T) {
	tests := []struct {
		name  string
		lines []string
		want  []string
	}{
		{"nothing", nil, nil},
		{"implied by a chain", []string{"h/a", "h/b use:h/a", "h/c after:h/b use:h/a"}, []string{"h/b use:h/a", "h/c after:h/b"}},
		{"a diamond is whole", []string{"h/a", "h/b use:h/a", "h/c use:h/a", "h/d use:h/b use:h/c"},
			[]string{"h/b use:h/a", "h/c use:h/a", "h/d use:h/b", "h/d use:h/c"}},
		{"two edges from one task: the more binding", []string{"h/a", "h/b behind:h/a after:h/a use:h/a"}, []string{"h/b use:h/a"}},
		{"mere order implies no need", []string{"h/a", "h/b behind:h/a", "h/c after:h/b after:h/a"},
			[]string{"h/b behind:h/a", "h/c after:h/a", "h/c after:h/b"}},
		{"a clean-up implies no good end", []string{"h/a", "h/b finally:h/a", "h/c after:h/b after:h/a"},
			[]string{"h/b finally:h/a", "h/c after:h/a", "h/c after:h/b"}},
		{"need implies order", []string{"h/a", "h/b use:h/a", "h/c use:h/b behind:h/a"}, []string{"h/b use:h/a", "h/c use:h/b"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if diff := cmp.Diff(test.want, edgesOf(shapeOf(t, sketch(test.lines...)))); diff != "" {
				t.Error(diff)
			}
		})
	}
	if _, err := sketch("h/a", "h/a").Shape(); err == nil || !strings.Contains(err.Error(), "declared twice") {
		t.Errorf("a graph that is not valid has a shape: %v", err)
	}
}

// For each looseness: what could be reached before can be reached still, and no
// edge is left that other edges imply. Checked against plain reachability.
func TestReductionAgainstDefinition(t *testing.T) {
	looseness := map[EdgeKind]int{EdgeUse: 0, EdgeAfter: 0, EdgeFinally: 1, EdgeBehind: 2}
	kinds := []EdgeKind{EdgeUse, EdgeAfter, EdgeFinally, EdgeBehind}
	type wire struct {
		from, to string
		loose    int
	}
	reaches := func(wires []wire, from, to string, most int, but int) bool {
		seen, queue := map[string]bool{from: true}, []string{from}
		for ; len(queue) > 0; queue = queue[1:] {
			for i, w := range wires {
				if i != but && w.loose <= most && w.from == queue[0] && !seen[w.to] {
					seen[w.to] = true
					queue = append(queue, w.to)
				}
			}
		}
		return seen[to]
	}
	rapid.Check(t, func(rt *rapid.T) {
		n := rapid.IntRange(2, 9).Draw(rt, "tasks")
		var lines []string
		var before []wire
		for to := range n {
			line := fmt.Sprintf("h%d/t%d", to%2, to)
			for from := range to {
				if rapid.IntRange(0, 2).Draw(rt, "edge") == 0 {
					kind := rapid.SampledFrom(kinds).Draw(rt, "kind")
					line += fmt.Sprintf(" %s:h%d/t%d", kind, from%2, from)
					before = append(before, wire{fmt.Sprintf("h%d/t%d", from%2, from), fmt.Sprintf("h%d/t%d", to%2, to), looseness[kind]})
				}
			}
			lines = append(lines, line)
		}
		s, err := sketch(lines...).Shape()
		if err != nil {
			rt.Fatal(err)
		}
		var after []wire
		for _, e := range s.Edges {
			after = append(after, wire{s.Tasks[e.From].Name, s.Tasks[e.To].Name, looseness[e.Kind]})
			if s.Tasks[e.From].Depth >= s.Tasks[e.To].Depth {
				rt.Fatalf("%s is no deeper than %s", s.Tasks[e.To].Name, s.Tasks[e.From].Name)
			}
		}
		for _, w := range before {
			if !reaches(after, w.from, w.to, w.loose, -1) {
				rt.Fatalf("%v is lost in %v of %q", w, after, lines)
			}
		}
		for i, w := range after {
			if reaches(after, w.from, w.to, w.loose, i) {
				rt.Fatalf("%v is implied by others in %v of %q", w, after, lines)
			}
		}
	})
}

func TestFocus(t *testing.T) {
	s := shapeOf(t, sketch("m/eval", "m/probe", "m/build use:m/eval", "m/copy after:m/build use:m/probe",
		"r/eval", "r/build use:r/eval", "r/copy after:r/build behind:m/copy", "z/all finally:r/copy"))
	part, ok := s.Focus("m/copy")
	if !ok {
		t.Fatal("there is no m/copy")
	}
	var names []string
	for _, task := range part.Tasks {
		names = append(names, task.Name)
	}
	if diff := cmp.Diff([]string{"m/eval", "m/probe", "m/build", "m/copy", "r/copy", "z/all"}, names); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]string{"m/build use:m/eval", "m/copy after:m/build", "m/copy use:m/probe", "r/copy behind:m/copy", "z/all finally:r/copy"}, edgesOf(part)); diff != "" {
		t.Error(diff)
	}
	if _, ok := s.Focus("m/cpy"); ok {
		t.Error("there is an m/cpy")
	}
}

// odd is a graph whose names are hard on every format.
func odd() (*Graph, Paint) {
	g := sketch(`m"a\l/x[1]&lt;`, `m"a\l/-->end use:m"a\l/x[1]&lt;`, "r/\x01é;#} after:m\"a\\l/-->end", `r/\ finally:m"a\l/-->end`, "r/back behind:r/\\")
	return g, Paint{Run: `r"1\`, Status: map[string]Status{`m"a\l/x[1]&lt;`: StatusRan, `r/\`: StatusFailed, "r/back": "not ended"}}
}

var writers = map[string]func(*Shape, io.Writer, Paint) error{
	"dot": (*Shape).WriteDOT, "mermaid": (*Shape).WriteMermaid, "json": (*Shape).WriteJSON, "svg": (*Shape).WriteSVG,
}

func draw(t testing.TB, format string, s *Shape, p Paint) string {
	t.Helper()
	var b bytes.Buffer
	if err := writers[format](s, &b, p); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// What is drawn does not depend on the order of the declarations.
func TestDrawIsStable(t *testing.T) {
	some := sketch("b/x", "a/x", "a/y use:a/x use:b/x", "a/z use:b/x use:a/x after:a/y", "a/w behind:b/x")
	other := sketch("a/x", "b/x", "a/w behind:b/x", "a/y use:b/x use:a/x", "a/z after:a/y use:a/x use:b/x")
	for format := range writers {
		want := draw(t, format, shapeOf(t, some), Paint{})
		for _, g := range []*Graph{some, other} {
			if diff := cmp.Diff(want, draw(t, format, shapeOf(t, g), Paint{})); diff != "" {
				t.Errorf("%s: %s", format, diff)
			}
		}
	}
}

func TestDrawOddNames(t *testing.T) {
	g, paint := odd()
	s := shapeOf(t, g)
	want := map[string]string{
		"dot": `digraph roost {
  rankdir=LR;
  label="State of run r\"1\\";
  node [style=filled, fontcolor="#1f2328"];
  subgraph cluster_0 {
    label="m\"a\\l";
    "m\"a\\l/x[1]&lt;" [label="x[1]&amp;lt;\nran", shape=box, fillcolor="#d3f0d8", color="#1a7f37"];
    "m\"a\\l/-->end" [label="-->end", shape=box, fillcolor="#ffffff", color="#8a8f98"];
  }
  subgraph cluster_1 {
    label="r";
    "r/�é;#}" [label="�é;#}", shape=box, fillcolor="#ffffff", color="#8a8f98"];
    "r/\\" [label="\\\nfailed", shape=box, fillcolor="#ffd7d5", color="#b3261e"];
    "r/back" [label="back\nnot ended", shape=box, fillcolor="#fff1c2", color="#8a6100"];
  }
  "m\"a\\l/x[1]&lt;" -> "m\"a\\l/-->end" [style=solid];
  "m\"a\\l/-->end" -> "r/�é;#}" [style=dashed];
  "m\"a\\l/-->end" -> "r/\\" [style=dotted, label="finally"];
  "r/\\" -> "r/back" [style=dotted, label="behind"];
}
`,
		"mermaid": `---
title: "State of run r\"1\\"
---
flowchart LR
  subgraph g0["m#34;a#92;l"]
    t0["x#91;1#93;#38;lt#59;<br>ran"]:::good
    t1["--#62;end"]:::none
  end
  subgraph g1["r"]
    t2["#65533;é#59;#35;#125;"]:::none
    t3["#92;<br>failed"]:::bad
    t4["back<br>not ended"]:::wait
  end
  t0 --> t1
  t1 -.-> t2
  t1 -.->|finally| t3
  t3 -.->|behind| t4
  classDef bad fill:#ffd7d5,stroke:#b3261e,color:#1f2328
  classDef good fill:#d3f0d8,stroke:#1a7f37,color:#1f2328
  classDef none fill:#ffffff,stroke:#8a8f98,color:#1f2328
  classDef same fill:#e6e9ee,stroke:#57606a,color:#1f2328
  classDef wait fill:#fff1c2,stroke:#8a6100,color:#1f2328
`,
	}
	for format, want := range want {
		if diff := cmp.Diff(want, draw(t, format, s, paint)); diff != "" {
			t.Errorf("%s: %s", format, diff)
		}
	}
	var doc struct {
		Run   string
		Tasks []struct{ Task, Kind, Status string }
		Edges []struct{ From, To, Kind string }
	}
	if err := json.Unmarshal([]byte(draw(t, "json", s, paint)), &doc); err != nil {
		t.Fatal(err)
	}
	if doc.Run != `r"1\` || len(doc.Tasks) != 5 || doc.Tasks[0].Task != `m"a\l/x[1]&lt;` || doc.Tasks[0].Status != "ran" ||
		len(doc.Edges) != 4 || doc.Edges[3].Kind != "behind" || doc.Edges[3].To != "r/back" {
		t.Errorf("got %+v", doc)
	}
}

// The picture is well-formed, needs nothing from elsewhere, tells each status
// in a word, and no two tasks lie on each other.
func TestSVG(t *testing.T) {
	g, paint := odd()
	for name, s := range map[string]*Shape{"odd": shapeOf(t, g), "fleet": shapeOf(t, fleetGraph("/none", 3)), "empty": shapeOf(t, New())} {
		picture := draw(t, "svg", s, paint)
		places, titles := map[string]bool{}, 0
		for read := xml.NewDecoder(strings.NewReader(picture)); ; {
			token, err := read.Token()
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				t.Fatalf("%s: %v\n%s", name, err, picture)
			}
			start, ok := token.(xml.StartElement)
			if ok && start.Name.Local == "title" {
				titles++
			}
			attrs := map[string]string{}
			for _, a := range start.Attr {
				attrs[a.Name.Local] = a.Value
			}
			if strings.HasPrefix(attrs["class"], "task") {
				places[attrs["x"]+","+attrs["y"]] = true
			}
		}
		if len(places) != len(s.Tasks) || titles != 1+len(s.Tasks)+len(s.Edges)+len(s.groups()) {
			t.Errorf("%s: %d places and %d titles for %d tasks and %d edges", name, len(places), titles, len(s.Tasks), len(s.Edges))
		}
		if strings.Contains(strings.ReplaceAll(picture, "http://www.w3.org/2000/svg", ""), "://") {
			t.Errorf("%s: the picture asks for something from elsewhere", name)
		}
		if name == "odd" && (!strings.Contains(picture, ">not ended</text>") || !strings.Contains(picture, ">failed</text>")) {
			t.Errorf("a status is told by its colour alone:\n%s", picture)
		}
	}
}

// An update of 2,500 hosts, a last step for all of them; and, for the worst,
// a chain in which every task needs the first.
func BenchmarkShape(b *testing.B) {
	fleet := fleetGraph("/none", 2500)
	Observe(fleet, "fleet/told", func(t *Task) func(context.Context) (int, error) {
		for id := range int32(10000) {
			t.Finally(Ref[int]{id + 1})
		}
		return func(context.Context) (int, error) { return 0, nil }
	})
	chain := New()
	for i := range 10000 {
		pure(chain, fmt.Sprintf("h/t%05d", i), constant(""), func(t *Task) {
			for _, need := range []int{0, i - 1} {
				if need >= 0 && need < i {
					t.After(Ref[int]{int32(need) + 1})
				}
			}
		})
	}
	for _, test := range []struct {
		name string
		g    *Graph
	}{{"fleet", fleet}, {"chain", chain}} {
		b.Run(test.name, func(b *testing.B) {
			for b.Loop() {
				shapeOf(b, test.g)
			}
			b.ReportMetric(float64(b.Elapsed())/float64(b.N)/float64(time.Millisecond), "ms/shape")
		})
	}
}
