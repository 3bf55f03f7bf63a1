// Package shape has the task graphs that are measured: the same tasks, paths
// and commands for roost and for every other engine.
//
//	s, err := shape.New("layered", 10_000)
//	for i := range s.Len() {
//		fmt.Println(s.Name(i), s.Source(i), s.Out(i), s.Needs(nil, i))
//	}
//
// Layered n is 10 layers of n/10 tasks. Each reads a source file of its own,
// needs 3 tasks of the layer before, and makes one stamp file: n tasks, 2.7 n
// edges, 2 n files.
//
// Fleet n is n hosts of 8 steps one after the other, behind one shared root and
// before one gate: 8 n + 2 tasks. The first step of a host reads its source.
//
// A Shape is arithmetic: it keeps nothing, so that a program that declares a
// million tasks has only the engine's memory.
package shape

import (
	"fmt"
	"strconv"
)

const (
	layers     = 10
	minPerTier = 3 // so that three needs are three tasks
	steps      = 8
)

// Shape is one graph. Its tasks are numbered from 0, each after what it needs.
type Shape struct {
	fleet bool
	n     int // tasks of layered, hosts of fleet
}

// New returns "layered" of n tasks or "fleet" of n hosts.
func New(name string, n int) (Shape, error) {
	switch name {
	case "layered":
		if n < layers*minPerTier || n%layers != 0 {
			return Shape{}, fmt.Errorf("layered %d: want a multiple of %d, at least %d", n, layers, layers*minPerTier)
		}
		return Shape{n: n}, nil
	case "fleet":
		if n < 1 {
			return Shape{}, fmt.Errorf("fleet %d: want at least 1 host", n)
		}
		return Shape{fleet: true, n: n}, nil
	}
	return Shape{}, fmt.Errorf("shape %q: want layered or fleet", name)
}

func (s Shape) String() string {
	if s.fleet {
		return fmt.Sprintf("fleet %d", s.n)
	}
	return fmt.Sprintf("layered %d", s.n)
}

// Len is how many tasks there are.
func (s Shape) Len() int {
	if s.fleet {
		return steps*s.n + 2
	}
	return s.n
}

// Name is the name of task i, as GROUP/STEP.
func (s Shape) Name(i int) string { return string(s.AppendName(nil, i)) }

// AppendName appends the name of task i to b.
func (s Shape) AppendName(b []byte, i int) []byte {
	switch {
	case !s.fleet:
		b = append(strconv.AppendInt(append(b, "layer"...), int64(i/(s.n/layers)), 10), '/')
		return number(b, "t", i)
	case i == 0:
		return append(b, "all/root"...)
	case i == s.Len()-1:
		return append(b, "all/gate"...)
	}
	b = append(number(b, "h", (i-1)%s.n), "/step"...)
	return strconv.AppendInt(b, int64((i-1)/s.n), 10)
}

// Source is the file that task i reads; "" if it reads none.
func (s Shape) Source(i int) string { return string(s.AppendSource(nil, i)) }

// AppendSource appends the file that task i reads to b.
func (s Shape) AppendSource(b []byte, i int) []byte {
	if !s.fleet || i >= 1 && i <= s.n {
		return number(b, "src/", i)
	}
	return b
}

// Out is the stamp file that task i makes.
func (s Shape) Out(i int) string { return string(s.AppendOut(nil, i)) }

// AppendOut appends the stamp file that task i makes to b.
func (s Shape) AppendOut(b []byte, i int) []byte { return number(b, "out/", i) }

// number is fast and short: a million of these are made for one graph.
func number(b []byte, prefix string, i int) []byte {
	b = append(b, prefix...)
	for digits := 1_000_000; digits > i && digits > 1; digits /= 10 {
		b = append(b, '0')
	}
	return strconv.AppendInt(b, int64(i), 10)
}

// Needs appends the tasks that task i needs to dst, all below i.
func (s Shape) Needs(dst []int, i int) []int {
	if s.fleet {
		switch {
		case i == 0:
			return dst
		case i <= s.n:
			return append(dst, 0)
		case i < s.Len()-1:
			return append(dst, i-s.n)
		}
		for last := i - s.n; last < i; last++ {
			dst = append(dst, last)
		}
		return dst
	}
	tier := s.n / layers
	if i < tier {
		return dst
	}
	at, before := i%tier, (i/tier-1)*tier
	next := (at + 1) % tier
	far := (at*7919 + 13) % tier // far away, as in a real graph: no prefetcher helps
	for far == at || far == next {
		far = (far + 1) % tier
	}
	return append(dst, before+at, before+next, before+far)
}

// Edges is how many edges there are.
func (s Shape) Edges() int {
	if s.fleet {
		return (steps + 1) * s.n
	}
	return (layers - 1) * (s.n / layers) * 3
}

// Leaf is the task whose source is edited to see what one change costs: of
// layered one that nothing needs, of fleet the first step of the last host.
func (s Shape) Leaf() int {
	if s.fleet {
		return s.n
	}
	return s.n - 1
}

// Command is what a task does, as the argument of Argv: it makes its stamp file.
func Command(out string) string { return ": > " + out }

// Argv is how every engine runs a command: as ninja and make do by themselves.
func Argv(command string) []string { return []string{"/bin/sh", "-c", command} }
