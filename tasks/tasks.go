// Package tasks lets a fleet have verbs of its own: tasks in Go, declared with
// package graph and run with roost's plan, record, views, lock and signals. In
// the fleet's magefile:
//
//	// Backup saves what every selected host has in its database.
//	func Backup(ctx context.Context) error { return tasks.Run(ctx, backup) }
//
//	var backup = tasks.Verb{Name: "backup", Declare: func(f *tasks.Fleet, g *graph.Graph) error {
//		for _, host := range f.Hosts {
//			graph.Observe(g, host.Name+"/backup", func(t *graph.Task) func(context.Context) (int, error) {
//				return func(ctx context.Context) (int, error) {
//					dump, err := f.Output(ctx, host, "pg_dumpall")
//					return len(dump), err
//				}
//			})
//		}
//		return nil
//	}}
//
// Options come from ROOST_ON, ROOST_DRY_RUN and their like, as for roost's own
// targets. `roost why` reads what such a run recorded; Plan, Apply, Resume and
// Graph are `roost plan` and so on for a verb of the fleet's own.
//
// Tasks that are one command each need no Go: see docs/tasks.md.
package tasks

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"roost/graph"
	"roost/hosts"
	"roost/internal/command"
	"roost/internal/remote"
	"roost/internal/verbs"
)

// Verb is a name, and how its tasks are declared.
type Verb struct {
	// Name is what the record, the lock and saved plans say: "backup".
	Name string
	// Declare adds the verb's tasks to the graph: HOST/STEP, or fleet/STEP. It
	// must change nothing, and declare the same tasks for the same fleet each
	// time: also a dry run, a drawing and the apply of a saved plan call it.
	Declare func(*Fleet, *graph.Graph) error
}

// Fleet is what a verb declares its tasks for. Its methods but for those that
// say so are for tasks at work, and safe for many goroutines.
type Fleet struct {
	Dir   string        // the fleet folder
	Hosts []*hosts.Host // those that ROOST_ON selects, in the order of names
	Args  []string      // what was given to Run

	work *verbs.Work
}

// Pool sizes a pool of graph.Task.Pool. It is for Declare.
func (f *Fleet) Pool(name string, size int) {
	if f.work.Pools == nil {
		f.work.Pools = map[string]int{}
	}
	f.work.Pools[name] = size
}

// Goals names the tasks that are asked for; without, those that nothing else
// needs. It is for Declare.
func (f *Fleet) Goals(names ...string) { f.work.Goals = append(f.work.Goals, names...) }

// Run runs a program on a host through ssh, or in the fleet folder of this
// machine if host is nil. No shell reads the arguments. What it writes goes to
// the task's log. A host that is away is deferred (graph.Defer).
func (f *Fleet) Run(ctx context.Context, host *hosts.Host, args ...string) error {
	return f.command(ctx, host, graph.Log(ctx), args)
}

// Output is Run for a program whose stdout is its answer; the rest goes to the
// task's log.
func (f *Fleet) Output(ctx context.Context, host *hosts.Host, args ...string) ([]byte, error) {
	var out bytes.Buffer
	err := f.command(ctx, host, &out, args)
	return out.Bytes(), err
}

func (f *Fleet) command(ctx context.Context, host *hosts.Host, stdout io.Writer, args []string) error {
	if len(args) == 0 {
		return errors.New("no program to run")
	}
	log := graph.Log(ctx)
	if host == nil {
		return command.Run(ctx, command.Cmd{Name: args[0], Args: args[1:], Dir: f.Dir, Stdout: stdout, Stderr: log})
	}
	err := f.work.Connect(host).Run(ctx, remote.Cmd{Args: args, Stdout: stdout, Stderr: log})
	if lost, ok := errors.AsType[*remote.UnreachableError](err); ok && lost.Lost {
		return err // it may have done its work, or a part: not "deferred"
	}
	return remote.ForTask(err)
}

