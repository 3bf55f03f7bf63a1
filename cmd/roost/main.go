// Command roost has every verb of the fleet, with flags, JSON and completion:
//
//	roost update:all --on @canary --dry-run
//
// `mage update:all` is the same verb by another door.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/alecthomas/kong"

	"roost/internal/verbs"
	"roost/lab"
)

// version is set by the build: -ldflags "-X main.version=1.2.3".
var version = "development"

func main() {
	lab.MaybeSupervise()
	os.Exit(run(os.Args[1:]))
}

// run is main with its exit code in hand.
func run(args []string) int {
	var c commands
	parser, err := newParser(&c)
	if err != nil {
		fmt.Fprintln(os.Stderr, "roost:", err)
		return verbs.CodeFailed
	}
	if len(args) > 0 && args[0] == "complete" { // asked by the shell at each Tab
		complete(os.Stdout, parser.Model, args[1:])
		return verbs.CodeOK
	}
	ignoreEmpty()
	code := -1
	parser.Exit = func(n int) { code = n }
	ctx, err := parser.Parse(args)
	if code >= 0 {
		return code // --help or --version was printed
	}
	if err != nil {
		fmt.Fprintf(os.Stderr, "roost: %v\n  See: roost --help\n", err)
		return verbs.CodeUsage
	}
	if err := jsonMeansNothing(ctx); err != nil {
		fmt.Fprintf(os.Stderr, "roost: %v\n", err)
		return verbs.CodeUsage
	}
	err = ctx.Run(&c.Globals)
	verbs.Tell(os.Stderr, err)
	return verbs.Code(err)
}

func newParser(c *commands) (*kong.Kong, error) {
	return kong.New(c,
		kong.Name("roost"),
		kong.Description("Every host of a NixOS fleet, as one task graph."),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true, WrapUpperBound: 100}),
		kong.Vars{
			"version": version, "verbs": strings.Join(verbs.Names(), ","),
			"prune_age": verbs.PruneAge, "prune_size": verbs.PruneSize,
		},
	)
}

// ignoreEmpty takes an empty variable for none, as the other door does; kong
// would look for a number or a bool in it.
func ignoreEmpty() {
	for _, entry := range os.Environ() {
		if name, value, _ := strings.Cut(entry, "="); value == "" && strings.HasPrefix(name, "ROOST_") {
			os.Unsetenv(name)
		}
	}
}

// noJSON are the verbs that have no other form than the one for people, or that
// print something else for programs anyway.
var noJSON = []string{"why", "schema", "trace", "lab:up", "lab:status", "lab:down", "demo", "completion"}

// jsonMeansNothing refuses --json where it would be ignored. ROOST_JSON may stand
// in the environment for the other verbs.
func jsonMeansNothing(ctx *kong.Context) error {
	verb := ctx.Selected().Name
	for _, p := range ctx.Path {
		if p.Flag != nil && p.Flag.Name == "json" && !p.Resolved && slices.Contains(noJSON, verb) {
			return fmt.Errorf("%s has no --json", verb)
		}
	}
	return nil
}

// Globals are the flags of every verb.
type Globals struct {
	Fleet   string `help:"The fleet folder." placeholder:"DIR" env:"ROOST_FLEET" default:"" type:"path"`
	JSON    bool   `help:"One JSON object a line on stdout, and nothing else there." env:"ROOST_JSON"`
	Yes     bool   `help:"Answer every question with yes." short:"y" env:"ROOST_YES"`
	Verbose bool   `help:"Tell more: logs, cached tasks, times." short:"v" env:"ROOST_VERBOSE"`

	Version kong.VersionFlag `help:"Print the version."`
}

func (g *Globals) options() verbs.Options {
	return verbs.Options{Fleet: g.Fleet, JSON: g.JSON, Yes: g.Yes, Verbose: g.Verbose, Version: version}
}

