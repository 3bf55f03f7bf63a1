package ci

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/google/renameio/v2"

	"roost/ci/speed"
	"roost/internal/command"
	"roost/internal/debian"
	"roost/internal/verbs"
	"roost/lab"
)

const (
	performancePage = "docs/performance.md"
	speedPlot       = "speed.svg" // beside the page
)

// benchParts are the parts of the page, in its order.
var benchParts = []benchPart{
	{"engine", "The engine", func() error { return setMost(&speed.Options{}) }, benchEngine},
	{"lab", "update:all on the lab", lab.Ready, benchLab},
}

// benchPart is one part of the page: a measurement of its own.
type benchPart struct {
	name, title string
	ready       func() error // whether it can be measured here
	run         func(context.Context, *os.File) (string, error)
}

// Bench measures the engine, and update:all on the lab, and writes
// docs/performance.md and its picture. ROOST_BENCH=engine or lab measures one of
// them, and leaves the other part of the page as it is. The error is a
// *verbs.Exit.
func Bench(ctx context.Context, o verbs.Options) error {
	if o.Stdout == nil {
		o.Stdout = os.Stdout
	}
	parts, err := chosenParts(os.Getenv("ROOST_BENCH"))
	for _, p := range parts {
		err = errors.Join(err, p.ready())
	}
	if err != nil {
		return &verbs.Exit{Code: verbs.CodeUsage, Err: err}
	}
	for _, p := range parts {
		fmt.Fprintf(o.Stdout, "== %s\n", p.title)
		text, err := p.run(ctx, o.Stdout)
		if err == nil {
			err = writePart(performancePage, p, machine(ctx)+text)
		}
		if err != nil {
			return &verbs.Exit{Code: verbs.CodeFailed, Err: fmt.Errorf("%s: %w", p.name, err)}
		}
	}
	return nil
}

func chosenParts(name string) ([]benchPart, error) {
	if name == "" {
		return benchParts, nil
	}
	i := slices.IndexFunc(benchParts, func(p benchPart) bool { return p.name == name })
	if i < 0 {
		return nil, fmt.Errorf("ROOST_BENCH=%q: want engine, lab, or nothing for both", name)
	}
	return benchParts[i : i+1], nil
}

// benchEngine measures the engine.
func benchEngine(ctx context.Context, out *os.File) (string, error) {
	o := speed.Options{Out: out, Install: installPeer}
	if err := setMost(&o); err != nil {
		return "", err
	}
	results, err := speed.Measure(ctx, o)
	if err != nil {
		return "", err
	}
	plot, err := speed.Plot(results)
	if err != nil {
		return "", err
	}
	err = renameio.WriteFile(filepath.Join(filepath.Dir(performancePage), speedPlot), plot, 0o644)
	return speed.Page(results, speedPlot), err
}

// setMost reads from ROOST_BENCH_MOST how many tasks the largest graph has.
func setMost(o *speed.Options) (err error) {
	text := os.Getenv("ROOST_BENCH_MOST")
	if text == "" {
		return nil
	}
	if o.Most, err = strconv.Atoi(text); err != nil || o.Most < 1000 {
		return fmt.Errorf("ROOST_BENCH_MOST=%q: want a number of tasks, at least 1000", text)
	}
	return nil
}

// installPeer installs packages, where that may be done.
func installPeer(ctx context.Context, packages ...string) error {
	if os.Geteuid() != 0 {
		return errors.New("not installed, and only root can install it")
	}
	return debian.Install(ctx, packages...)
}

// machine says where and when a part was measured.
func machine(ctx context.Context) string {
	nix := "no Nix"
	if out, err := command.Output(ctx, command.Cmd{Name: "nix", Args: []string{"--version"}}); err == nil {
		nix = strings.TrimSpace(string(out))
	}
	kernel, _ := os.ReadFile("/proc/sys/kernel/osrelease")
	return fmt.Sprintf("Measured on %s: %d processors, %s, Linux %s, %s, %s.\n\n", time.Now().UTC().Format(time.DateOnly),
		runtime.NumCPU(), cpu(), strings.TrimSpace(string(kernel)), runtime.Version(), nix)
}

func cpu() string {
	data, _ := os.ReadFile("/proc/cpuinfo")
	for line := range strings.Lines(string(data)) {
		if name, ok := strings.CutPrefix(line, "model name"); ok {
			return strings.TrimSpace(strings.TrimLeft(name, "\t :"))
		}
	}
	return runtime.GOARCH
}

const pageHead = "# Performance\n\nWritten by `mage bench`. Absolute times are those of one machine: read the ratios.\n"

// writePart puts one part into the page, and keeps the others.
func writePart(path string, p benchPart, text string) error {
	old, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return renameio.WriteFile(path, []byte(withPart(string(old), p, text)), 0o644)
}

// withPart returns the page with this part as given. A part is all from its
// heading to the next one of its level.
func withPart(page string, p benchPart, text string) string {
	var b strings.Builder
	b.WriteString(pageHead)
	for _, one := range benchParts {
		body := text
		if one.name != p.name {
			body = partOf(page, one)
		}
		if body != "" {
			fmt.Fprintf(&b, "\n%s\n\n%s\n", heading(one), strings.TrimSpace(body))
		}
	}
	return b.String()
}

func heading(p benchPart) string { return "## " + p.title }

// partOf returns what the page has under the heading of a part.
func partOf(page string, p benchPart) string {
	_, body, ok := strings.Cut(page, "\n"+heading(p)+"\n")
	if !ok {
		return ""
	}
	body, _, _ = strings.Cut(body, "\n## ")
	return body
}
