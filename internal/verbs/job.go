package verbs

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/google/renameio/v2"

	"roost/graph"
	"roost/hosts"
	"roost/internal/ledger"
	"roost/internal/nearest"
	"roost/internal/remote"
	"roost/internal/report"
	"roost/internal/show"
)

// Verb is what can be run, planned, applied, resumed and drawn: a name, and how
// its tasks are declared.
type Verb struct {
	Name string
	// Declare adds the verb's tasks to the Work. An error is one of usage, unless
	// it is an *Exit: nothing was run.
	Declare func(context.Context, *Work) error
}

// Work is what a verb declares its tasks with. A verb fills in the second part.
type Work struct {
	Graph    *graph.Graph
	Fleet    *hosts.Fleet
	Selected []*hosts.Host // by --on, in the order of names
	Args     []string      // what follows the verb
	Connect  func(*hosts.Host) *remote.Conn
	// DrawOnly says that nothing of it will run: no program may be started to
	// declare it, and the folders below are not there.
	DrawOnly bool
	Roots    string // folder for links that keep built systems from the garbage collector
	Scratch  string // folder of this run alone, removed after it

	Pools   map[string]int // see graph.Options
	Goals   []string       // see graph.Options
	Notices []string       // what a reader should know before the run
}

// The verbs of every fleet.
var (
	UpdateAll = Verb{"update:all", declareUpdate}
	Run       = Verb{"run", declareRun}

	ofRoost = []Verb{UpdateAll, Run}
)

// Names are the verbs that can be run, planned and drawn.
func Names() []string {
	var names []string
	for _, v := range ofRoost {
		names = append(names, v.Name)
	}
	return names
}

// Find returns the verb of that name, of every fleet or of this one's own. The
// error is an *Exit.
func Find(name string, own ...Verb) (Verb, error) {
	for _, v := range slices.Concat(own, ofRoost) {
		if v.Name == name {
			return v, nil
		}
	}
	return Verb{}, exit(CodeUsage, fmt.Errorf("%q is no verb that can be run, planned and drawn: %s; one of a fleet's own is known to the program that declares it (mage, in that fleet)",
		name, nearest.Hint(name, "verbs", Names())))
}

// Do runs a verb. With DryRun it says what it would do, and changes nothing. The
// error is an *Exit.
func Do(ctx context.Context, signals *Signals, o Options, v Verb) error {
	o.fill()
	j, err := prepare(ctx, o, v)
	if err != nil {
		return err
	}
	defer j.close()
	_, err = j.run(ctx, signals)
	return err
}

// job is one verb at work.
type job struct {
	verb    Verb
	o       Options
	work    Work
	state   *ledger.State
	lock    *ledger.Lock
	shared  *graph.RemoteCache // nil: none
	cutOff  string
	expect  *graph.Plan // to follow, if it was made before
	records bool        // keep in the plan what its keys are made of

	mu    sync.Mutex
	conns map[string]*remote.Conn
}

// prepare does everything that can fail before anything runs.
func prepare(ctx context.Context, o Options, v Verb) (j *job, err error) {
	j = &job{verb: v, o: o, conns: map[string]*remote.Conn{}}
	if j.shared, err = openRemote(o); err != nil {
		return nil, err
	}
	fleet, selected, err := load(o)
	if err != nil {
		return nil, err
	}
	if j.state, err = ledger.Open(fleet.Dir); err != nil {
		return nil, exit(CodeUsage, err)
	}
	j.work = Work{Graph: graph.New(), Fleet: fleet, Selected: selected, Args: o.Args, Connect: j.connect, Roots: j.state.Path("roots")}
	opened := j
	defer func() {
		if err != nil {
			opened.close()
		}
	}()
	if j.work.Scratch, err = newScratch(); err != nil {
		return nil, exit(CodeFailed, err)
	}
	if err := declare(ctx, v, &j.work); err != nil {
		return nil, err
	}
	if !o.DryRun {
		if err := j.takeLock(); err != nil {
			return nil, err
		}
	}
	return j, nil
}

// declare lets a verb declare its tasks.
func declare(ctx context.Context, v Verb, w *Work) error {
	err := v.Declare(ctx, w)
	if _, ok := errors.AsType[*Exit](err); ok || err == nil {
		return err
	}
	return exit(CodeUsage, err)
}

func (j *job) takeLock() error {
	lock, err := lockRun(j.state, j.verb.Name)
	if err != nil {
		return err
	}
	j.lock = lock
	if j.cutOff, err = j.state.CutOff(); err != nil {
		return exit(CodeFailed, fmt.Errorf("read the record of the last run: %w", err))
	}
	return nil
}

