package ci

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"roost/internal/command"
	"roost/lab"
)

const (
	benchRuns  = 5  // of each figure; the median counts
	mostHosts  = 40 // of the larger lab
	fleetHosts = 4  // that lab/fleet has
)

// benchLab measures update:all on labs of 4 and 40 hosts, and the packages that
// are on the way of it.
func benchLab(ctx context.Context, out *os.File) (string, error) {
	b := &labBench{out: out}
	err := b.run(ctx)
	return b.page.String(), err
}

type labBench struct {
	out   *os.File
	dir   string
	roost string
	page  strings.Builder
}

func (b *labBench) run(ctx context.Context) (err error) {
	if b.dir, err = os.MkdirTemp("", "roost-bench-"); err != nil {
		return err
	}
	defer os.RemoveAll(b.dir)
	b.roost = filepath.Join(b.dir, "roost")
	err = command.Run(ctx, command.Cmd{Name: "go", Args: []string{"build", "-ldflags=-s -w", "-o", b.roost, "./cmd/roost"},
		Env: []string{"CGO_ENABLED=0"}, Stdout: b.out, Stderr: b.out})
	if err != nil {
		return err
	}
	restore, err := manyInstances()
	if err != nil {
		return err
	}
	defer restore()
	b.head()
	for _, n := range []int{fleetHosts, mostHosts} {
		if err := b.fleet(ctx, n); err != nil {
			return fmt.Errorf("%d hosts: %w", n, err)
		}
	}
	return b.packages(ctx)
}

// manyInstances allows the inotify instances that 40 systemds want, until
// restore.
func manyInstances() (restore func(), err error) {
	const path, want = "/proc/sys/fs/inotify/max_user_instances", 1024
	before, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	if n, err := strconv.Atoi(strings.TrimSpace(string(before))); err == nil && n >= want {
		return func() {}, nil
	}
	return func() { _ = os.WriteFile(path, before, 0) }, os.WriteFile(path, []byte(strconv.Itoa(want)), 0)
}

func (b *labBench) head() {
	fmt.Fprintf(&b.page, `Each figure is the median of %d runs (the first run: of 1), of the whole roost process. "ssh alone" is the
floor of a no-change run: the system's ssh, a new connection to each host, all at once, running `+"`true`"+`. The same
machine also runs every host of the lab.

| hosts | run | seconds | evaluations | builds | effects | ssh connections a host | ssh alone, s | ratio |
| ---: | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |
`, benchRuns)
}

// fleet measures one lab.
func (b *labBench) fleet(ctx context.Context, n int) (err error) {
	l, err := lab.Open(filepath.Join(b.dir, fmt.Sprintf("lab%d", n)))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, l.Down(context.WithoutCancel(ctx), io.Discard)) }()
	fleet := filepath.Join(b.dir, fmt.Sprintf("fleet%d", n))
	names, err := benchFleet(fleet, n)
	if err != nil {
		return err
	}
	if err := l.Up(ctx, fleet, b.out); err != nil {
		return err
	}
	edit := func(hosts []string, version int) error {
		for _, name := range hosts {
			if err := setVersion(filepath.Join(l.Fleet(), "hosts", name, "default.nix"), version); err != nil {
				return err
			}
		}
		return nil
	}
	rows := []struct {
		name   string
		runs   int
		before func(i int) error
	}{
		{"first", 1, func(int) error { return nil }},
		{"no change", benchRuns, func(int) error { return nil }},
		{"one host edited", benchRuns, func(i int) error { return edit(names[:1], 10+i) }},
		{"all hosts edited", 1, func(i int) error { return edit(names, 100) }},
	}
	for _, row := range rows {
		if err := b.row(ctx, l, names, row.name, row.runs, row.before); err != nil {
			return fmt.Errorf("%s: %w", row.name, err)
		}
	}
	return nil
}

