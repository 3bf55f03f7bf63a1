package verbs

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/google/renameio/v2"

	"roost/graph"
	"roost/hosts"
	"roost/internal/ledger"
	"roost/internal/nix"
	"roost/internal/remote"
	"roost/internal/report"
	"roost/internal/show"
	"roost/tasks/system"
)

// UpdateAll brings every selected host to the system its fleet declares:
// evaluate, build, copy, activate, health. With DryRun it says what it would do
// and changes nothing. The error is an *Exit.
func UpdateAll(ctx context.Context, signals *Signals, o Options) error {
	o.fill()
	u, err := prepare(ctx, o)
	if err != nil {
		return err
	}
	defer u.close()
	_, err = u.run(ctx, signals)
	return err
}

// update is one update:all at work.
type update struct {
	o       Options
	fleet   *hosts.Fleet
	state   *ledger.State
	lock    *ledger.Lock
	scratch string
	control *system.Controller
	graph   *graph.Graph
	shared  *graph.RemoteCache // nil: none
	cutOff  string
	expect  *graph.Plan // to follow, if it was made before
	records bool        // keep in the plan what its keys are made of

	mu    sync.Mutex
	conns map[string]*remote.Conn
}

// prepare does everything that can fail before anything runs.
func prepare(ctx context.Context, o Options) (u *update, err error) {
	u = &update{o: o, conns: map[string]*remote.Conn{}}
	if u.shared, err = openRemote(o); err != nil {
		return nil, err
	}
	var selected []*hosts.Host
	if u.fleet, selected, err = load(o); err != nil {
		return nil, err
	}
	n, err := nix.Detect(ctx)
	if err != nil {
		return nil, exit(CodeUsage, err)
	}
	tree, err := system.ReadTree(ctx, u.fleet.Dir)
	if err != nil {
		return nil, exit(CodeUsage, err)
	}
	if u.state, err = ledger.Open(u.fleet.Dir); err != nil {
		return nil, exit(CodeUsage, err)
	}
	if !o.DryRun {
		if err := u.takeLock(); err != nil {
			return nil, err
		}
	}
	if u.scratch, err = newScratch(); err != nil {
		u.close()
		return nil, exit(CodeFailed, err)
	}
	u.control = &system.Controller{Tree: tree, Nix: n, Connect: u.connect, Roots: u.state.Path("roots"), Scratch: u.scratch}
	u.graph = graph.New()
	for _, host := range selected {
		u.control.Declare(u.graph, host)
	}
	return u, nil
}

func (u *update) takeLock() error {
	if err := u.state.Make(); err != nil {
		return exit(CodeFailed, err)
	}
	lock, err := u.state.Lock("update:all", time.Now())
	if held, ok := errors.AsType[*ledger.HeldError](err); ok {
		return exit(CodeRefused, held)
	}
	if err != nil {
		return exit(CodeFailed, err)
	}
	u.lock = lock
	if u.cutOff, err = u.state.CutOff(); err != nil {
		lock.Release()
		return exit(CodeFailed, fmt.Errorf("read the record of the last run: %w", err))
	}
	return nil
}

// connect keeps one connection a host.
func (u *update) connect(h *hosts.Host) *remote.Conn {
	u.mu.Lock()
	defer u.mu.Unlock()
	conn, ok := u.conns[h.Name]
	if !ok {
		conn = remote.Dial(remote.Target{
			Name: h.Name, Address: h.SSH.Address, User: h.SSH.User, Port: h.SSH.Port, Jump: h.SSH.Jump,
			Local: h.IsLocal(),
		}, remote.Options{RuntimeDir: u.scratch, Config: os.Getenv("ROOST_SSH_CONFIG")})
		u.conns[h.Name] = conn
	}
	return conn
}

// close ends connections, and removes what only this process used.
func (u *update) close() {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	var all sync.WaitGroup
	for _, conn := range u.conns {
		all.Go(func() { conn.Close(ctx) }) // a master that does not end now ends by itself
	}
	all.Wait()
	if u.scratch != "" {
		os.RemoveAll(u.scratch)
	}
	if u.lock != nil {
		u.lock.Release()
	}
}

