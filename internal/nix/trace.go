package nix

import (
	"bytes"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// failure is what Nix said when it failed.
type failure struct {
	message string
	frames  []frame // from the error outwards
}

type frame struct {
	file     string
	position string // ":line:column"
}

var (
	frameLine   = regexp.MustCompile(`^\s+at (.+?)(:\d+:\d+):?$`)
	missingFile = regexp.MustCompile(`['" ](?:/[^'"]*)?/[0-9a-z]{32}-source/([^'":]+)['"]?:? (?:does not exist|[Nn]o such file or directory)`)
)

// inner is how far Nix indents all but the first line of an error.
const inner = "       "

// readFailure reads what nix prints for a failed evaluation, with or without a
// trace. There are two orders, told apart by the first line:
//
//	error: MESSAGE         (2.8) then its place, then the trace outwards
//	error:                 (2.26) the trace inwards, then "error: MESSAGE" indented, then its place
//
// In both, the places after the message lie outwards from it, and those before
// it lie inwards.
func readFailure(text string) failure {
	lines := strings.Split(text, "\n")
	first := slices.IndexFunc(lines, func(l string) bool { return strings.HasPrefix(l, "error:") })
	if first < 0 {
		return failure{message: strings.TrimSpace(text)}
	}
	start := first
	if strings.TrimSpace(lines[first]) == "error:" {
		next := slices.IndexFunc(lines[first:], func(l string) bool { return strings.HasPrefix(l, inner+"error:") })
		if next < 0 {
			return failure{message: strings.TrimSpace(strings.Join(lines[first:], "\n"))}
		}
		start = first + next
	}
	f := failure{message: message(lines[start:])}
	for _, line := range lines[start:] {
		f.frames = appendFrame(f.frames, line)
	}
	for _, line := range slices.Backward(lines[first:start]) {
		f.frames = appendFrame(f.frames, line)
	}
	return f
}

func appendFrame(frames []frame, line string) []frame {
	if m := frameLine.FindStringSubmatch(line); m != nil {
		return append(frames, frame{m[1], m[2]})
	}
	return frames
}

// message takes the message from lines that begin with it: up to its place,
// and the suggestion that may follow below the excerpt shown there.
func message(lines []string) string {
	said := []string{strings.TrimSpace(strings.TrimPrefix(strings.TrimSpace(lines[0]), "error:"))}
	inMessage := true
	for _, line := range lines[1:] {
		text := strings.TrimPrefix(line, inner)
		switch {
		case strings.HasPrefix(text, "… "), strings.HasPrefix(line, "error:"), strings.HasPrefix(line, "(use '--show-trace'"):
			return strings.TrimSpace(strings.Join(said, "\n"))
		case frameLine.MatchString(line):
			inMessage = false
			for len(said) > 0 && strings.TrimSpace(said[len(said)-1]) == "" {
				said = said[:len(said)-1]
			}
		case inMessage, strings.HasPrefix(text, "Did you mean "):
			said = append(said, text)
		}
	}
	return strings.TrimSpace(strings.Join(said, "\n"))
}

var sourcePath = regexp.MustCompile(`^(?:/.*)?/[0-9a-z]{32}-source/(.+)$`)

// userFile maps a file of a trace to the user's own: Nix evaluates a copy in
// the store, and so are the flake's inputs. A copy with other contents than
// the file at the same place under dir belongs to an input.
func (n *Nix) userFile(file, dir string) (string, bool) {
	if dir == "" {
		return "", false
	}
	if rel, err := filepath.Rel(dir, file); err == nil && filepath.IsLocal(rel) {
		return rel, true // evaluated in place
	}
	m := sourcePath.FindStringSubmatch(file)
	if m == nil || !filepath.IsLocal(m[1]) {
		return "", false
	}
	own, err := os.ReadFile(filepath.Join(dir, m[1]))
	if err != nil {
		return "", false
	}
	// Newer Nix shows the name of the path, older its place on disk.
	for _, path := range []string{file, n.RealPath(file)} {
		if copied, err := os.ReadFile(path); err == nil && !bytes.Equal(own, copied) {
			return "", false
		}
	}
	return m[1], true
}