func (b *labBench) row(ctx context.Context, l *lab.Lab, names []string, name string, runs int, before func(int) error) error {
	var took, floors []time.Duration
	var last counts
	for i := range runs {
		if err := before(i); err != nil {
			return err
		}
		logins, err := acceptedLogins(ctx, l, names[0])
		if err != nil {
			return err
		}
		began := time.Now()
		out, err := command.Output(ctx, command.Cmd{Name: b.roost, Args: []string{"update:all", "--json"}, Env: l.Env()})
		if err != nil {
			return fmt.Errorf("%w\n%s", err, out)
		}
		took = append(took, time.Since(began))
		last = count(out)
		after, err := acceptedLogins(ctx, l, names[0])
		if err != nil {
			return err
		}
		last.logins = after - logins
		floor, err := sshAlone(ctx, l, names)
		if err != nil {
			return err
		}
		floors = append(floors, floor)
	}
	t, f := median(took), median(floors)
	fmt.Fprintf(&b.page, "| %d | %s | %.2f | %d | %d | %d | %d | %.2f | %.2f |\n",
		len(names), name, t.Seconds(), last.evals, last.builds, last.effects, last.logins, f.Seconds(), t.Seconds()/f.Seconds())
	return nil
}

func median(all []time.Duration) time.Duration {
	slices.Sort(all)
	return all[len(all)/2]
}

// sshAlone is the time of one new ssh connection to each host, all at once.
func sshAlone(ctx context.Context, l *lab.Lab, names []string) (time.Duration, error) {
	began := time.Now()
	errs := make([]error, len(names))
	var all sync.WaitGroup
	for i, name := range names {
		all.Go(func() {
			errs[i] = command.Run(ctx, command.Cmd{Name: "ssh", Args: []string{"-F", l.SSHConfig(), name, "true"}})
		})
	}
	all.Wait()
	return time.Since(began), errors.Join(errs...)
}

type counts struct{ evals, builds, effects, logins int }

var started = regexp.MustCompile(`"kind":"task.started","task":"[^"]*/([a-z]+)"`)

func count(events []byte) counts {
	var c counts
	for _, m := range started.FindAllSubmatch(events, -1) {
		switch string(m[1]) {
		case "eval":
			c.evals++
		case "build":
			c.builds++
		case "copy", "activate":
			c.effects++
		}
	}
	return c
}

// acceptedLogins counts the ssh connections a host has accepted since it booted.
func acceptedLogins(ctx context.Context, l *lab.Lab, name string) (int, error) {
	out, err := l.Exec(ctx, name, "journalctl", "-b", "-q", "--no-pager", "-t", "sshd", "-t", "sshd-session", "--grep", "Accepted publickey")
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) && len(out) == 0 {
		return 0, err
	}
	return bytes.Count(out, []byte("Accepted publickey")), nil
}

// benchFleet writes a fleet of n hosts: those of lab/fleet, and then more like
// its server.
func benchFleet(dir string, n int) ([]string, error) {
	if err := os.CopyFS(dir, lab.FleetFS()); err != nil {
		return nil, err
	}
	const like = "rook"
	names := []string{"malphas", "rook", "heron"} // all with a web version to edit
	if n == fleetHosts {
		return append(names, "wren")[:n], setVersion(filepath.Join(dir, "hosts", "wren", "default.nix"), 0)
	}
	names = append(names[:0], like)
	for _, other := range []string{"malphas", "heron", "wren"} {
		if err := os.RemoveAll(filepath.Join(dir, "hosts", other)); err != nil {
			return nil, err
		}
	}
	for i := 1; i < n; i++ {
		name := fmt.Sprintf("%s%02d", like, i)
		if err := os.CopyFS(filepath.Join(dir, "hosts", name), os.DirFS(filepath.Join(dir, "hosts", like))); err != nil {
			return nil, err
		}
		names = append(names, name)
	}
	return names, nil
}

var webVersion = regexp.MustCompile(`web\.version = "[^"]*"`)

// setVersion changes the version of a host's web service; a host without one
// stays as it is.
func setVersion(path string, version int) error {
	data, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	return os.WriteFile(path, webVersion.ReplaceAll(data, fmt.Appendf(nil, `web.version = "%d"`, version)), 0o600)
}

// packages adds the Go benchmarks of the packages that are on the way of a run.
func (b *labBench) packages(ctx context.Context) error {
	out, err := command.Output(ctx, command.Cmd{Name: "go", Env: []string{"CGO_ENABLED=0"},
		Args: []string{"test", "-run=^$", "-bench=.", "-benchmem", "-count=1", "./graph", "./hosts", "./tasks/system"}})
	if err != nil {
		return err
	}
	b.page.WriteString("\n### Packages\n\n`go test -bench=. -benchmem ./graph ./hosts ./tasks/system`:\n\n```\n")
	for line := range strings.Lines(string(out)) {
		if strings.HasPrefix(line, "Benchmark") {
			b.page.WriteString(line)
		}
	}
	b.page.WriteString("```\n")
	return nil
}