// connect keeps one connection a host.
func (j *job) connect(h *hosts.Host) *remote.Conn {
	j.mu.Lock()
	defer j.mu.Unlock()
	conn, ok := j.conns[h.Name]
	if !ok {
		conn = remote.Dial(remote.Target{
			Name: h.Name, Address: h.SSH.Address, User: h.SSH.User, Port: h.SSH.Port, Jump: h.SSH.Jump,
			Local: h.IsLocal(),
		}, remote.Options{RuntimeDir: j.work.Scratch, Config: os.Getenv("ROOST_SSH_CONFIG")})
		j.conns[h.Name] = conn
	}
	return conn
}

// close ends connections, and removes what only this process used.
func (j *job) close() {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	var all sync.WaitGroup
	for _, conn := range j.conns {
		all.Go(func() { conn.Close(ctx) }) // a master that does not end now ends by itself
	}
	all.Wait()
	if j.work.Scratch != "" {
		os.RemoveAll(j.work.Scratch)
	}
	if j.lock != nil {
		j.lock.Release()
	}
}

// run runs the graph under the eyes of its watchers, and sums up.
func (j *job) run(ctx context.Context, signals *Signals) (*graph.Plan, error) {
	cache, err := graph.OpenCache(j.state.Path("cache"))
	if err != nil {
		return nil, exit(CodeFailed, err)
	}
	intents, err := openIntents(j.o, j.state)
	if err != nil {
		return nil, err
	}
	record := &ledger.Run{}
	options := graph.Options{
		Info: graph.RunInfo{Verb: j.verb.Name, Args: j.args()},
		Dry:  j.o.DryRun, Fresh: j.o.NoCache, Verify: j.o.Verify, Jobs: j.o.Jobs, Pools: j.work.Pools, Goals: j.work.Goals,
		Cache: cache, Remote: j.shared, Intents: intents, Abort: signals.Abort,
		Expect: j.expect, Records: j.records || j.expect != nil, MaxFailures: j.o.MaxFailures,
	}
	if !j.o.DryRun {
		if record, err = j.state.NewRun(time.Now()); err != nil {
			return nil, exit(CodeFailed, err)
		}
		options.Info.ID = record.ID
		options.LogTo = record.LogTo
		options.Watch = append(options.Watch, record.Event)
	}
	j.notices()
	mode := show.Auto
	if j.o.JSON {
		mode = show.AsJSON
	}
	model := report.New()
	watcher := show.New(mode, j.o.Stdout, show.Options{Verbose: j.o.Verbose})
	options.Watch = append(options.Watch, model.Add, watcher.Event)

	result, runErr := j.work.Graph.Run(ctx, options)
	j.shared.Close()
	err = watcher.Close()
	for _, said := range []string{j.shared.Report(), cache.Damage()} {
		if said != "" {
			fmt.Fprintln(j.o.Stderr, said)
		}
	}
	if !j.o.DryRun {
		err = errors.Join(err, record.Close())
	}
	if err := j.sumUp(model, record, signals, runErr, err); err != nil || result == nil {
		return nil, err
	}
	return result.Plan, nil
}

// args are what follows the verb, and then the options that shape the run, for
// its record.
func (j *job) args() []string {
	args := slices.Clone(j.o.Args)
	if j.o.On != "" {
		args = append(args, "--on", j.o.On)
	}
	if j.o.NoCache {
		args = append(args, "--no-cache")
	}
	if j.o.Verify {
		args = append(args, "--verify")
	}
	if j.o.MaxFailures > 0 {
		args = append(args, "--max-failures", strconv.Itoa(j.o.MaxFailures))
	}
	return args
}

// notices says what a reader should know before the run.
func (j *job) notices() {
	if j.cutOff != "" {
		fmt.Fprintf(j.o.Stderr, "The last run (%s) was cut off. What it did is checked again on the hosts; nothing is done twice.\n", j.cutOff)
	}
	for _, notice := range j.work.Notices {
		fmt.Fprintln(j.o.Stderr, notice)
	}
}

// sumUp writes the report, prints the summary and finds the exit code. What
// the summary tells is not told twice.
func (j *job) sumUp(model *report.Run, record *ledger.Run, signals *Signals, runErr, err error) error {
	if !j.o.JSON {
		err = errors.Join(err, report.Summary(j.o.Stdout, model, show.Look(j.o.Stdout)))
	}
	if !j.o.DryRun {
		errReport := writeFile(record.ReportPath(), "the report", func(w io.Writer) error { return report.HTML(w, model) })
		err = errors.Join(err, errReport)
		if errReport == nil {
			to := io.Writer(j.o.Stdout)
			if j.o.JSON {
				to = j.o.Stderr
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
		if j.o.JSON {
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
