// Package show tells of a run while it goes on: live in a terminal, in plain
// lines to a pipe, or as JSON lines for a program.
//
//	watcher := show.New(show.Auto, os.Stdout, show.Options{})
//	run := report.New()
//	result, err := g.Run(ctx, graph.Options{Watch: []func(graph.Event){watcher.Event, run.Add}})
//	closed := watcher.Close()
//	report.Summary(os.Stdout, run, show.Look(os.Stdout))
//
// A watcher only reads events. It takes no signals and reads no input.
package show

import (
	"os"
	"strings"

	"golang.org/x/term"

	"roost/graph"
	"roost/internal/report"
)

// Watcher follows one run. Event takes its events, one at a time and in order,
// and never waits for a terminal. Close is called once, after the last event;
// it returns the first error of writing.
type Watcher struct {
	Event func(graph.Event)
	Close func() error
}

// Options say how much plain lines tell.
type Options struct {
	Verbose bool // every task, its log, and the time of each line
}

// Mode says which watcher New makes.
type Mode string

// The modes.
const (
	Auto   Mode = ""     // Live in a terminal unless Verbose, else Plain
	AsJSON Mode = "json" // JSON lines
)

// New returns the watcher for a mode and an output.
func New(mode Mode, out *os.File, o Options) Watcher {
	switch {
	case mode == AsJSON:
		return JSON(out)
	case term.IsTerminal(int(out.Fd())) && !o.Verbose && os.Getenv("TERM") != "dumb":
		return Live(out)
	}
	return Plain(out, o)
}

// Look is what a report may use on this output: its width, colours unless
// NO_COLOR is set, and other characters than ASCII where the locale has UTF-8.
// What is no terminal has no colours.
func Look(out *os.File) report.Options {
	fd := int(out.Fd())
	if !term.IsTerminal(fd) {
		return report.Options{}
	}
	width, _, err := term.GetSize(fd)
	if err != nil {
		width = 0 // the report has its own
	}
	return report.Options{
		Width: width,
		Color: os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb",
		ASCII: !utf8Locale(os.Getenv("LC_ALL"), os.Getenv("LC_CTYPE"), os.Getenv("LANG")),
	}
}

// utf8Locale says whether the first of the variables that is set names UTF-8.
func utf8Locale(variables ...string) bool {
	for _, v := range variables {
		if v != "" {
			v = strings.ToLower(v)
			return strings.Contains(v, "utf-8") || strings.Contains(v, "utf8")
		}
	}
	return false
}
