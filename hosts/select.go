package hosts

import (
	"fmt"
	"slices"
	"strings"
)

// Select returns the hosts that an expression selects, in name order and never
// none. An empty expression selects all of them. Terms are
//
//	malphas  pi*  @canary  @server  tag:canary  role:laptop  system:aarch64-darwin
//
// and they are joined by not, and, or (in this order of strength; a comma is
// or) and parentheses. The error is a *SelectorError for an expression that
// cannot be understood or that names what the fleet does not have, and an
// *EmptySelectionError for one that selects nothing.
func (f *Fleet) Select(expr string) ([]*Host, error) {
	if strings.TrimSpace(expr) == "" {
		return slices.Clone(f.Hosts), nil
	}
	m, err := parseSelector(f, expr)
	if err != nil {
		return nil, err
	}
	var selected []*Host
	for _, h := range f.Hosts {
		if m(h) {
			selected = append(selected, h)
		}
	}
	if len(selected) == 0 {
		return nil, &EmptySelectionError{Expr: expr, Column: 1, Part: expr}
	}
	return selected, nil
}

// SelectorError says what is wrong in a selector, and where.
type SelectorError struct {
	Expr    string
	Column  int // from 1, in characters
	Message string
}

func (e *SelectorError) Error() string {
	return "selector: " + e.Message + pointAt(e.Expr, e.Column)
}

// EmptySelectionError says that a good selector, or a glob in it, selects no host.
type EmptySelectionError struct {
	Expr   string
	Column int    // where Part begins: from 1, in characters
	Part   string // the glob, or the whole of Expr
}

func (e *EmptySelectionError) Error() string {
	return fmt.Sprintf("selector: %q selects no host of this fleet", e.Part) + pointAt(e.Expr, e.Column)
}
