package nearest

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

func TestWords(t *testing.T) {
	for _, c := range []struct {
		word       string
		candidates []string
		want       []string
	}{
		{"modul", []string{"tags", "modules"}, []string{"modules"}},
		{"pi3", []string{"pi1", "vine", "pi2"}, []string{"pi1", "pi2"}},
		{"abcd", []string{"abxy", "abcx", "abce", "abcf", "abcg"}, []string{"abcx", "abce", "abcf"}}, // the nearest first, then as given
		{"plasma", []string{"desktop/plasma", "desktop/gnome"}, []string{"desktop/plasma"}},
		{"zz", []string{"ab", "abc"}, nil},
		{"", []string{"a", "ab"}, nil},
		{"x", nil, nil},
	} {
		if diff := cmp.Diff(c.want, Words(c.word, c.candidates)); diff != "" {
			t.Errorf("Words(%q, %q) (-want +got):\n%s", c.word, c.candidates, diff)
		}
	}
}

func TestHintCutsALongList(t *testing.T) {
	many := []string{"a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k", "l", "m", "n"}
	if got, want := Hint("zzz", "hosts", many), "known hosts: a, b, c, d, e, f, g, h, i, j, k, l and 2 more"; got != want {
		t.Errorf("got %q", got)
	}
}

// slowDistance is the definition of the Levenshtein distance.
func slowDistance(a, b string) int {
	switch {
	case a == "":
		return len(b)
	case b == "":
		return len(a)
	case a[0] == b[0]:
		return slowDistance(a[1:], b[1:])
	}
	return 1 + min(slowDistance(a[1:], b), slowDistance(a, b[1:]), slowDistance(a[1:], b[1:]))
}

func TestDistanceAgainstDefinition(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		word := rapid.StringMatching(`[abc]{0,6}`)
		a, b, limit := word.Draw(t, "a"), word.Draw(t, "b"), rapid.IntRange(0, 7).Draw(t, "limit")
		got, want := distance(a, b, limit), slowDistance(a, b)
		if want <= limit && got != want || want > limit && got <= limit {
			t.Fatalf("distance(%q, %q, %d) = %d, want %d", a, b, limit, got, want)
		}
	})
}
