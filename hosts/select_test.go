package hosts

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// someFleet is what the tests of this file select from.
func someFleet() *Fleet {
	host := func(name string, system System, role Role, tags ...string) *Host {
		return &Host{Name: name, System: system, Role: role, Tags: tags}
	}
	return newFleet(".", []*Host{
		host("agares", X8664Linux, Laptop, "home", "canary"),
		host("malphas", X8664Linux, Desktop, "home"),
		host("mbp", AArch64Darwin, Laptop, "work"),
		host("pi1", AArch64Linux, Pi, "home"),
		host("pi2", AArch64Linux, Pi, "canary"),
		host("vine", X8664Linux, Server),
	})
}

func TestSelect(t *testing.T) {
	fleet := someFleet()
	for expr, want := range map[string]string{
		"":                                "agares malphas mbp pi1 pi2 vine",
		"  \t":                            "agares malphas mbp pi1 pi2 vine",
		"malphas":                         "malphas",
		"pi2,pi1":                         "pi1 pi2",
		"pi1, pi1":                        "pi1",
		"pi*":                             "pi1 pi2",
		"pi?":                             "pi1 pi2",
		"[av]*":                           "agares vine",
		"*":                               "agares malphas mbp pi1 pi2 vine",
		"@home":                           "agares malphas pi1",
		"@server":                         "vine",
		"role:laptop":                     "agares mbp",
		"system:aarch64-darwin":           "mbp",
		"tag:canary":                      "agares pi2",
		"not @home":                       "mbp pi2 vine",
		"not not @home":                   "agares malphas pi1",
		"not @home and not @work":         "pi2 vine",
		"not (@home or @work)":            "pi2 vine",
		"@home and @canary or vine":       "agares vine",
		"vine or @home and @canary":       "agares vine",
		"(vine or @home) and @canary":     "agares",
		"vine,@home and @canary":          "agares vine",
		"not vine and pi*":                "pi1 pi2",
		"not pi1 or pi1":                  "agares malphas mbp pi1 pi2 vine",
		"((malphas))":                     "malphas",
		"not(malphas or pi*),role:laptop": "agares mbp vine",
		"@home\nand\tpi*":                 "pi1",
		strings.Repeat("(", 99) + "vine" + strings.Repeat(")", 99): "vine",
	} {
		hosts, err := fleet.Select(expr)
		if err != nil {
			t.Errorf("%q: %v", expr, err)
			continue
		}
		if got := namesOf(hosts); got != want {
			t.Errorf("%q selects %s, want %s", expr, got, want)
		}
	}
}

func namesOf(hosts []*Host) string {
	var names []string
	for _, h := range hosts {
		names = append(names, h.Name)
	}
	return strings.Join(names, " ")
}

func TestSelectReturnsItsOwnSlice(t *testing.T) {
	fleet := someFleet()
	all, err := fleet.Select("")
	if err != nil {
		t.Fatal(err)
	}
	all[0] = nil
	if fleet.Hosts[0] == nil {
		t.Error("the fleet changed with the selection")
	}
}

func TestSelectorErrors(t *testing.T) {
	fleet := someFleet()
	for _, c := range []struct {
		expr    string
		column  int
		message string
	}{
		{"malpas", 1, `no host "malpas" in this fleet; did you mean "malphas"?`},
		{"pi* or  Vine", 9, `no host "Vine" in this fleet; did you mean "vine"?`},
		{"not zzz", 5, `no host "zzz" in this fleet; known hosts: agares, malphas, mbp, pi1, pi2, vine`},
		{"é", 1, `no host "é" in this fleet; known hosts: agares, malphas, mbp, pi1, pi2, vine`},
		{"-v", 1, `no host name begins with a dash; is "-v" an option in the wrong place?`},
		{"-*", 1, `no host name begins with a dash; is "-*" an option in the wrong place?`},
		{"@canari", 1, `no host has the tag "canari", nor is it a role; did you mean "canary"?`},
		{"@", 1, `no host has the tag "", nor is it a role; known tags and roles: canary, home, work, desktop, laptop, server, pi`},
		{"tag:server", 1, `no host has the tag "server"; known tags: canary, home, work`},
		{"role:servr", 1, `"servr" is no role; did you mean "server"?`},
		{"role:", 1, `"" is no role; known roles: desktop, laptop, server, pi`},
		{"system:linux", 1, `"linux" is no system; did you mean "x86_64-linux" or "aarch64-linux"?`},
		{"rolle:pi", 1, `"rolle" cannot be selected by; did you mean "role"?`},
		{"pi1 pi2", 5, `expected "and", "or", a comma or the end before "pi2"`},
		{"pi1 not pi2", 5, `expected "and", "or", a comma or the end before "not"`},
		{"pi1 or", 7, expected},
		{"and pi1", 1, expected},
		{"pi1,,pi2", 5, expected},
		{"()", 2, expected},
		{"not", 4, expected},
		{"(pi1 or (pi2)", 14, `expected ")" for the "(" in column 1`},
		{"pi1)", 4, `this ")" closes nothing`},
		{"[", 1, `"[" is no good glob: * is any text, ? one character, [abc] one of these`},
		{strings.Repeat("not ", 100) + "pi1", 401, "this is nested more than 100 deep"},
	} {
		_, err := fleet.Select(c.expr)
		want := &SelectorError{Expr: c.expr, Column: c.column, Message: c.message}
		var got *SelectorError
		if !errors.As(err, &got) {
			t.Errorf("%q: got %v", c.expr, err)
		} else if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%q (-want +got):\n%s", c.expr, diff)
		}
	}
}

