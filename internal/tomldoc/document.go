// Package tomldoc reads a TOML file into a struct and remembers where everything
// is written, so that rules which are checked later can name the line.
//
//	d := tomldoc.Parse(data, tomldoc.AsNix)
//	d.Decode(&host)
//	if host.SSH.Port > 65535 {
//		d.Report(d.Root.At("ssh", "port").Value, "ssh.port %d is no port", host.SSH.Port)
//	}
//	return d.Problems()
package tomldoc

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/pelletier/go-toml/v2"
	"github.com/pelletier/go-toml/v2/unstable"
)

// Document is one file: its values as go-toml reads them, and where each of them
// is written. go-toml's own typed decoding stops at the first value of a wrong
// type and forgets positions, so that rules checked later had no line.
type Document struct {
	Values map[string]any // nil: the file is no TOML, and that is its one problem
	Root   *Node

	data     []byte
	dialect  Dialect
	problems []Problem
	told     map[int]bool
}

// Dialect is who else reads the file.
type Dialect int

const (
	AsGo  Dialect = iota // roost alone
	AsNix                // Nix too: what only one of the two understands is refused
)

// Problem is one thing that is wrong in a file.
type Problem struct {
	Line    int    // from 1
	Column  int    // from 1, in characters
	Message string // what is wrong and what is allowed
}

// Node is the place of one value. Key and Value are offsets in the file.
type Node struct {
	Key   int              // the key, or the last part of a [table] header
	Value int              // the value; for a table with a header, the same as Key
	Keys  map[string]*Node // of a table; in an array, nil means no table
	Items []*Node          // of an array
}

// At follows keys down from a table; nil where the file does not have them.
func (n *Node) At(keys ...string) *Node {
	for _, key := range keys {
		if n == nil {
			return nil
		}
		n = n.Keys[key]
	}
	return n
}

// Parse reads a file. What follows a syntax error cannot be read.
func Parse(data []byte, dialect Dialect) *Document {
	d := &Document{data: data, dialect: dialect, Root: &Node{}}
	if err := toml.Unmarshal(data, &d.Values); err != nil {
		d.syntaxError(err)
		d.Values = nil
		return d
	}
	d.locate()
	return d
}

func (d *Document) syntaxError(err error) {
	var at *toml.DecodeError
	offset := 0
	if errors.As(err, &at) {
		line, column := at.Position()
		offset = offsetOf(d.data, line, column)
	}
	what := strings.TrimPrefix(err.Error(), "toml: ")
	d.Report(offset, "this is not TOML: %s; the rest of the file is not checked yet", what)
}

// offsetOf is the offset of a line and a column in bytes, both from 1.
func offsetOf(data []byte, line, column int) int {
	offset := 0
	for range line - 1 {
		offset += bytes.IndexByte(data[offset:], '\n') + 1
	}
	return min(offset+column-1, len(data))
}

// Report notes a problem at an offset.
func (d *Document) Report(offset int, format string, args ...any) {
	before := d.data[:offset]
	lineStart := bytes.LastIndexByte(before, '\n') + 1
	if d.told == nil {
		d.told = map[int]bool{}
	}
	d.told[offset] = true
	d.problems = append(d.problems, Problem{
		Line:    d.Line(offset),
		Column:  utf8.RuneCount(before[lineStart:]) + 1,
		Message: fmt.Sprintf(format, args...),
	})
}

// Told says that something was reported of this place: what follows from it is
// not worth a second line.
func (d *Document) Told(offset int) bool { return d.told[offset] }

// Line is the line of an offset, from 1.
func (d *Document) Line(offset int) int { return bytes.Count(d.data[:offset], []byte("\n")) + 1 }

// Problems returns what was reported, from top to bottom.
func (d *Document) Problems() []Problem {
	slices.SortStableFunc(d.problems, func(a, b Problem) int {
		return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column))
	})
	return d.problems
}

// locate walks the file once more and remembers where everything is. The file
// is known to be good TOML: nothing is defined twice or as two things.
func (d *Document) locate() {
	var p unstable.Parser
	p.Reset(d.data)
	table := d.Root
	for p.NextExpression() {
		switch e := p.Expression(); e.Kind {
		case unstable.Table:
			table = d.descend(d.Root, parts(e))
		case unstable.ArrayTable:
			keys := parts(e)
			last := keys[len(keys)-1]
			array := d.child(d.descend(d.Root, keys[:len(keys)-1]), last)
			table = &Node{Key: offset(last), Value: offset(last), Keys: map[string]*Node{}}
			array.Items = append(array.Items, table)
		case unstable.KeyValue:
			d.keyValue(table, e)
		}
	}
}

