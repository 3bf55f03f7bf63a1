package report

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/charmbracelet/x/ansi"
)

// Clean makes one line of a program's output safe to print: without escape
// sequences, control characters and marks that turn the writing direction.
// Of a line that a program drew over and over, the last drawing is kept.
func Clean(line string) string {
	line = strings.TrimRight(line, "\r\n")
	if plain(line) {
		return line
	}
	line = ansi.Strip(strings.ToValidUTF8(line, "\uFFFD"))
	if at := strings.LastIndexByte(line, '\r'); at >= 0 {
		line = line[at+1:]
	}
	line = strings.ReplaceAll(line, "\t", "    ")
	return strings.Map(func(c rune) rune {
		switch {
		case c == '\n':
			return ' '
		case unicode.IsControl(c), unicode.Is(unicode.Bidi_Control, c):
			return -1
		}
		return c
	}, line)
}

// plain says that the text is printable ASCII: then there is nothing to clean.
func plain(s string) bool {
	for i := range len(s) {
		if s[i] < ' ' || s[i] >= 0x7f {
			return false
		}
	}
	return true
}

// cleanLines is Clean for a text of several lines.
func cleanLines(text string) string {
	lines := strings.Split(strings.TrimRight(text, "\r\n"), "\n")
	for i := range lines {
		lines[i] = Clean(lines[i])
	}
	return strings.Join(lines, "\n")
}

// Took says a time for a reader: "0.3 s", "42 s", "3 min 05 s", "2 h 10 min".
func Took(seconds float64) string {
	switch {
	case seconds < 9.95:
		return fmt.Sprintf("%.1f s", max(seconds, 0))
	case seconds < 59.5:
		return fmt.Sprintf("%.0f s", seconds)
	}
	s := int64(seconds + 0.5)
	if s < 3600 {
		return fmt.Sprintf("%d min %02d s", s/60, s%60)
	}
	return fmt.Sprintf("%d h %02d min", s/3600, s%3600/60)
}

// Plural is "1 host", "2 hosts".
func Plural(n int, one string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %ss", n, one)
}

// cut shortens a text to a width in cells.
func cut(s string, width int, ellipsis string) string {
	if width <= 0 {
		return ""
	}
	return ansi.Truncate(s, width, ellipsis)
}

// firstLine is the first line of a text.
func firstLine(s string) string {
	line, _, _ := strings.Cut(s, "\n")
	return line
}

// names lists up to most names, and says how many more there are.
func names(list []string, most int) string {
	if len(list) <= most {
		return strings.Join(list, ", ")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(list[:most], ", "), len(list)-most)
}

// asASCII writes the few other characters that the reports use as ASCII, for
// a terminal that has no UTF-8. Other people's text becomes question marks.
func asASCII(s string) string {
	return strings.Map(func(c rune) rune {
		if c < utf8.RuneSelf {
			return c
		}
		return '?'
	}, strings.ReplaceAll(s, "…", "..."))
}