type commands struct {
	Globals

	UpdateAll  updateAll  `cmd:"" name:"update:all" help:"Bring every host to the system its fleet declares."`
	RunTasks   runTasks   `cmd:"" name:"run" help:"Run tasks of the fleet's tasks.toml."`
	Plan       planVerb   `cmd:"" name:"plan" help:"Make the plan of a verb, and save it for roost apply."`
	Apply      applyPlan  `cmd:"" name:"apply" help:"Carry out a saved plan, if nothing has changed since."`
	Why        why        `cmd:"" name:"why" help:"Say why a task was decided as it was."`
	Resume     resume     `cmd:"" name:"resume" help:"Run again what a run was asked to do; what it did is not done twice."`
	CacheStats cacheStats `cmd:"" name:"cache:stats" help:"Say what the cache holds."`
	Explain    explain    `cmd:"" name:"cache:explain" help:"Say what a task's last result depended on."`
	CachePrune cachePrune `cmd:"" name:"cache:prune" help:"Remove results that are no longer of use."`
	Intents    intents    `cmd:"" name:"intents" help:"List what once-only tasks did, and what is unknown."`
	Settle     settle     `cmd:"" name:"intents:settle" help:"Say whether a once-only task did what it began."`
	Graph      graphVerb  `cmd:"" name:"graph" help:"Draw the tasks of a verb, in the state of the last run."`
	Trace      traceVerb  `cmd:"" name:"trace" help:"Write the trace of a run, for Perfetto or Chrome."`
	Hosts      hostsList  `cmd:"" name:"hosts" help:"List the hosts of the fleet."`
	Schema     schema     `cmd:"" name:"schema" help:"Print the JSON Schema of host.toml or tasks.toml."`
	LabUp      labUp      `cmd:"" name:"lab:up" help:"Boot the lab: a real fleet on this machine."`
	LabStatus  labStatus  `cmd:"" name:"lab:status" help:"Say how the lab's hosts are."`
	LabDown    labDown    `cmd:"" name:"lab:down" help:"End the lab; nothing of it is left."`
	Demo       demo       `cmd:"" name:"demo" help:"Show an update of the lab's fleet, from boot to a failure told well."`
	Completion completion `cmd:"" name:"completion" help:"Print the completion script of a shell."`
}

type updateAll struct {
	On      string `help:"Which hosts: malphas, pi*, @server, role:laptop, system:…; with and, or, not, parentheses." placeholder:"SELECTOR" env:"ROOST_ON"`
	NoCache bool   `help:"Evaluate and build again although the result is known." env:"ROOST_NO_CACHE"`
	runFlags
}

// runFlags are the flags of every verb that runs the graph.
type runFlags struct {
	DryRun      bool `help:"Print the plan and change nothing." short:"n" env:"ROOST_DRY_RUN"`
	Jobs        int  `help:"Tasks at work at once." placeholder:"N" default:"64" env:"ROOST_JOBS"`
	MaxFailures int  `help:"Begin nothing new after so many failures; 0: go on with what is not concerned." placeholder:"N" env:"ROOST_MAX_FAILURES" xor:"failures"`
	FailFast    bool `help:"Begin nothing new after the first failure." xor:"failures"`
	cacheFlags
}

// cacheFlags say what is believed of what is known, here and in a cache shared
// with other machines. The token of that one has no flag: ROOST_CACHE_TOKEN.
type cacheFlags struct {
	Verify        bool   `help:"Believe no time stamp: read every file again." env:"ROOST_VERIFY"`
	CacheURL      string `help:"A cache shared with other machines." name:"cache-url" placeholder:"URL" env:"ROOST_CACHE_URL"`
	CacheReadOnly bool   `help:"Take results from the shared cache, send none." env:"ROOST_CACHE_READ_ONLY"`
}

func (c *cacheFlags) set(o *verbs.Options) {
	o.Verify = c.Verify
	o.CacheURL, o.CacheReadOnly = c.CacheURL, c.CacheReadOnly
}

// Validate is called by kong.
func (r *runFlags) Validate() error {
	if r.Jobs < 1 {
		return errors.New("--jobs: want a number above 0")
	}
	return nil
}

