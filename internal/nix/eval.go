package nix

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"regexp"
	"strings"
)

// EvalRequest names a value of a flake.
type EvalRequest struct {
	Flake string // such as "path:/x/stage"
	Attr  string // from AttrPath
	Apply string // a Nix function to apply to it; empty: none
	// UserFiles is the folder with the user's own files at the places they
	// have in the flake: an error names the frame that lies in one of them.
	UserFiles string
	Peak      *int64 // if set: the most memory the evaluation had, in bytes
}

var plainAttr = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_-]*$`)

// AttrPath joins the parts of an attribute path and quotes those that need it.
// Nix cannot spell a part with a double quote: the path is left without its
// closing quote from there on, which Eval and Nix refuse.
func AttrPath(parts ...string) string {
	quoted := make([]string, 0, len(parts))
	for _, p := range parts {
		if strings.Contains(p, `"`) {
			quoted = append(quoted, `"`+strings.ReplaceAll(p, `"`, ""))
			break
		}
		if !plainAttr.MatchString(p) {
			p = `"` + p + `"`
		}
		quoted = append(quoted, p)
	}
	return strings.Join(quoted, ".")
}

// fragment writes an attribute path as the part of a flake reference after the
// "#". Nix decodes percent signs there.
func fragment(attr string) string {
	var b strings.Builder
	for _, c := range []byte(attr) {
		if 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || strings.IndexByte(`._-"`, c) >= 0 {
			b.WriteByte(c)
		} else {
			fmt.Fprintf(&b, "%%%02X", c)
		}
	}
	return b.String()
}

// Eval evaluates and decodes the value into out, as json.Unmarshal does. What
// Nix prints meanwhile goes to log, which may be nil.
//
// Nix remembers failures, with less to say than at first. So a failure is
// evaluated once more, without that memory and with a trace: the error is an
// *EvalError, unless nix was killed, or stopped by the context.
func (n *Nix) Eval(ctx context.Context, r EvalRequest, out any, log io.Writer) error {
	if strings.Count(r.Attr, `"`)%2 != 0 {
		return fmt.Errorf("the attribute path %s has a name with a double quote, which Nix cannot spell", r.Attr)
	}
	args := []string{"--json", "--no-write-lock-file"}
	if r.Apply != "" {
		args = append(args, "--apply", r.Apply)
	}
	args = append(args, r.Flake+"#"+fragment(r.Attr))
	value, _, err := n.measure(ctx, r.Peak, log, nil, "eval", args...)
	if spoke(ctx, err) {
		var trace string
		value, trace, err = n.run(ctx, nil, nil, "eval", append([]string{"--show-trace", "--option", "eval-cache", "false"}, args...)...)
		if spoke(ctx, err) {
			return n.evalError(r, trace)
		}
	}
	if err != nil {
		return fmt.Errorf("evaluating %s: %w", r.Attr, err)
	}
	if err := json.Unmarshal(value, out); err != nil {
		return fmt.Errorf("evaluating %s: the value is not what was expected: %w", r.Attr, err)
	}
	return nil
}

// EvalError is a failed evaluation.
type EvalError struct {
	Attr    string
	Message string // Nix's own, complete
	// Frame is the place in the user's files nearest to the error, as
	// file:line:column with the file relative to the flake; empty if the trace
	// shows none.
	Frame string
	// Missing is the file or folder of the flake that Nix looked for in vain,
	// relative to the flake; empty if it was another error.
	Missing string
	Trace   string // everything Nix printed, with --show-trace
}

func (n *Nix) evalError(r EvalRequest, trace string) *EvalError {
	f := readFailure(trace)
	e := &EvalError{Attr: r.Attr, Message: f.message, Trace: trace}
	for _, place := range f.frames {
		if rel, ok := n.userFile(place.file, r.UserFiles); ok {
			e.Frame = rel + place.position
			break
		}
	}
	if m := missingFile.FindStringSubmatch(f.message); m != nil {
		e.Missing = m[1]
	}
	return e
}

func (e *EvalError) Error() string {
	msg := "evaluating " + e.Attr + ": " + e.Message
	if e.Missing != "" {
		msg += "\n  " + e.Missing + " is not among the files that were evaluated"
	}
	if e.Frame != "" {
		msg += "\n  at " + e.Frame
	}
	return msg
}