// ExitCode is the exit code of a program that Run or Output has run; -1 if err
// says anything else than that it failed.
func ExitCode(err error) int {
	if here, ok := errors.AsType[*command.Error](err); ok {
		return here.ExitCode
	}
	if there, ok := errors.AsType[*remote.ExitError](err); ok {
		return there.Code
	}
	return -1
}

// Run runs a verb. Its error knows its exit code (ExitStatus, as mage asks for
// it); what was told on the terminal already is not in it again.
func Run(ctx context.Context, v Verb, args ...string) error {
	return do(ctx, args, []Verb{v}, func(ctx context.Context, s *verbs.Signals, o verbs.Options, all []verbs.Verb) error {
		return verbs.Do(ctx, s, o, all[0])
	})
}

// Plan makes the plan of a verb and saves it in a file.
func Plan(ctx context.Context, file string, v Verb, args ...string) error {
	return do(ctx, args, []Verb{v}, func(ctx context.Context, s *verbs.Signals, o verbs.Options, all []verbs.Verb) error {
		return verbs.SavePlan(ctx, s, o, all[0], file)
	})
}

// Apply carries out a saved plan of one of these verbs, or of roost's own, if
// nothing has changed since.
func Apply(ctx context.Context, file string, own ...Verb) error {
	return do(ctx, nil, own, func(ctx context.Context, s *verbs.Signals, o verbs.Options, all []verbs.Verb) error {
		return verbs.ApplyPlan(ctx, s, o, file, all...)
	})
}

// Resume runs again what a run was asked to do: a verb of these, or of roost's
// own. An empty id stands for the newest run.
func Resume(ctx context.Context, id string, own ...Verb) error {
	return do(ctx, nil, own, func(ctx context.Context, s *verbs.Signals, o verbs.Options, all []verbs.Verb) error {
		return verbs.Resume(ctx, s, o, id, all...)
	})
}

// Graph draws the tasks of a verb on stdout: "dot", "mermaid", "json" or "svg".
func Graph(ctx context.Context, format string, v Verb, args ...string) error {
	return do(ctx, args, []Verb{v}, func(ctx context.Context, s *verbs.Signals, o verbs.Options, all []verbs.Verb) error {
		return verbs.Graph(ctx, o, all[0], verbs.GraphOptions{Format: format})
	})
}

// do does something with verbs, under options from the environment and signals
// of our own: mage handles SIGINT alone, and gives it five seconds.
func do(ctx context.Context, args []string, own []Verb, f func(context.Context, *verbs.Signals, verbs.Options, []verbs.Verb) error) error {
	o, err := verbs.FromEnv()
	if err != nil {
		return err
	}
	for _, arg := range args {
		if strings.HasPrefix(arg, "-") { // the record tells arguments from options by it
			return fmt.Errorf("%q: an argument of a verb cannot begin with a dash", arg)
		}
	}
	o.Args = args
	all := make([]verbs.Verb, len(own))
	for i, v := range own {
		if all[i], err = v.verb(); err != nil {
			return err
		}
	}
	ctx, signals := verbs.NotifySignals(ctx, verbs.UnderMage())
	defer signals.Stop()
	return signals.Ended(f(ctx, signals, o, all))
}

// verb is the verb as the rest of roost knows it.
func (v Verb) verb() (verbs.Verb, error) {
	_, err := verbs.Find(v.Name)
	switch {
	case v.Name == "" || strings.ContainsAny(v.Name, " \t\n") || strings.HasPrefix(v.Name, "-"):
		return verbs.Verb{}, fmt.Errorf("%q is no name for a verb: want a word", v.Name)
	case err == nil:
		return verbs.Verb{}, fmt.Errorf("%s is a verb of roost: choose another name", v.Name)
	case v.Declare == nil:
		return verbs.Verb{}, fmt.Errorf("the verb %s declares nothing: set Declare", v.Name)
	}
	return verbs.Verb{Name: v.Name, Declare: func(_ context.Context, w *verbs.Work) error {
		return v.Declare(&Fleet{Dir: w.Fleet.Dir, Hosts: w.Selected, Args: w.Args, work: w}, w.Graph)
	}}, nil
}
