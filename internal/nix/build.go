package nix

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"regexp"
	"strings"

	"roost/internal/command"
)

// Build builds a derivation and returns its output "out". outLink is a link to
// it that keeps it from the garbage collector; empty: none. What the builders
// print goes to log, which may be nil. A failure is a *BuildError or a
// *DiskFullError, unless nix was killed, or stopped by the context.
func (n *Nix) Build(ctx context.Context, drv, outLink string, log io.Writer) (string, error) {
	args := []string{"--json", "-L", "--no-link"}
	if outLink != "" {
		args = []string{"--json", "-L", "--out-link", outLink}
	}
	what := drv
	if n.atLeast(2, 15) { // without it, newer Nix means the .drv file itself
		what += "^*"
	}
	out, said, err := n.run(ctx, log, nil, "build", append(args, what)...)
	if spoke(ctx, err) {
		failed := newBuildError(drv, said)
		if words := diskFull(failed.Message + "\n" + failed.LogTail); words != "" {
			return "", &DiskFullError{Where: thisMachine, Message: words}
		}
		return "", failed
	}
	if err != nil {
		return "", fmt.Errorf("building %s: %w", drv, err)
	}
	var built []struct {
		Outputs map[string]string `json:"outputs"`
	}
	if err := json.Unmarshal(out, &built); err != nil {
		return "", fmt.Errorf("building %s: cannot read what nix built: %w", drv, err)
	}
	if len(built) != 1 || built[0].Outputs["out"] == "" {
		return "", fmt.Errorf("building %s: it has no output named out: nix says %s", drv, strings.TrimSpace(string(out)))
	}
	return built[0].Outputs["out"], nil
}

// BuildError is a failed build.
type BuildError struct {
	Drv     string // the derivation that failed: the one asked for, or one it needs
	Message string // Nix's own
	LogTail string // the last lines its builder printed; empty: none
}

func (e *BuildError) Error() string {
	msg := "building " + e.Drv + ": " + e.Message
	if e.LogTail == "" {
		return msg
	}
	return msg + "\n" + command.Indent(e.LogTail) + "\n  The whole log: nix log " + e.Drv
}

var (
	quotedDrv = regexp.MustCompile(`'(/[^' ]+\.drv)'`)
	drvName   = regexp.MustCompile(`/[0-9a-z]{32}-([^/]+)\.drv$`)
)

// shownLog is how many lines of a builder's output an error keeps.
const shownLog = 20

// newBuildError reads what nix printed. The first error names the derivation
// that failed, those after it the ones that needed it.
func newBuildError(asked, said string) *BuildError {
	blocks := errorBlocks(said)
	e := &BuildError{Drv: asked, Message: strings.TrimSpace(said)}
	if len(blocks) > 0 {
		e.Message = blocks[0]
		if m := quotedDrv.FindStringSubmatch(e.Message); m != nil {
			e.Drv = m[1]
		}
	}
	// With -L each line of a builder's output begins with the name.
	var lines []string
	if m := drvName.FindStringSubmatch(e.Drv); m != nil {
		for line := range strings.Lines(said) {
			if text, ok := strings.CutPrefix(line, m[1]+"> "); ok {
				lines = append(lines, strings.TrimRight(text, "\r\n"))
			}
		}
	}
	e.LogTail = strings.Join(lines[max(0, len(lines)-shownLog):], "\n")
	return e
}

// errorBlocks returns the errors in what nix printed, without the word error
// and the indentation. A builder's lines have its name in front, so they are
// not taken for errors.
func errorBlocks(said string) []string {
	var blocks []string
	in := false
	for line := range strings.Lines(said) {
		line = strings.TrimRight(line, "\r\n")
		if text, ok := strings.CutPrefix(line, "error:"); ok {
			blocks = append(blocks, strings.TrimSpace(text))
			in = true
		} else if text, ok := strings.CutPrefix(line, inner); ok && in {
			blocks[len(blocks)-1] += "\n" + text
		} else {
			in = false
		}
	}
	return blocks
}
