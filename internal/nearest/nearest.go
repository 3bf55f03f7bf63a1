// Package nearest finds what a person may have meant by a word that is not known.
//
//	return fmt.Errorf("no host %q; %s", name, nearest.Hint(name, "hosts", names))
package nearest

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// Hint says what a person may have meant by word: the nearest candidates, or
// where none is near, what there is. plural names the candidates.
func Hint(word, plural string, candidates []string) string {
	if near := Words(word, candidates); len(near) > 0 {
		return DidYouMean(near)
	}
	if len(candidates) == 0 {
		return "there are no " + plural + " yet"
	}
	const most = 12
	more := ""
	if n := len(candidates) - most; n > 0 {
		candidates, more = candidates[:most], fmt.Sprintf(" and %d more", n)
	}
	return "known " + plural + ": " + strings.Join(candidates, ", ") + more
}

// DidYouMean asks for the words that Words found.
func DidYouMean(near []string) string {
	quoted := make([]string, len(near))
	for i, n := range near {
		quoted[i] = strconv.Quote(n)
	}
	return "did you mean " + strings.Join(quoted, " or ") + "?"
}

// Words returns at most three candidates that are a few typing errors away
// from word, or that contain it, the nearest first.
func Words(word string, candidates []string) []string {
	type near struct {
		name     string
		distance int
	}
	limit := (len(word) + 2) / 3
	var found []near
	for _, c := range candidates {
		switch d := distance(word, c, limit); {
		case d <= limit:
			found = append(found, near{c, d})
		case len(word) >= 3 && strings.Contains(c, word):
			found = append(found, near{c, limit + 1})
		}
	}
	slices.SortStableFunc(found, func(a, b near) int { return cmp.Compare(a.distance, b.distance) })
	var names []string
	for _, n := range found[:min(3, len(found))] {
		names = append(names, n.name)
	}
	return names
}

// distance is the Levenshtein distance of a and b in bytes: how many bytes must
// be put in, taken out or replaced to make b from a. Where it is more than
// limit, any number above limit is returned.
func distance(a, b string, limit int) int {
	if max(len(a)-len(b), len(b)-len(a)) > limit {
		return limit + 1
	}
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			replace := diagonal
			if a[i] != b[j] {
				replace++
			}
			diagonal = row[j+1]
			row[j+1] = min(replace, diagonal+1, row[j]+1)
		}
	}
	return row[len(b)]
}
