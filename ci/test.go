// Package ci is what CI runs, and what `mage test` runs on any machine: it
// installs what the tests need, and then lets none of them be skipped.
//
//	err := ci.Test(ctx, verbs.Options{})
package ci

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"time"

	"roost/ci/speed"
	"roost/internal/command"
	"roost/internal/debian"
	"roost/internal/verbs"
	"roost/lab"
)

// packages are what the tests need besides what the lab needs: a C compiler for
// the race detector, an sshd for package remote (it is not started) and pgrep to
// see what it leaves behind, jq for the command line's tests, and ninja and make
// to read the files that the benchmark writes for them.
var packages = []string{"gcc", "libc6-dev", "openssh-server", "procps", "git", "jq", "ninja-build", "make"}

// part is one part of the tests. They run one after the other, and the time of
// each is printed.
type part struct {
	name string
	run  func(context.Context, *tree) error
}

var parts = []part{
	{"what is needed", install},
	{"format", format},
	{"vet", tool("go", "vet", "./...")},
	{"vet the magefile", tool("go", "vet", "-tags", "mage", ".")},
	{"lint", tool("go", "tool", "-modfile=tools/go.mod", "staticcheck", "./...")},
	{"the demo, as the README has it", tool("go", "tool", "mage", "demo")},
	{"tests, raced, with lab and Nix", tests},
	{"10,000 random graphs", tool("go", "test", "-run=EngineKeepsItsPromises", "-count=1", "./graph", "-rapid.checks=10000", seed)},
	{"3,000 random folders of files, orders, deeds and concurrent runs", tool("go", "test", "-count=1", "-timeout=20m",
		"-run=FilesKeepTheirPromises|AgainstReferences|AgainstAModel|ConcurrentRuns", "./graph", "-rapid.checks=3000", seed)},
	{"the OpenTelemetry module", otel},
	{"other platforms", crossBuild},
	{"budgets", budgets},
	{"speed at 10,000, against the floor programs", func(ctx context.Context, t *tree) error { return speed.Gate(ctx, t.out) }},
}

// seed is of the random cases: a red run is then the change's own. Other seeds
// look for new cases: go test ./graph -run Promises -rapid.checks=10000.
const seed = "-rapid.seed=20261125"

// tree is the source tree under test.
type tree struct{ out *os.File }

// Test runs everything. The error is a *verbs.Exit.
func Test(ctx context.Context, o verbs.Options) error {
	if o.Stdout == nil {
		o.Stdout = os.Stdout
	}
	if runtime.GOOS != "linux" || os.Geteuid() != 0 {
		return &verbs.Exit{Code: verbs.CodeUsage, Err: errors.New("the whole test boots hosts: it needs Linux (Debian 12 or 13) and root\n  Without: go test ./... runs what needs neither")}
	}
	t := &tree{o.Stdout}
	var times []string
	for _, p := range parts {
		fmt.Fprintf(t.out, "== %s\n", p.name)
		began := time.Now()
		if err := p.run(ctx, t); err != nil {
			return &verbs.Exit{Code: verbs.CodeFailed, Err: fmt.Errorf("%s: %w", p.name, err)}
		}
		times = append(times, fmt.Sprintf("%8.1f s  %s", time.Since(began).Seconds(), p.name))
	}
	fmt.Fprintf(t.out, "== all passed\n%s\n", strings.Join(times, "\n"))
	return nil
}

// install installs Debian packages, and says which before it does.
func install(ctx context.Context, t *tree) error {
	want := slices.Clone(packages)
	for _, need := range lab.Needs() {
		want = append(want, need.Package)
	}
	slices.Sort(want)
	missing, err := debian.Missing(ctx, slices.Compact(want)...)
	if err != nil || len(missing) == 0 {
		return err
	}
	fmt.Fprintf(t.out, "installing Debian packages: %s\n", strings.Join(missing, " "))
	return debian.Install(ctx, missing...)
}

// tool runs a program on the whole tree.
func tool(name string, args ...string) func(context.Context, *tree) error {
	return func(ctx context.Context, t *tree) error {
		return command.Run(ctx, command.Cmd{Name: name, Args: args, Stdout: t.out, Stderr: t.out})
	}
}

func format(ctx context.Context, _ *tree) error {
	files, err := command.Output(ctx, command.Cmd{Name: "git", Args: []string{"ls-files", "*.go"}})
	if err != nil {
		return err
	}
	gofmt, err := exec.LookPath("gofmt")
	if err != nil {
		return err
	}
	out, err := command.Output(ctx, command.Cmd{Name: gofmt, Args: append([]string{"-l"}, strings.Fields(string(files))...)})
	if err == nil && len(out) > 0 {
		err = fmt.Errorf("not gofmt-ed: %s\n  gofmt -w them", strings.Join(strings.Fields(string(out)), " "))
	}
	return err
}

// tests runs every test; with ROOST_REQUIRE=all one that cannot run fails. Two
// packages at once: the lab's tests share this machine's network names, not
// its labs.
func tests(ctx context.Context, t *tree) error {
	return command.Run(ctx, command.Cmd{
		Name: "go", Args: []string{"test", "-race", "-count=1", "-timeout=20m", "./..."},
		Env: []string{"ROOST_REQUIRE=all", "CGO_ENABLED=1"}, Stdout: t.out, Stderr: t.out,
	})
}

// otel is a module of its own, so that its dependencies are not roost's.
func otel(ctx context.Context, t *tree) error {
	return command.Run(ctx, command.Cmd{Name: "go", Args: []string{"test", "-count=1", "./..."}, Dir: "otel", Stdout: t.out, Stderr: t.out})
}

func crossBuild(ctx context.Context, t *tree) error {
	for _, platform := range []string{"linux/arm64", "darwin/arm64"} {
		system, arch, _ := strings.Cut(platform, "/")
		err := command.Run(ctx, command.Cmd{
			Name: "go", Args: []string{"build", "-o", os.DevNull, "./cmd/roost"},
			Env: []string{"GOOS=" + system, "GOARCH=" + arch, "CGO_ENABLED=0"}, Stdout: t.out, Stderr: t.out,
		})
		if err != nil {
			return fmt.Errorf("%s: %w", platform, err)
		}
	}
	return nil
}
