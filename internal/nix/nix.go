// Package nix runs the nix command line and turns its failures into errors
// that say what is wrong and where in the user's files.
//
//	n, err := nix.Detect(ctx)
//	var drv string
//	err = n.Eval(ctx, nix.EvalRequest{
//		Flake:     "path:/var/lib/roost/stage/malphas",
//		Attr:      nix.AttrPath("nixosConfigurations", "malphas", "config", "system", "build", "toplevel", "drvPath"),
//		UserFiles: "/var/lib/roost/stage/malphas",
//	}, &drv, log)
//	out, err := n.Build(ctx, drv, "/var/lib/roost/roots/malphas", log)
//	err = n.Copy(ctx, conn.StoreURL(), opts, out, log)
//
// It knows Nix 2.8 to 2.34, Lix, and Determinate Nix. Nix is never able to ask
// anything, and a flake's own nixConfig is not accepted.
package nix

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"

	"roost/internal/command"
)

// Implementation is whose nix it is.
type Implementation string

const (
	CppNix      Implementation = "nix"
	Lix         Implementation = "lix"
	Determinate Implementation = "determinate"
)

// Nix is the nix command of this machine. It may be used by many goroutines.
type Nix struct {
	Implementation Implementation
	Version        string // as nix prints it, "2.8.0"; that of Lix is its own

	major, minor int
}

// Detect asks nix for its version. It fails where there is no nix on PATH, or
// one older than 2.8.
func Detect(ctx context.Context) (*Nix, error) {
	out, err := command.Output(ctx, command.Cmd{Name: "nix", Args: []string{"--version"}})
	if errors.Is(err, exec.ErrNotFound) {
		return nil, fmt.Errorf("there is no nix on PATH: install Nix 2.8 or newer (Debian: apt install nix-bin; elsewhere: https://nixos.org/download): %w", exec.ErrNotFound)
	}
	if err != nil {
		return nil, fmt.Errorf("cannot learn the version of nix: %w", err)
	}
	return parseVersion(strings.TrimSpace(string(out)))
}

// "nix (Nix) 2.8.0", "nix (Lix, like Nix) 2.91.1", "nix (Determinate Nix 3.8.5) 2.30.1"
var versionLine = regexp.MustCompile(`^nix \(([^)]*)\) ((\d+)\.(\d+)\S*)$`)

func parseVersion(line string) (*Nix, error) {
	m := versionLine.FindStringSubmatch(line)
	if m == nil {
		return nil, fmt.Errorf("`nix --version` says %q: is the nix on PATH really Nix?", line)
	}
	n := &Nix{Implementation: CppNix, Version: m[2]}
	switch {
	case strings.HasPrefix(m[1], "Lix"):
		n.Implementation = Lix
	case strings.HasPrefix(m[1], "Determinate"):
		n.Implementation = Determinate
	}
	var err1, err2 error
	n.major, err1 = strconv.Atoi(m[3])
	n.minor, err2 = strconv.Atoi(m[4])
	if err := errors.Join(err1, err2); err != nil {
		return nil, fmt.Errorf("`nix --version` says %q: %w", line, err)
	}
	if !n.atLeast(2, 8) {
		return nil, fmt.Errorf("nix %s is too old: install Nix 2.8 or newer", n.Version)
	}
	return n, nil
}

// ID names implementation and version, such as "nix-2.8.0". It does not change
// until another Nix is installed, so it belongs into cache keys.
func (n *Nix) ID() string { return string(n.Implementation) + "-" + n.Version }

func (n *Nix) atLeast(major, minor int) bool {
	return n.major > major || n.major == major && n.minor >= minor
}

// kept is how much of nix's stderr is read for errors: a long trace, or the
// last part of a build's output.
const kept = 4 << 20

// run runs `nix VERB ARGS...`. It returns stdout, and stderr from its end.
func (n *Nix) run(ctx context.Context, log io.Writer, env []string, verb string, args ...string) ([]byte, string, error) {
	return n.measure(ctx, nil, log, env, verb, args...)
}

// measure is run that also says how much memory nix had, at the most.
func (n *Nix) measure(ctx context.Context, peak *int64, log io.Writer, env []string, verb string, args ...string) ([]byte, string, error) {
	// Handing a file over would hide the words we have to read.
	if f, ok := log.(*os.File); ok {
		log = struct{ io.Writer }{f}
	}
	out, err := command.Output(ctx, command.Cmd{
		Name:   "nix",
		Args:   append([]string{"--extra-experimental-features", "nix-command flakes", verb}, args...),
		Env:    env,
		Stderr: log,
		Keep:   kept,
		Peak:   peak,
	})
	var failed *command.Error
	if errors.As(err, &failed) {
		return out, ansi.ReplaceAllString(failed.Stderr, ""), err
	}
	return out, "", err
}

var ansi = regexp.MustCompile("\x1b\\[[0-9;]*[A-Za-z]")

// spoke reports whether nix itself failed and said why. Otherwise it did not
// start, was stopped, or was killed, and the error of command says so.
func spoke(ctx context.Context, err error) bool {
	var failed *command.Error
	return ctx.Err() == nil && errors.As(err, &failed) && failed.ExitCode > 0
}

// RealPath returns where a store path is on disk. That differs from its name
// where NIX_REMOTE says local?root=DIR, as in the lab.
func (n *Nix) RealPath(storePath string) string {
	query, ok := strings.CutPrefix(os.Getenv("NIX_REMOTE"), "local?")
	if !ok {
		return storePath
	}
	values, err := url.ParseQuery(query)
	if err != nil || values.Get("root") == "" {
		return storePath
	}
	return filepath.Join(values.Get("root"), storePath)
}

// Exists reports whether a store path, or a file in one, is on disk. A dangling
// link counts.
func (n *Nix) Exists(storePath string) bool {
	_, err := os.Lstat(n.RealPath(storePath))
	return err == nil
}