// run runs the graph under the eyes of its watchers, and sums up.
func (u *update) run(ctx context.Context, signals *Signals) (*graph.Plan, error) {
	cache, err := graph.OpenCache(u.state.Path("cache"))
	if err != nil {
		return nil, exit(CodeFailed, err)
	}
	record := &ledger.Run{}
	options := graph.Options{
		Info: graph.RunInfo{Verb: "update:all", Args: u.args()},
		Dry:  u.o.DryRun, Fresh: u.o.NoCache, Jobs: u.o.Jobs, Pools: u.control.Pools(),
		Cache: cache, Remote: u.shared, Files: graph.OpenFileMemo(u.state.Path("files.json")), Abort: signals.Abort,
		Expect: u.expect, Records: u.records || u.expect != nil, MaxFailures: u.o.MaxFailures,
	}
	if !u.o.DryRun {
		if record, err = u.state.NewRun(time.Now()); err != nil {
			return nil, exit(CodeFailed, err)
		}
		options.Info.ID = record.ID
		options.LogTo = record.LogTo
		options.Watch = append(options.Watch, record.Event)
	}
	u.notices()
	mode := show.Auto
	if u.o.JSON {
		mode = show.AsJSON
	}
	model := report.New()
	watcher := show.New(mode, u.o.Stdout, show.Options{Verbose: u.o.Verbose})
	options.Watch = append(options.Watch, model.Add, watcher.Event)

	result, runErr := u.graph.Run(ctx, options)
	u.shared.Close()
	err = watcher.Close()
	if said := u.shared.Report(); said != "" {
		fmt.Fprintln(u.o.Stderr, said)
	}
	if !u.o.DryRun {
		err = errors.Join(err, record.Close())
	}
	if err := u.sumUp(model, record, signals, runErr, err); err != nil || result == nil {
		return nil, err
	}
	return result.Plan, nil
}

// args are the options that shape the run, for its record.
func (u *update) args() []string {
	var args []string
	if u.o.On != "" {
		args = append(args, "--on", u.o.On)
	}
	if u.o.NoCache {
		args = append(args, "--no-cache")
	}
	if u.o.MaxFailures > 0 {
		args = append(args, "--max-failures", strconv.Itoa(u.o.MaxFailures))
	}
	return args
}

// notices says what a reader should know before the run.
func (u *update) notices() {
	if u.cutOff != "" {
		fmt.Fprintf(u.o.Stderr, "The last run (%s) was cut off. What it did is checked again on the hosts; nothing is done twice.\n", u.cutOff)
	}
	if files := u.control.Tree.Untracked; len(files) > 0 {
		fmt.Fprintf(u.o.Stderr, "Not in git, so neither Nix nor roost sees them (git add them?): %s\n", strings.Join(files, " "))
	}
}

// sumUp writes the report, prints the summary and finds the exit code. What
// the summary tells is not told twice.
func (u *update) sumUp(model *report.Run, record *ledger.Run, signals *Signals, runErr, err error) error {
	if !u.o.JSON {
		err = errors.Join(err, report.Summary(u.o.Stdout, model, show.Look(u.o.Stdout)))
	}
	if !u.o.DryRun {
		errReport := writeFile(record.ReportPath(), "the report", func(w io.Writer) error { return report.HTML(w, model) })
		err = errors.Join(err, errReport)
		if errReport == nil {
			to := io.Writer(u.o.Stdout)
			if u.o.JSON {
				to = u.o.Stderr
			}
			fmt.Fprintf(to, "Report: %s\n", record.ReportPath())
		}
	}
	code := codeOf(runErr, signals)
	if err != nil {
		return exit(max(code, CodeFailed), err)
	}
	if runErr == nil {
		return nil
	}
	_, told := errors.AsType[*graph.RunError](runErr)
	if told || errors.Is(runErr, graph.ErrStopped) {
		if u.o.JSON {
			return exit(code, runErr) // a reader of stderr has seen no summary
		}
		return exit(code, nil)
	}
	return exit(code, runErr)
}

// writeFile lets write make a file, whole or not at all; what it is is named
// in the error.
func writeFile(path, what string, write func(io.Writer) error) error {
	f, err := renameio.NewPendingFile(path, renameio.WithPermissions(0o600))
	if err != nil {
		return fmt.Errorf("write %s: %w", what, err)
	}
	defer f.Cleanup()
	if err := write(f); err != nil {
		return fmt.Errorf("write %s %s: %w", what, path, err)
	}
	if err := f.CloseAtomicallyReplace(); err != nil {
		return fmt.Errorf("write %s: %w", what, err)
	}
	return nil
}

// lastReport is the report of the newest run of a fleet.
func lastReport(fleet string) (string, error) {
	state, err := ledger.Open(fleet)
	if err != nil {
		return "", err
	}
	id, err := findRun(state, "")
	if err != nil {
		return "", err
	}
	return state.Path("runs", id, "report.html"), nil
}
