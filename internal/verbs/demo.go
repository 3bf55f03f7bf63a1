package verbs

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"
	"golang.org/x/term"

	"roost/internal/debian"
	"roost/internal/ledger"
	"roost/internal/report"
	"roost/lab"
)

// demoTimes is what the demo says of its duration. Measured on 2 cores: see
// docs/performance.md.
const demoTimes = "The first start builds a base image from Debian's packages, one to three minutes; later ones take about 15 seconds."

// Demo shows the main job on the lab: a first update, one with nothing to do,
// and one in which a host's service is broken on purpose. The error is an *Exit;
// the failure that it shows is none.
func Demo(ctx context.Context, signals *Signals, o Options) (err error) {
	o.fill()
	if err := installForLab(ctx, o); err != nil {
		return err
	}
	l, err := openLab()
	if err != nil {
		return err
	}
	// The demo's fleet and hosts are its own, whatever the environment says.
	d := &demo{ctx: ctx, signals: signals, lab: l, o: Options{
		Fleet: l.Fleet(), Jobs: o.Jobs, Verbose: o.Verbose, Stdout: o.Stdout, Stderr: o.Stderr,
	}}
	if d.reports, err = demoFolder(); err != nil {
		return exit(CodeFailed, err)
	}
	defer func() {
		d.title("The end", "mage lab:down leaves nothing behind")
		// A demo that was stopped takes its lab down all the same.
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Minute)
		defer cancel()
		if errDown := l.Down(ctx, o.Stdout); errDown != nil {
			err = exit(CodeFailed, errors.Join(err, errDown))
		}
	}()
	return d.run()
}

// installForLab checks what can be checked, and installs what is missing.
func installForLab(ctx context.Context, o Options) error {
	if runtime.GOOS != "linux" || os.Geteuid() != 0 {
		return exit(CodeUsage, fmt.Errorf("the demo boots a fleet of hosts in containers: it needs Linux (Debian 12 or 13) and root; this is %s, user %d\n  Try: sudo env PATH=\"$PATH\" go tool mage demo", runtime.GOOS, os.Geteuid()))
	}
	var packages []string
	for _, need := range lab.Needs() {
		if !slices.Contains(packages, need.Package) {
			packages = append(packages, need.Package)
		}
	}
	if len(packages) == 0 {
		fmt.Fprintln(o.Stdout, "Nothing needs to be installed. "+demoTimes)
		return nil
	}
	fmt.Fprintf(o.Stdout, "This installs Debian packages: %s. %s\n", strings.Join(packages, " "), demoTimes)
	if _, err := debian.Missing(ctx); err != nil {
		return exit(CodeUsage, err)
	}
	if !agreed(ctx, o) {
		if err := ctx.Err(); err != nil {
			return fmt.Errorf("nothing was installed: %w", err)
		}
		return exit(CodeRefused, errors.New("nothing was installed"))
	}
	if err := debian.Install(ctx, packages...); err != nil {
		return exit(CodeFailed, err)
	}
	return nil
}

// agreed asks on a terminal. --yes and CI say yes, and where there is nobody to
// ask, who typed the command has said so.
func agreed(ctx context.Context, o Options) bool {
	if o.Yes || os.Getenv("CI") != "" || !term.IsTerminal(int(os.Stdin.Fd())) {
		return true
	}
	fmt.Fprint(o.Stdout, "Go on? [Y/n] ")
	if !typed(ctx, os.Stdin) {
		return false
	}
	answer, err := bufio.NewReader(os.Stdin).ReadString('\n')
	answer = strings.ToLower(strings.TrimSpace(answer))
	return err == nil && (answer == "" || answer == "y" || answer == "yes")
}

// typed waits until a line can be read; false: the context ended before. We have
// taken Ctrl-C over, and a read alone would not hear of it.
func typed(ctx context.Context, in *os.File) bool {
	for ctx.Err() == nil {
		n, err := unix.Poll([]unix.PollFd{{Fd: int32(in.Fd()), Events: unix.POLLIN}}, 100)
		if n > 0 || err != nil && !errors.Is(err, unix.EINTR) {
			return true // what is wrong with it, the read says
		}
	}
	return false
}