const expected = `expected a host here: a name, a glob such as pi*, @tag, role:laptop, "not" or "("`

func TestEmptySelection(t *testing.T) {
	fleet := someFleet()
	for _, want := range []*EmptySelectionError{
		{"pi1 and pi2", 1, "pi1 and pi2"},
		{"not *", 1, "not *"},
		{"vine or x*", 9, "x*"},
		{"not mapl*", 5, "mapl*"}, // a typing error must not select everything
	} {
		_, err := fleet.Select(want.Expr)
		var got *EmptySelectionError
		if !errors.As(err, &got) {
			t.Errorf("%q: got %v", want.Expr, err)
		} else if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%q (-want +got):\n%s", want.Expr, diff)
		}
	}
	noServers := newFleet(".", fleet.Hosts[:2])
	if _, err := noServers.Select("@server"); !errors.As(err, new(*EmptySelectionError)) {
		t.Errorf("a role that no host has: got %v", err)
	}
	if hosts, err := noServers.Select("not @server"); err != nil || len(hosts) != 2 {
		t.Errorf("not a role that no host has: got %v, %v", hosts, err)
	}
}

func TestSelectorErrorsPointAtTheColumn(t *testing.T) {
	_, err := someFleet().Select("é* or\tpi1")
	want := "selector: \"é*\" selects no host of this fleet\n  é* or pi1\n  ^"
	if err == nil || err.Error() != want {
		t.Errorf("got %v\nwant %s", err, want)
	}
	_, err = someFleet().Select("pi1 or\tpi3")
	want = "selector: no host \"pi3\" in this fleet; did you mean \"pi1\" or \"pi2\"?\n  pi1 or pi3\n         ^"
	if err == nil || err.Error() != want {
		t.Errorf("got %v\nwant %s", err, want)
	}
}

// tree is an expression as the reference sees it: no text, no precedence.
type tree struct {
	op   string // "not", "and", "or", or "" for a term
	args []tree
	term string
	is   func(*Host) bool
}

func (e tree) selects(h *Host) bool {
	switch e.op {
	case "not":
		return !e.args[0].selects(h)
	case "and":
		return e.args[0].selects(h) && e.args[1].selects(h)
	case "or":
		return e.args[0].selects(h) || e.args[1].selects(h)
	}
	return e.is(h)
}

// write writes the tree with parentheses where the grammar needs them, and now
// and then where it does not.
func (e tree) write(t *rapid.T) string {
	strength := map[string]int{"or": 1, "and": 2, "not": 3, "": 4}
	arg := func(i int) string {
		text := e.args[i].write(t)
		if strength[e.args[i].op] < strength[e.op] || rapid.IntRange(0, 4).Draw(t, "parentheses") == 0 {
			text = "(" + text + ")"
		}
		return text
	}
	switch e.op {
	case "not":
		return "not " + arg(0)
	case "and":
		return arg(0) + " and " + arg(1)
	case "or":
		return arg(0) + rapid.SampledFrom([]string{" or ", ",", " , "}).Draw(t, "or") + arg(1)
	}
	return e.term
}

// globs is a second opinion on * and ?, by trying every split.
func globs(pattern, name string) bool {
	switch {
	case pattern == "":
		return name == ""
	case pattern[0] == '*':
		return globs(pattern[1:], name) || name != "" && globs(pattern, name[1:])
	}
	return name != "" && (pattern[0] == '?' || pattern[0] == name[0]) && globs(pattern[1:], name[1:])
}

func drawFleet(t *rapid.T) *Fleet {
	names := rapid.SliceOfNDistinct(rapid.StringMatching(`[ab1][ab1-]{0,3}`), 1, 8, rapid.ID[string]).Draw(t, "names")
	slices.Sort(names)
	var hosts []*Host
	for _, name := range names {
		hosts = append(hosts, &Host{
			Name:   name,
			System: rapid.SampledFrom(Systems()).Draw(t, "system"),
			Role:   rapid.SampledFrom(Roles()).Draw(t, "role"),
			Tags:   rapid.SliceOfDistinct(rapid.SampledFrom([]string{"x", "y", "z"}), rapid.ID[string]).Draw(t, "tags"),
		})
	}
	return newFleet(".", hosts)
}

