package graph

import (
	"slices"
	"strings"
)

// Explanation is what a pure task's last success depended on.
type Explanation struct {
	Key     string
	Inputs  []string     // in words: "hosts/malphas/host.toml", "nix", "the result of malphas/eval"
	Changed []Difference // from the success before it; nil if there was none
	Seconds float64
}

// Difference is one input that differs between two successes.
type Difference struct {
	What     string // in words
	Old, New string // digests are shortened; empty = it was not there
	value    bool   // Old and New are the value itself, not a digest
}

// Explain tells of the last success of a pure task.
func (c *Cache) Explain(task string) (Explanation, bool) {
	last, ok := c.lastOf(task)
	lines := c.textOf(task, last.at)
	if !ok || len(lines) == 0 {
		return Explanation{}, false
	}
	e := Explanation{Key: lines.key().String(), Seconds: float64(last.seconds)}
	for head := range lines.byName() {
		if word, _, _ := strings.Cut(head, " "); word != "form" && word != "task" {
			e.Inputs = append(e.Inputs, plain(head))
		}
	}
	slices.Sort(e.Inputs)
	if before := c.textOf(task, last.before); len(before) > 0 {
		e.Changed = lines.differences(before)
	}
	return e, true
}

// differences lists what differs from an older record, in the record's order.
func (r record) differences(old record) []Difference {
	was, is := old.byName(), r.byName()
	var all []Difference
	for _, l := range r {
		head, text, _ := strings.Cut(l, " = ")
		if was[head] != text {
			all = append(all, Difference{plain(head), brief(was[head]), brief(text), strings.HasPrefix(head, "value ")})
		}
	}
	for _, l := range old {
		head, text, _ := strings.Cut(l, " = ")
		if is[head] == "" {
			all = append(all, Difference{What: plain(head), Old: brief(text)})
		}
	}
	return all
}

// brief unquotes a record's text and shortens digests in it.
func brief(quoted string) string {
	text := strings.Trim(quoted, `"`)
	words := strings.Fields(text)
	for i, w := range words {
		if len(w) == 64 && strings.Trim(w, "0123456789abcdef") == "" {
			words[i] = w[:8]
		}
	}
	return strings.Join(words, " ")
}
