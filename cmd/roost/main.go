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
	err = ctx.Run(&c.Globals)
	verbs.Tell(os.Stderr, err)
	return verbs.Code(err)
}

func newParser(c *commands) (*kong.Kong, error) {
	return kong.New(c,
		kong.Name("roost"),
		kong.Description("Every host of a NixOS and nix-darwin fleet, as one task graph."),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true, WrapUpperBound: 100}),
		kong.Vars{"version": version},
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

// Globals are the flags of every verb.
type Globals struct {
	Fleet   string `help:"The fleet folder." placeholder:"DIR" env:"ROOST_FLEET" default:"" type:"path"`
	JSON    bool   `help:"One JSON object a line on stdout, and nothing else there." env:"ROOST_JSON"`
	Yes     bool   `help:"Answer every question with yes." short:"y" env:"ROOST_YES"`
	Verbose bool   `help:"Tell more: logs, cached tasks, times." short:"v" env:"ROOST_VERBOSE"`

	Version kong.VersionFlag `help:"Print the version."`
}

func (g *Globals) options() verbs.Options {
	return verbs.Options{Fleet: g.Fleet, JSON: g.JSON, Yes: g.Yes, Verbose: g.Verbose}
}

type commands struct {
	Globals

	UpdateAll  updateAll  `cmd:"" name:"update:all" help:"Bring every host to the system its fleet declares."`
	Hosts      hostsList  `cmd:"" name:"hosts" help:"List the hosts of the fleet."`
	Schema     schema     `cmd:"" name:"schema" help:"Print the JSON Schema of host.toml."`
	LabUp      labUp      `cmd:"" name:"lab:up" help:"Boot the lab: a real fleet on this machine."`
	LabStatus  labStatus  `cmd:"" name:"lab:status" help:"Say how the lab's hosts are."`
	LabDown    labDown    `cmd:"" name:"lab:down" help:"End the lab; nothing of it is left."`
	Demo       demo       `cmd:"" name:"demo" help:"Show an update of the lab's fleet, from boot to a failure told well."`
	Completion completion `cmd:"" name:"completion" help:"Print the completion script of a shell."`
}

type updateAll struct {
	On      string `help:"Which hosts: malphas, pi*, @server, role:laptop, system:…; with and, or, not, parentheses." placeholder:"SELECTOR" env:"ROOST_ON"`
	DryRun  bool   `help:"Print the plan and change nothing." short:"n" env:"ROOST_DRY_RUN"`
	Jobs    int    `help:"Tasks at work at once." placeholder:"N" default:"64" env:"ROOST_JOBS"`
	NoCache bool   `help:"Evaluate and build again although the result is known." env:"ROOST_NO_CACHE"`
}

// Validate is called by kong.
func (u *updateAll) Validate() error {
	if u.Jobs < 1 {
		return errors.New("--jobs: want a number above 0")
	}
	return nil
}

func (u *updateAll) Run(g *Globals) error {
	o := g.options()
	o.On, o.DryRun, o.Jobs, o.NoCache = u.On, u.DryRun, u.Jobs, u.NoCache
	return withSignals(func(ctx context.Context, s *verbs.Signals) error { return verbs.UpdateAll(ctx, s, o) })
}

type hostsList struct {
	On string `help:"Which hosts." placeholder:"SELECTOR" env:"ROOST_ON"`
}

func (h *hostsList) Run(g *Globals) error {
	o := g.options()
	o.On = h.On
	return verbs.Hosts(o)
}

type schema struct{}

func (*schema) Run(g *Globals) error { return verbs.Schema(g.options()) }

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