func drawTree(t *rapid.T, f *Fleet, depth int) tree {
	if depth > 0 {
		switch op := rapid.SampledFrom([]string{"", "not", "and", "or"}).Draw(t, "op"); op {
		case "not":
			return tree{op: op, args: []tree{drawTree(t, f, depth-1)}}
		case "and", "or":
			return tree{op: op, args: []tree{drawTree(t, f, depth-1), drawTree(t, f, depth-1)}}
		}
	}
	h := rapid.SampledFrom(f.Hosts).Draw(t, "host")
	system, role := rapid.SampledFrom(Systems()).Draw(t, "system"), rapid.SampledFrom(Roles()).Draw(t, "role")
	at := rapid.SampledFrom([]string{"@", "role:"}).Draw(t, "spelling")
	terms := []tree{
		{term: h.Name, is: func(o *Host) bool { return o.Name == h.Name }},
		{term: "system:" + string(system), is: func(o *Host) bool { return o.System == system }},
		{term: at + string(role), is: func(o *Host) bool { return o.Role == role }},
	}
	if len(h.Tags) > 0 {
		tag := rapid.SampledFrom(h.Tags).Draw(t, "tag")
		at := rapid.SampledFrom([]string{"@", "tag:"}).Draw(t, "spelling")
		terms = append(terms, tree{term: at + tag, is: func(o *Host) bool { return slices.Contains(o.Tags, tag) }})
	}
	cut := rapid.IntRange(0, len(h.Name)-1).Draw(t, "cut")
	pattern := h.Name[:cut] + rapid.SampledFrom([]string{"*", "?*", "*" + h.Name[cut:]}).Draw(t, "glob")
	terms = append(terms, tree{term: pattern, is: func(o *Host) bool { return globs(pattern, o.Name) }})
	return rapid.SampledFrom(terms).Draw(t, "term")
}

// TestSelectAgainstReference: Select gives what evaluating the tree for each
// host gives, however the tree is written.
func TestSelectAgainstReference(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		fleet := drawFleet(t)
		e := drawTree(t, fleet, 4)
		expr := e.write(t)
		var want []*Host
		for _, h := range fleet.Hosts {
			if e.selects(h) {
				want = append(want, h)
			}
		}
		got, err := fleet.Select(expr)
		if len(want) == 0 {
			if !errors.As(err, new(*EmptySelectionError)) {
				t.Fatalf("%q: got %s, %v; want nothing", expr, namesOf(got), err)
			}
			return
		}
		if err != nil || namesOf(got) != namesOf(want) {
			t.Fatalf("%q: got %s, %v; want %s", expr, namesOf(got), err, namesOf(want))
		}
	})
}

func FuzzSelect(f *testing.F) {
	for _, s := range []string{"", "pi*", "not (@home or role:pi), mbp", "[", `\`, "((", "a\xff and", "@", "not not", "tag:", "role:pi and -x"} {
		f.Add(s)
	}
	fleet := someFleet()
	f.Fuzz(func(t *testing.T, expr string) {
		hosts, err := fleet.Select(expr)
		column := 1
		var selector *SelectorError
		var empty *EmptySelectionError
		switch {
		case err == nil:
			if len(hosts) == 0 || !slices.IsSortedFunc(hosts, func(a, b *Host) int { return strings.Compare(a.Name, b.Name) }) {
				t.Fatalf("%q selects %q", expr, namesOf(hosts))
			}
			if again, err := fleet.Select("not not (" + expr + ")"); strings.TrimSpace(expr) != "" && (err != nil || namesOf(again) != namesOf(hosts)) {
				// Two more levels may be one too many.
				if !strings.Contains(fmt.Sprint(err), "nested") {
					t.Fatalf("%q selects %q, twice negated %q, %v", expr, namesOf(hosts), namesOf(again), err)
				}
			}
			return
		case errors.As(err, &selector):
			column = selector.Column
		case errors.As(err, &empty):
			column = empty.Column
		default:
			t.Fatalf("%q: %T", expr, err)
		}
		if hosts != nil || column < 1 || column > utf8.RuneCountInString(expr)+1 || !strings.HasSuffix(err.Error(), "^") {
			t.Fatalf("%q: %v and %v", expr, hosts, err)
		}
	})
}

func BenchmarkSelect(b *testing.B) {
	fleet, err := Load(writeThousand(b))
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if _, err := fleet.Select("(host1* or @rack3) and not role:laptop, system:aarch64-linux and tag:rack7"); err != nil {
			b.Fatal(err)
		}
	}
}