func (r *runFlags) options(g *Globals) verbs.Options {
	o := g.options()
	o.DryRun, o.Jobs, o.MaxFailures = r.DryRun, r.Jobs, r.MaxFailures
	if r.FailFast {
		o.MaxFailures = 1
	}
	r.cacheFlags.set(&o)
	return o
}

func (u *updateAll) Run(g *Globals) error {
	o := u.options(g)
	o.On, o.NoCache = u.On, u.NoCache
	return withSignals(func(ctx context.Context, s *verbs.Signals) error { return verbs.Do(ctx, s, o, verbs.UpdateAll) })
}

type runTasks struct {
	Tasks   []string `arg:"" optional:"" name:"task" help:"Tasks of tasks.toml: site, fleet/site, @server/motd; without: all."`
	On      string   `help:"On which hosts." placeholder:"SELECTOR" env:"ROOST_ON"`
	NoCache bool     `help:"Run tasks again although nothing they depend on has changed." env:"ROOST_NO_CACHE"`
	runFlags
}

func (r *runTasks) Run(g *Globals) error {
	o := r.options(g)
	o.On, o.NoCache, o.Args = r.On, r.NoCache, r.Tasks
	return withSignals(func(ctx context.Context, s *verbs.Signals) error { return verbs.Do(ctx, s, o, verbs.Run) })
}

// verbAndTasks are a verb that runs the graph, and what follows it.
type verbAndTasks struct {
	Verb  string   `arg:"" enum:"${verbs}" help:"The verb: ${enum}."`
	Tasks []string `arg:"" optional:"" name:"task" help:"Tasks, if the verb is run."`
	On    string   `help:"Which hosts." placeholder:"SELECTOR" env:"ROOST_ON"`
}

func (v *verbAndTasks) set(o *verbs.Options) (verbs.Verb, error) {
	o.On, o.Args = v.On, v.Tasks
	return verbs.Find(v.Verb)
}

type planVerb struct {
	verbAndTasks
	Out string `help:"The file for the plan." short:"o" required:"" placeholder:"FILE" type:"path"`
	cacheFlags
}

func (p *planVerb) Run(g *Globals) error {
	o := g.options()
	p.cacheFlags.set(&o)
	verb, err := p.verbAndTasks.set(&o)
	if err != nil {
		return err
	}
	return withSignals(func(ctx context.Context, s *verbs.Signals) error { return verbs.SavePlan(ctx, s, o, verb, p.Out) })
}

type applyPlan struct {
	File string `arg:"" help:"The saved plan." type:"path"`
	runFlags
}

func (a *applyPlan) Run(g *Globals) error {
	return withSignals(func(ctx context.Context, s *verbs.Signals) error {
		return verbs.ApplyPlan(ctx, s, a.options(g), a.File)
	})
}

type resume struct {
	ID string `arg:"" optional:"" name:"run" help:"The id of the run; without: the newest."`
	runFlags
}

func (r *resume) Run(g *Globals) error {
	return withSignals(func(ctx context.Context, s *verbs.Signals) error { return verbs.Resume(ctx, s, r.options(g), r.ID) })
}

type why struct {
	Task string `arg:"" help:"The task, such as malphas/activate."`
	Plan string `help:"A saved plan; without: the last run." placeholder:"FILE" type:"path"`
}

func (y *why) Run(g *Globals) error { return verbs.Why(g.options(), y.Task, y.Plan) }

type cacheStats struct{}

func (*cacheStats) Run(g *Globals) error { return verbs.CacheStats(g.options()) }

type explain struct {
	Task string `arg:"" help:"The task, such as malphas/eval."`
}

func (c *explain) Run(g *Globals) error { return verbs.CacheExplain(g.options(), c.Task) }

