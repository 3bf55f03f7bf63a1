//go:build mage

// The front door of a checkout: short targets for updates, the lab, tests and
// measurements; cmd/roost has every verb. Everything they do is in
// internal/verbs and ci; options come from ROOST_ON, ROOST_DRY_RUN, ROOST_JSON
// and their like (see docs/operations.md).
package main

import (
	"context"
	"os"

	"github.com/magefile/mage/mg"

	"roost/ci"
	"roost/internal/verbs"
	"roost/lab"
)

// The lab keeps its hosts running by this same program, started again.
func init() { lab.MaybeSupervise() }

// Update brings hosts to what the fleet declares.
type Update mg.Namespace

// All updates every selected host: evaluate, build, copy, activate, health.
func (Update) All(ctx context.Context) error { return verb(ctx, graphed(verbs.UpdateAll)) }

// Run runs tasks of the fleet's tasks.toml: those in ROOST_TASKS, or all.
func Run(ctx context.Context) error { return verb(ctx, graphed(verbs.Run)) }

// Intents are what once-only tasks did, and began.
type Intents mg.Namespace

// List lists what once-only tasks did, and what is unknown.
func (Intents) List(ctx context.Context) error {
	return verb(ctx, reads(verbs.Intents))
}

// Settle says whether a once-only task did what it began: HOST/STEP done, or HOST/STEP again.
func (Intents) Settle(ctx context.Context, task, how string) error {
	return verb(ctx, reads(func(o verbs.Options) error {
		s, err := verbs.ParseSettlement(task, how)
		if err != nil {
			return err
		}
		return verbs.SettleIntent(o, s)
	}))
}

// Plan makes the plan of a verb (update:all, run) and saves it in a file for apply.
func Plan(ctx context.Context, name, file string) error {
	return verb(ctx, func(ctx context.Context, s *verbs.Signals, o verbs.Options) error {
		v, err := verbs.Find(name)
		if err != nil {
			return err
		}
		return verbs.SavePlan(ctx, s, o, v, file)
	})
}

// Apply carries out a saved plan, if nothing has changed since.
func Apply(ctx context.Context, file string) error {
	return verb(ctx, func(ctx context.Context, s *verbs.Signals, o verbs.Options) error {
		return verbs.ApplyPlan(ctx, s, o, file)
	})
}

// Resume runs again what a run was asked to do, the newest or -run=ID.
func Resume(ctx context.Context, run *string) error {
	return verb(ctx, func(ctx context.Context, s *verbs.Signals, o verbs.Options) error {
		return verbs.Resume(ctx, s, o, given(run))
	})
}

// Why says why a task of the last run, or of -plan=FILE, was decided as it was.
func Why(ctx context.Context, task string, plan *string) error {
	return verb(ctx, reads(func(o verbs.Options) error { return verbs.Why(o, task, given(plan)) }))
}

// Graph draws the tasks of a verb (update:all, run): -format=dot, mermaid, json or svg, -focus=TASK.
func Graph(ctx context.Context, name string, format, focus *string) error {
	return verb(ctx, func(ctx context.Context, _ *verbs.Signals, o verbs.Options) error {
		v, err := verbs.Find(name)
		if err != nil {
			return err
		}
		return verbs.Graph(ctx, o, v, verbs.GraphOptions{Format: given(format), Focus: given(focus)})
	})
}

// Trace writes the trace of a run, the newest or -run=ID, to stdout or -out=FILE.
func Trace(ctx context.Context, run, out *string) error {
	return verb(ctx, reads(func(o verbs.Options) error { return verbs.Trace(o, given(run), given(out)) }))
}

// Cache keeps what evaluations and builds came to.
type Cache mg.Namespace

// Stats says what the cache holds.
func (Cache) Stats(ctx context.Context) error { return verb(ctx, reads(verbs.CacheStats)) }

// Explain says what a task's last result depended on.
func (Cache) Explain(ctx context.Context, task string) error {
	return verb(ctx, reads(func(o verbs.Options) error { return verbs.CacheExplain(o, task) }))
}

// Prune removes results that are no longer of use: -age=30d, -size=1GiB, -all for the last run's too.
func (Cache) Prune(ctx context.Context, age, size *string, all *bool) error {
	return verb(ctx, reads(func(o verbs.Options) error {
		p, err := verbs.ParsePrune(given(age), given(size))
		if err != nil {
			return err
		}
		p.All = all != nil && *all
		return verbs.PruneCache(o, p)
	}))
}

// given is what an optional argument was given, or nothing.
func given(argument *string) string {
	if argument == nil {
		return ""
	}
	return *argument
}

// Lab is a real fleet on this machine.
type Lab mg.Namespace

// Up boots the lab.
func (Lab) Up(ctx context.Context) error { return verb(ctx, plain(verbs.LabUp)) }

// Status says how the lab's hosts are.
func (Lab) Status(ctx context.Context) error { return verb(ctx, plain(verbs.LabStatus)) }

// Down ends the lab; nothing of it is left.
func (Lab) Down(ctx context.Context) error { return verb(ctx, plain(verbs.LabDown)) }

// Demo shows an update of a whole fleet on this machine. Installs Debian packages.
func Demo(ctx context.Context) error { return verb(ctx, verbs.Demo) }

// Test runs all tests, real Nix and lab included. Installs Debian packages.
func Test(ctx context.Context) error { return verb(ctx, plain(ci.Test)) }

// Bench measures, and writes docs/performance.md.
func Bench(ctx context.Context) error { return verb(ctx, plain(ci.Bench)) }

type action = func(context.Context, *verbs.Signals, verbs.Options) error

func graphed(v verbs.Verb) action {
	return func(ctx context.Context, s *verbs.Signals, o verbs.Options) error { return verbs.Do(ctx, s, o, v) }
}

func plain(f func(context.Context, verbs.Options) error) action {
	return func(ctx context.Context, _ *verbs.Signals, o verbs.Options) error { return f(ctx, o) }
}

func reads(f func(verbs.Options) error) action {
	return func(_ context.Context, _ *verbs.Signals, o verbs.Options) error { return f(o) }
}

// verb runs a verb with options from the environment, under signals of our own:
// mage handles SIGINT alone, and gives it five seconds.
func verb(ctx context.Context, run action) error {
	o, err := verbs.FromEnv()
	if err == nil {
		var signals *verbs.Signals
		ctx, signals = verbs.NotifySignals(ctx, verbs.UnderMage())
		err = signals.Ended(run(ctx, signals, o))
		signals.Stop()
	}
	if err != nil {
		verbs.Tell(os.Stderr, err)
		os.Exit(verbs.Code(err)) // mage would print the error a second time
	}
	return nil
}