func parts(e *unstable.Node) []*unstable.Node {
	var keys []*unstable.Node
	for it := e.Key(); it.Next(); {
		keys = append(keys, it.Node())
	}
	return keys
}

func offset(n *unstable.Node) int { return int(n.Raw.Offset) }

// descend follows a dotted key. In an array of tables it goes to the last one,
// as TOML has it.
func (d *Document) descend(n *Node, keys []*unstable.Node) *Node {
	for _, key := range keys {
		n = d.child(n, key)
		if len(n.Items) > 0 {
			n = n.Items[len(n.Items)-1]
		}
	}
	return n
}

func (d *Document) child(n *Node, key *unstable.Node) *Node {
	name := string(key.Data)
	if c := n.Keys[name]; c != nil {
		return c
	}
	if n.Keys == nil {
		n.Keys = map[string]*Node{}
	}
	c := &Node{Key: offset(key), Value: offset(key)}
	n.Keys[name] = c
	d.refuseNewEscapes(key)
	return c
}

func (d *Document) keyValue(table *Node, e *unstable.Node) {
	keys := parts(e)
	n := d.descend(table, keys)
	last := keys[len(keys)-1].Raw
	rest := d.data[last.Offset+last.Length:]
	n.Value = len(d.data) - len(bytes.TrimLeft(rest, " \t="))
	d.content(n, e.Value())
}

// content remembers the places inside a value.
func (d *Document) content(n *Node, v *unstable.Node) {
	switch v.Kind {
	case unstable.String:
		d.refuseNewEscapes(v)
	case unstable.Array:
		for it := v.Children(); it.Next(); {
			item := &Node{Key: n.Value, Value: n.Value}
			if it.Node().Kind != unstable.Array { // go-toml gives no place for an array in an array
				item.Key, item.Value = offset(it.Node()), offset(it.Node())
			}
			n.Items = append(n.Items, item)
			d.content(item, it.Node())
		}
	case unstable.InlineTable:
		d.refuseNewInlineTable(v)
		n.Keys = map[string]*Node{}
		for it := v.Children(); it.Next(); {
			d.keyValue(n, it.Node())
		}
	}
}

// go-toml reads TOML 1.1, builtins.fromTOML of Nix reads TOML 1.0. Of a file that
// both read, what only one of them understands is refused.

// refuseNewInlineTable refuses an inline table over several lines, or with a
// comma before its end.
func (d *Document) refuseNewInlineTable(v *unstable.Node) {
	if d.dialect != AsNix {
		return
	}
	const advice = "; Nix cannot read that: use a [table] or [[array of tables]] instead"
	end := offset(v)
	for it := v.Children(); it.Next(); {
		kv := it.Node().Raw
		if i := bytes.IndexByte(d.data[end:kv.Offset], '\n'); i >= 0 {
			d.Report(offset(v), "this inline table goes over several lines"+advice)
			return
		}
		end = int(kv.Offset + kv.Length)
	}
	rest := d.data[end:]
	switch tail := rest[:bytes.IndexAny(rest, "}#\n")+1]; {
	case bytes.ContainsAny(tail, "#\n"):
		d.Report(offset(v), "this inline table goes over several lines"+advice)
	case bytes.ContainsRune(tail, ','):
		d.Report(offset(v), "this inline table has a comma before its }"+advice)
	}
}

// refuseNewEscapes refuses \e and \xHH in a quoted string.
func (d *Document) refuseNewEscapes(s *unstable.Node) {
	raw := d.data[s.Raw.Offset : s.Raw.Offset+s.Raw.Length]
	if d.dialect != AsNix || len(raw) == 0 || raw[0] != '"' {
		return
	}
	for i := 0; i < len(raw)-1; i++ {
		if raw[i] != '\\' {
			continue
		}
		i++
		if raw[i] == 'e' || raw[i] == 'x' {
			d.Report(offset(s)+i-1, `Nix cannot read the escape \%c: write \u and four hexadecimal digits instead`, raw[i])
		}
	}
}
