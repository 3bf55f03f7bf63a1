package hosts

import (
	"fmt"
	"path"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"roost/internal/nearest"
)

// The grammar, weakest first:
//
//	any     = all { ("or" | ",") all }
//	all     = one { "and" one }
//	one     = "not" one | "(" any ")" | term
//	term    = NAME | GLOB | "@" TAG-OR-ROLE | "tag:" TAG | "role:" ROLE | "system:" SYSTEM

// match tells whether a selector selects a host.
type match func(*Host) bool

// selector parses one expression by recursive descent. token is the current
// token, "" at the end, and start its offset.
type selector struct {
	fleet *Fleet
	expr  string
	token string
	start int
	depth int
}

// maxDepth bounds the nesting of parentheses and nots, and so the stack.
const maxDepth = 100

func parseSelector(f *Fleet, expr string) (match, error) {
	p := &selector{fleet: f, expr: expr}
	p.next()
	m, err := p.any()
	switch {
	case err != nil:
		return nil, err
	case p.token == ")":
		return nil, p.errorf(`this ")" closes nothing`)
	case p.token != "":
		return nil, p.errorf(`expected "and", "or", a comma or the end before %q`, p.token)
	}
	return m, nil
}

// next goes to the next token: a parenthesis, a comma or a word.
func (p *selector) next() {
	p.start += len(p.token)
	rest := strings.TrimLeft(p.expr[p.start:], " \t\r\n")
	p.start = len(p.expr) - len(rest)
	switch end := strings.IndexAny(rest, "(), \t\r\n"); end {
	case 0:
		p.token = rest[:1]
	case -1:
		p.token = rest
	default:
		p.token = rest[:end]
	}
}

func (p *selector) any() (match, error) {
	m, err := p.all()
	if err != nil {
		return nil, err
	}
	alternatives := []match{m}
	for p.token == "or" || p.token == "," {
		p.next()
		if m, err = p.all(); err != nil {
			return nil, err
		}
		alternatives = append(alternatives, m)
	}
	return func(h *Host) bool {
		return slices.ContainsFunc(alternatives, func(m match) bool { return m(h) })
	}, nil
}

func (p *selector) all() (match, error) {
	m, err := p.one()
	if err != nil {
		return nil, err
	}
	conditions := []match{m}
	for p.token == "and" {
		p.next()
		if m, err = p.one(); err != nil {
			return nil, err
		}
		conditions = append(conditions, m)
	}
	return func(h *Host) bool {
		return !slices.ContainsFunc(conditions, func(m match) bool { return !m(h) })
	}, nil
}

func (p *selector) one() (match, error) {
	if p.depth++; p.depth > maxDepth {
		return nil, p.errorf("this is nested more than %d deep", maxDepth)
	}
	defer func() { p.depth-- }()
	switch p.token {
	case "not":
		p.next()
		m, err := p.one()
		if err != nil {
			return nil, err
		}
		return func(h *Host) bool { return !m(h) }, nil
	case "(":
		open := p.start
		p.next()
		m, err := p.any()
		if err != nil {
			return nil, err
		}
		if p.token != ")" {
			return nil, p.errorf(`expected ")" for the "(" in column %d`, columnOf(p.expr, open))
		}
		p.next()
		return m, nil
	case "", ")", ",", "and", "or":
		return nil, p.errorf(`expected a host here: a name, a glob such as pi*, @tag, role:laptop, "not" or "("`)
	}
	m, err := p.term()
	if err == nil {
		p.next()
	}
	return m, err
}

// term understands one word and checks it against what the fleet has.
func (p *selector) term() (match, error) {
	word := p.token
	if tag, ok := strings.CutPrefix(word, "@"); ok {
		return p.tagOrRole(tag)
	}
	if kind, value, ok := strings.Cut(word, ":"); ok {
		return p.kind(kind, value)
	}
	switch {
	case word[0] == '-':
		return nil, p.errorf("no host name begins with a dash; is %q an option in the wrong place?", word)
	case strings.ContainsAny(word, `*?[\`):
		return p.glob(word)
	case p.fleet.byName[word] == nil:
		return nil, p.errorf("%v", &UnknownHostError{Name: word, Known: p.fleet.Names()})
	}
	return func(h *Host) bool { return h.Name == word }, nil
}

func (p *selector) tagOrRole(word string) (match, error) {
	isTag := slices.Contains(p.fleet.tags, word)
	if !isTag && !slices.Contains(Roles(), Role(word)) {
		known := slices.Concat(p.fleet.tags, texts(Roles()))
		return nil, p.errorf("no host has the tag %q, nor is it a role; %s", word, nearest.Hint(word, "tags and roles", known))
	}
	return func(h *Host) bool { return string(h.Role) == word || slices.Contains(h.Tags, word) }, nil
}

func (p *selector) kind(kind, value string) (match, error) {
	switch kind {
	case "tag":
		if !slices.Contains(p.fleet.tags, value) {
			return nil, p.errorf("no host has the tag %q; %s", value, nearest.Hint(value, "tags", p.fleet.tags))
		}
		return func(h *Host) bool { return slices.Contains(h.Tags, value) }, nil
	case "role":
		if !slices.Contains(Roles(), Role(value)) {
			return nil, p.errorf("%q is no role; %s", value, nearest.Hint(value, "roles", texts(Roles())))
		}
		return func(h *Host) bool { return string(h.Role) == value }, nil
	case "system":
		if !slices.Contains(Systems(), System(value)) {
			return nil, p.errorf("%q is no system; %s", value, nearest.Hint(value, "systems", texts(Systems())))
		}
		return func(h *Host) bool { return string(h.System) == value }, nil
	}
	return nil, p.errorf("%q cannot be selected by; %s", kind, nearest.Hint(kind, "words before a colon", []string{"role", "system", "tag"}))
}

// glob refuses a pattern that matches no host at all: in "not mapl*" a typing
// error would otherwise select the whole fleet.
func (p *selector) glob(pattern string) (match, error) {
	if _, err := path.Match(pattern, ""); err != nil {
		return nil, p.errorf("%q is no good glob: * is any text, ? one character, [abc] one of these", pattern)
	}
	m := func(h *Host) bool {
		ok, _ := path.Match(pattern, h.Name) // the pattern was checked above
		return ok
	}
	if !slices.ContainsFunc(p.fleet.Hosts, m) {
		return nil, &EmptySelectionError{Expr: p.expr, Column: columnOf(p.expr, p.start), Part: pattern}
	}
	return m, nil
}

func texts[T ~string](values []T) []string {
	list := make([]string, len(values))
	for i, v := range values {
		list[i] = string(v)
	}
	return list
}

func (p *selector) errorf(format string, args ...any) error {
	return &SelectorError{Expr: p.expr, Column: columnOf(p.expr, p.start), Message: fmt.Sprintf(format, args...)}
}

// columnOf counts characters from 1.
func columnOf(expr string, offset int) int { return utf8.RuneCountInString(expr[:offset]) + 1 }

// pointAt shows the expression with a caret below the column.
func pointAt(expr string, column int) string {
	shown := strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return ' '
		}
		return r
	}, expr)
	return "\n  " + shown + "\n  " + strings.Repeat(" ", column-1) + "^"
}
