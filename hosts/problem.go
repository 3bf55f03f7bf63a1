package hosts

import (
	"fmt"
	"strings"

	"roost/internal/tomldoc"
)

// Problem is one thing that is wrong in a fleet.
type Problem struct {
	File    string // relative to the fleet folder, with slashes
	Line    int    // from 1; 0 where the problem is the file or folder itself
	Column  int    // from 1, in characters
	Message string // what is wrong and what is allowed
}

func (p Problem) String() string {
	if p.Line == 0 {
		return p.File + ": " + p.Message
	}
	return fmt.Sprintf("%s:%d:%d: %s", p.File, p.Line, p.Column, p.Message)
}

// inFile names the file in the problems of one document.
func inFile(file string, found []tomldoc.Problem) []Problem {
	problems := make([]Problem, len(found))
	for i, p := range found {
		problems[i] = Problem{file, p.Line, p.Column, p.Message}
	}
	return problems
}

// InvalidError lists everything that is wrong in a fleet: by host, then by line.
type InvalidError struct{ Problems []Problem }

func (e *InvalidError) Error() string {
	var b strings.Builder
	files := map[string]bool{}
	for _, p := range e.Problems {
		files[p.File] = true
		fmt.Fprintln(&b, p)
	}
	them := "them"
	if len(e.Problems) == 1 {
		them = "it"
	}
	fmt.Fprintf(&b, "%s in %s, nothing was run: correct %s and run the same command again",
		count(len(e.Problems), "problem"), count(len(files), "place"), them)
	return b.String()
}

func count(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}