func demoFolder() (string, error) {
	base, err := ledger.Home()
	if err != nil {
		return "", err
	}
	dir := filepath.Join(base, "roost-demo")
	return dir, os.MkdirAll(dir, 0o700)
}

type demo struct {
	ctx     context.Context
	signals *Signals
	o       Options
	lab     *lab.Lab
	reports string // folder that outlives the lab
	kept    []string
}

func (d *demo) title(what, command string) {
	fmt.Fprintf(d.o.Stdout, "\n== %s: %s\n\n", what, command)
}

func (d *demo) run() error {
	d.title("A fleet on this machine", "mage lab:up")
	if err := labUp(d.ctx, d.lab, d.o); err != nil {
		return err
	}
	for _, kv := range d.lab.Env() {
		key, value, _ := strings.Cut(kv, "=")
		if err := os.Setenv(key, value); err != nil {
			return exit(CodeFailed, err)
		}
	}
	d.title("The plan, before anything runs", "ROOST_DRY_RUN=1 mage update:all")
	dry := d.o
	dry.DryRun = true
	if err := Do(d.ctx, d.signals, dry, UpdateAll); err != nil {
		return err
	}
	if err := d.update("The first update of all hosts", "first", CodeOK); err != nil {
		return err
	}
	if err := d.update("Again, with nothing to do", "unchanged", CodeOK); err != nil {
		return err
	}
	edits := []struct{ host, from, to string }{
		{"malphas", `web\.version = "[^"]*"`, `web.version = "2.0"`},
		{"rook", `web\.broken = false`, `web.broken = true`},
	}
	for _, e := range edits {
		if err := d.edit(e.host, e.from, e.to); err != nil {
			return exit(CodeFailed, err)
		}
	}
	if err := d.update("malphas gets a new version; the service of rook is broken on purpose", "broken", CodeFailed); err != nil {
		return err
	}
	fmt.Fprintln(d.o.Stdout, "\nThat failure was meant. The reports stay, each one self-contained page:")
	for _, path := range d.kept {
		fmt.Fprintln(d.o.Stdout, "  "+path)
	}
	return nil
}

// update runs update:all, keeps its report, and holds the exit code against
// what the demo means to show.
func (d *demo) update(what, name string, want int) error {
	if err := d.ctx.Err(); err != nil {
		return exit(d.signals.Code(), nil)
	}
	d.title(what, "mage update:all")
	err := Do(d.ctx, d.signals, d.o, UpdateAll)
	if d.ctx.Err() != nil {
		return exit(d.signals.Code(), nil)
	}
	from, errReport := lastReport(d.lab.Fleet())
	if errReport == nil {
		var page []byte
		if page, errReport = os.ReadFile(from); errReport == nil {
			to := filepath.Join(d.reports, name+".html")
			d.kept = append(d.kept, to)
			errReport = os.WriteFile(to, page, 0o600)
		}
	}
	if errReport != nil {
		return exit(CodeFailed, fmt.Errorf("keep the report: %w", errReport))
	}
	if got := Code(err); got != want {
		Tell(d.o.Stderr, err)
		return exit(CodeFailed, fmt.Errorf("this should have ended with exit code %d, and did with %d", want, got))
	}
	return nil
}

// edit changes one line of a host's own module, and shows it.
func (d *demo) edit(host, from, to string) error {
	path := filepath.Join(d.lab.Fleet(), "hosts", host, "default.nix")
	data, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	was := regexp.MustCompile(from).Find(data)
	if was == nil {
		return fmt.Errorf("%s has no line that matches %s", path, from)
	}
	fmt.Fprintf(d.o.Stdout, "\nhosts/%s/default.nix: %s  ->  %s\n", host, report.Clean(string(was)), to)
	return os.WriteFile(path, regexp.MustCompile(from).ReplaceAll(data, []byte(to)), 0o600)
}