type cachePrune struct {
	OlderThan verbs.Age  `help:"What was of no use for longer goes (${default})." default:"${prune_age}" placeholder:"AGE"`
	MaxSize   verbs.Size `help:"Then what was least recently used, until so much is left (${default})." default:"${prune_size}" placeholder:"SIZE"`
	All       bool       `help:"Also what the last run used."`
	DryRun    bool       `help:"Say what would go, and remove nothing." short:"n" env:"ROOST_DRY_RUN"`
}

func (c *cachePrune) Run(g *Globals) error {
	o := g.options()
	o.DryRun = c.DryRun
	return verbs.PruneCache(o, verbs.CachePrune{OlderThan: c.OlderThan, MaxSize: c.MaxSize, All: c.All})
}

type intents struct{}

func (*intents) Run(g *Globals) error { return verbs.Intents(g.options()) }

type settle struct {
	Task   string `arg:"" help:"The task, such as malphas/notify."`
	Done   bool   `help:"It happened: never do it again." required:"" xor:"how"`
	Again  bool   `help:"It did not happen: the next run does it." required:"" xor:"how"`
	Result string `help:"With --done: its result, for the tasks that use it; without: the empty one." placeholder:"JSON"`
	Key    string `help:"The beginning of the key, where several deeds of the task are unknown." placeholder:"KEY"`
}

func (s *settle) Run(g *Globals) error {
	return verbs.SettleIntent(g.options(), verbs.Settlement{Task: s.Task, Done: s.Done, Result: s.Result, Key: s.Key})
}

type graphVerb struct {
	verbAndTasks
	Format string `help:"dot (for Graphviz; the default), mermaid, json or svg." placeholder:"FORMAT"`
	Focus  string `help:"Only this task, what it needs and what needs it." placeholder:"TASK"`
}

func (d *graphVerb) Run(g *Globals) error {
	o := g.options()
	verb, err := d.set(&o)
	if err != nil {
		return err
	}
	return withSignals(func(ctx context.Context, _ *verbs.Signals) error {
		return verbs.Graph(ctx, o, verb, verbs.GraphOptions{Format: d.Format, Focus: d.Focus})
	})
}

type traceVerb struct {
	RunID string `arg:"" optional:"" name:"run" help:"The run's id; without: the newest run."`
	Out   string `help:"The file for the trace; without: stdout." short:"o" placeholder:"FILE" type:"path"`
}

func (t *traceVerb) Run(g *Globals) error { return verbs.Trace(g.options(), t.RunID, t.Out) }

type hostsList struct {
	On string `help:"Which hosts." placeholder:"SELECTOR" env:"ROOST_ON"`
}

func (h *hostsList) Run(g *Globals) error {
	o := g.options()
	o.On = h.On
	return verbs.Hosts(o)
}

type schema struct {
	File string `arg:"" optional:"" enum:"host.toml,tasks.toml" default:"host.toml" help:"Of which file: ${enum}."`
}

func (s *schema) Run(g *Globals) error { return verbs.Schema(g.options(), s.File) }

type labUp struct{}

func (*labUp) Run(g *Globals) error {
	return withSignals(func(ctx context.Context, _ *verbs.Signals) error { return verbs.LabUp(ctx, g.options()) })
}

type labStatus struct{}

func (*labStatus) Run(g *Globals) error {
	return withSignals(func(ctx context.Context, _ *verbs.Signals) error { return verbs.LabStatus(ctx, g.options()) })
}

type labDown struct{}

func (*labDown) Run(g *Globals) error {
	return withSignals(func(ctx context.Context, _ *verbs.Signals) error { return verbs.LabDown(ctx, g.options()) })
}

type demo struct{}

func (*demo) Run(g *Globals) error {
	return withSignals(func(ctx context.Context, s *verbs.Signals) error { return verbs.Demo(ctx, s, g.options()) })
}

// withSignals runs a verb under a context that Ctrl-C and SIGTERM end.
func withSignals(verb func(context.Context, *verbs.Signals) error) error {
	ctx, signals := verbs.NotifySignals(context.Background(), false)
	defer signals.Stop()
	return signals.Ended(verb(ctx, signals))
}
