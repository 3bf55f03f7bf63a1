package hosts

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

// document is one host.toml: its values as go-toml reads them, and where each
// of them is written. go-toml's own typed decoding stops at the first value of a
// wrong type and forgets positions, so that rules checked later had no line.
type document struct {
	file     string
	data     []byte
	values   map[string]any
	root     *node
	problems []Problem
}

// node is the place of one value. key and value are offsets in the file.
type node struct {
	key   int              // the key, or the last part of a [table] header
	value int              // the value; for a table with a header, the same as key
	keys  map[string]*node // of a table; in an array, nil means no table
	items []*node          // of an array
}

// parse reads the file. A document that is no TOML has one problem and no
// values: what follows a syntax error cannot be read.
func parse(file string, data []byte) *document {
	d := &document{file: file, data: data, root: &node{}}
	if err := toml.Unmarshal(data, &d.values); err != nil {
		d.syntaxError(err)
		d.values = nil
		return d
	}
	d.locate()
	return d
}

func (d *document) syntaxError(err error) {
	var at *toml.DecodeError
	offset := 0
	if errors.As(err, &at) {
		line, column := at.Position()
		offset = offsetOf(d.data, line, column)
	}
	what := strings.TrimPrefix(err.Error(), "toml: ")
	d.report(offset, "this is not TOML: %s; the rest of the file is not checked yet", what)
}

// offsetOf is the offset of a line and a column in bytes, both from 1.
func offsetOf(data []byte, line, column int) int {
	offset := 0
	for range line - 1 {
		offset += bytes.IndexByte(data[offset:], '\n') + 1
	}
	return min(offset+column-1, len(data))
}

// report notes a problem at an offset.
func (d *document) report(offset int, format string, args ...any) {
	before := d.data[:offset]
	lineStart := bytes.LastIndexByte(before, '\n') + 1
	d.problems = append(d.problems, Problem{
		File:    d.file,
		Line:    bytes.Count(before, []byte("\n")) + 1,
		Column:  utf8.RuneCount(before[lineStart:]) + 1,
		Message: fmt.Sprintf(format, args...),
	})
}

// sorted returns the problems from top to bottom.
func (d *document) sorted() []Problem {
	slices.SortStableFunc(d.problems, func(a, b Problem) int {
		return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column))
	})
	return d.problems
}

// locate walks the file once more and remembers where everything is. The file
// is known to be good TOML: nothing is defined twice or as two things.
func (d *document) locate() {
	var p unstable.Parser
	p.Reset(d.data)
	table := d.root
	for p.NextExpression() {
		switch e := p.Expression(); e.Kind {
		case unstable.Table:
			table = d.descend(d.root, parts(e))
		case unstable.ArrayTable:
			keys := parts(e)
			last := keys[len(keys)-1]
			array := d.child(d.descend(d.root, keys[:len(keys)-1]), last)
			table = &node{key: offset(last), value: offset(last), keys: map[string]*node{}}
			array.items = append(array.items, table)
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
func (d *document) descend(n *node, keys []*unstable.Node) *node {
	for _, key := range keys {
		n = d.child(n, key)
		if len(n.items) > 0 {
			n = n.items[len(n.items)-1]
		}
	}
	return n
}

func (d *document) child(n *node, key *unstable.Node) *node {
	name := string(key.Data)
	if c := n.keys[name]; c != nil {
		return c
	}
	if n.keys == nil {
		n.keys = map[string]*node{}
	}
	c := &node{key: offset(key), value: offset(key)}
	n.keys[name] = c
	d.refuseNewEscapes(key)
	return c
}

func (d *document) keyValue(table *node, e *unstable.Node) {
	keys := parts(e)
	n := d.descend(table, keys)
	last := keys[len(keys)-1].Raw
	rest := d.data[last.Offset+last.Length:]
	n.value = len(d.data) - len(bytes.TrimLeft(rest, " \t="))
	d.content(n, e.Value())
}

// content remembers the places inside a value.
func (d *document) content(n *node, v *unstable.Node) {
	switch v.Kind {
	case unstable.String:
		d.refuseNewEscapes(v)
	case unstable.Array:
		for it := v.Children(); it.Next(); {
			item := &node{key: n.value, value: n.value}
			if it.Node().Kind != unstable.Array { // go-toml gives no place for an array in an array
				item.key, item.value = offset(it.Node()), offset(it.Node())
			}
			n.items = append(n.items, item)
			d.content(item, it.Node())
		}
	case unstable.InlineTable:
		d.refuseNewInlineTable(v)
		n.keys = map[string]*node{}
		for it := v.Children(); it.Next(); {
			d.keyValue(n, it.Node())
		}
	}
}

// go-toml reads TOML 1.1, builtins.fromTOML of Nix reads TOML 1.0. Both read the
// same host.toml, so what only one of them understands is refused.

// refuseNewInlineTable refuses an inline table over several lines, or with a
// comma before its end.
func (d *document) refuseNewInlineTable(v *unstable.Node) {
	const advice = "; Nix cannot read that: use a [table] or [[array of tables]] instead"
	end := offset(v)
	for it := v.Children(); it.Next(); {
		kv := it.Node().Raw
		if i := bytes.IndexByte(d.data[end:kv.Offset], '\n'); i >= 0 {
			d.report(offset(v), "this inline table goes over several lines"+advice)
			return
		}
		end = int(kv.Offset + kv.Length)
	}
	rest := d.data[end:]
	switch tail := rest[:bytes.IndexAny(rest, "}#\n")+1]; {
	case bytes.ContainsAny(tail, "#\n"):
		d.report(offset(v), "this inline table goes over several lines"+advice)
	case bytes.ContainsRune(tail, ','):
		d.report(offset(v), "this inline table has a comma before its }"+advice)
	}
}

// refuseNewEscapes refuses \e and \xHH in a quoted string.
func (d *document) refuseNewEscapes(s *unstable.Node) {
	raw := d.data[s.Raw.Offset : s.Raw.Offset+s.Raw.Length]
	if len(raw) == 0 || raw[0] != '"' {
		return
	}
	for i := 0; i < len(raw)-1; i++ {
		if raw[i] != '\\' {
			continue
		}
		i++
		if raw[i] == 'e' || raw[i] == 'x' {
			d.report(offset(s)+i-1, `Nix cannot read the escape \%c: write \u and four hexadecimal digits instead`, raw[i])
		}
	}
}
