// Package own makes tasks of the commands that a fleet declares in tasks.toml,
// checked as a whole before anything runs.
//
//	all, err := own.Load(fleet)
//	if err != nil {
//		return err // a *hosts.InvalidError lists every problem of the file
//	}
//	chosen, err := all.Choose([]string{"site", "@server/motd"}, selected)
//	if err != nil {
//		return err
//	}
//	g := graph.New()
//	chosen.Declare(g, connect)
//	result, err := g.Run(ctx, graph.Options{Goals: chosen.Goals(), Pools: own.Pools()})
//
// A task with a check is an effect: check, run, check again as proof. One with
// inputs or outputs is pure: it runs when what it depends on has changed. What
// Load returns does not change: any number of goroutines may read it.
package own

import (
	"roost/hosts"
)

// The toml tags below are the keys that Load accepts: the decoder and the JSON
// Schema both read them. The comments become the descriptions in the schema.

// File is a whole tasks.toml.
type File struct {
	// The tasks, by name: small letters, digits and dashes.
	Task map[string]Task `toml:"task"`
}

// Task is a command, and when it must run: where its check says no, where something of its inputs has changed, or always. {host}, {address}, {user}, {system} and {role} stand for what the host has.
type Task struct {
	// The program and its arguments. No shell reads them.
	Run []string `toml:"run,empty" jsonschema:"required,minItems=1"`
	// Tasks that must have ended well before: "site" (of the same host, if it is on hosts), "@server/motd", "fleet/site".
	Needs []string `toml:"needs" jsonschema:"minItems=1,uniqueItems=true"`
	// Files below the fleet folder that it reads, or globs such as "site/**". What they match is an input too.
	Inputs []string `toml:"inputs" jsonschema:"minItems=1,uniqueItems=true"`
	// Files below the fleet folder that it makes.
	Outputs []string `toml:"outputs" jsonschema:"minItems=1,uniqueItems=true"`
	// A program that changes nothing and ends with 0 where all is so already. It runs before, and again as proof.
	Check []string `toml:"check,empty" jsonschema:"minItems=1"`
	// Run it in each run.
	Always bool `toml:"always" jsonschema:"default=false"`
	// A file below the fleet folder that run and check read as their standard input.
	Stdin string `toml:"stdin" jsonschema:"minLength=1"`
	// Variables of its environment, in clear.
	Env map[string]string `toml:"env,empty"`
	// Variables of roost's own environment that it gets too. What they hold does not make it run again.
	Pass []string `toml:"pass" jsonschema:"minItems=1,uniqueItems=true"`
	// The folder it works in, below the fleet folder. Left out, it is the fleet folder.
	Dir string `toml:"dir" jsonschema:"minLength=1"`
	// How long the check and each attempt may take, such as "10s" or "1m30s". Left out, there is no bound.
	Timeout hosts.Duration `toml:"timeout"`
	// When to try again.
	Retries Retries `toml:"retries"`
	// Tasks of one lane never work at the same time.
	Lane string `toml:"lane" jsonschema:"minLength=1"`
	// A selector of hosts: the task is there once for each, HOST/NAME. Left out, it is there once, fleet/NAME.
	On string `toml:"on" jsonschema:"minLength=1"`
	// Where the program runs: here, or on the host through ssh.
	At At `toml:"at" jsonschema:"default=here"`
}

// Retries says after which exit codes to try again, and how often.
type Retries struct {
	// How often to try again.
	Times int `toml:"times" jsonschema:"required,minimum=1,maximum=100"`
	// The exit codes that pass by themselves. After any other the task has failed.
	Codes []int `toml:"codes" jsonschema:"required,minItems=1,uniqueItems=true"`
}

// At is where a program runs.
type At string

// The places where a program can run.
const (
	Here   At = "here"
	OnHost At = "host"
)

// Places returns every place where a program can run.
func Places() []At { return []At{Here, OnHost} }

// isEffect says that the task changes the world, and is not kept by a key.
func (t *Task) isEffect() bool { return len(t.Check) > 0 || t.Always }

// instance is a task on one host, or of the fleet. Its texts are expanded.
type instance struct {
	Task
	label string      // the task's name in the file
	name  string      // HOST/NAME, or fleet/NAME
	host  *hosts.Host // nil: of the fleet

	files    []string // what its inputs match, and what makers make of it; sorted
	needs    []need
	reads    []*instance // make what decides it: inputs, stdin, the check's program
	programs []*instance // make the program that it runs
}

// need is one edge of needs. An exact one names the host.
type need struct {
	*instance
	exact bool
}

// waitsFor are the tasks an edge of any kind leads from.
func (in *instance) waitsFor() []*instance {
	var all []*instance
	for _, n := range in.needs {
		all = append(all, n.instance)
	}
	return append(append(all, in.reads...), in.programs...)
}

const fleetGroup = "fleet"

// Tasks is a tasks.toml in which every rule holds, for every host.
type Tasks struct {
	fleet *hosts.Fleet
	names []string               // sorted
	of    map[string][]*instance // by the task's name, in the order of hosts
}

// Names returns the names of all tasks, sorted.
func (t *Tasks) Names() []string { return t.names }
