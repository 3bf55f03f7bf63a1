package speed

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"roost/internal/command"
)

// programs are what is run, by name, with where it is.
type programs map[string]string

// build compiles the benchmark's own programs into a folder.
func build(ctx context.Context, dir string, out io.Writer) (programs, error) {
	p := programs{}
	for _, from := range []string{"contender", "launch", "floor/stat", "floor/hash", "floor/spawn"} {
		name := filepath.Base(from)
		p[name] = filepath.Join(dir, name)
		err := command.Run(ctx, command.Cmd{Name: "go", Args: []string{"build", "-ldflags=-s -w", "-o", p[name], "roost/ci/speed/" + from},
			Env: []string{"CGO_ENABLED=0"}, Stdout: out, Stderr: out})
		if err != nil {
			return nil, err
		}
	}
	return p, nil
}

// entrant is what is run in a phase, in a workspace.
type entrant struct {
	who   string
	argv  []string
	in    *workspace
	state []string // what it keeps there: gone before a cold run
	says  bool     // it is the contender, and tells of its run
}

// launcher runs entrants.
type launcher struct {
	program string
	dir     string // for what they say
}

// run runs an entrant as a whole process.
func (l launcher) run(ctx context.Context, e entrant) (r Run, err error) {
	says := filepath.Join(l.dir, "says")
	out, err := command.Output(ctx, command.Cmd{Name: l.program, Args: append([]string{says}, e.argv...), Dir: e.in.dir})
	if err != nil {
		return r, fmt.Errorf("%s, %s: %w", e.who, e.in.shape, err)
	}
	if err := json.Unmarshal(out, &r.Process); err != nil {
		return r, fmt.Errorf("%s: launch said %q: %w", e.who, out, err)
	}
	if !e.says && r.Exit == 0 {
		return r, nil
	}
	said, err := os.ReadFile(says)
	if err != nil {
		return r, err
	}
	if r.Exit != 0 {
		return r, fmt.Errorf("%s, %s: %s: exit code %d\n%s", e.who, e.in.shape, command.Line(e.argv), r.Exit,
			command.Indent(command.LastLines(string(said), 10)))
	}
	if err := json.Unmarshal([]byte(command.LastLines(string(said), 1)), &r.Said); err != nil {
		return r, fmt.Errorf("%s said %q: %w", e.who, said, err)
	}
	return r, nil
}

// How long files rest before they are looked at: longer than a tick of the file
// system's clock, so that nobody has to take a time for racy. roost takes the
// coarsest clocks for possible, 2 s, and reads a younger file again.
const (
	clockTick = 30 * time.Millisecond
	settle    = 2100 * time.Millisecond
)

// prepare does to the entrant's workspace what the phase is about.
func prepare(phase Phase, e entrant) error {
	var err error
	switch phase {
	case Cold, Bare:
		err = e.in.clean(e.state...)
	case Leaf:
		time.Sleep(clockTick)
		err = e.in.editLeaf()
	case Touched:
		time.Sleep(clockTick)
		err = e.in.touch()
	default:
		return nil
	}
	if phase == Touched && strings.HasPrefix(e.who, Roost) {
		time.Sleep(settle)
	} else {
		time.Sleep(clockTick)
	}
	return err
}

// measure prepares an entrant for a phase, runs it, and holds it to what it has to do.
func (l launcher) measure(ctx context.Context, phase Phase, e entrant) (Run, error) {
	if err := prepare(phase, e); err != nil {
		return Run{}, err
	}
	r, err := l.run(ctx, e)
	if err != nil {
		return r, err
	}
	if phase == Cold {
		first, err := e.in.firstOut()
		if err != nil {
			return r, fmt.Errorf("%s, %s, after a whole run: %w", e.who, e.in.shape, err)
		}
		r.First = max(0, first.Sub(time.Unix(0, r.Began)))
	}
	want := map[Phase]int{Cold: r.Said.Tasks, Bare: r.Said.Tasks, Leaf: 1}[phase]
	if e.says && e.who != RoostWhy && phase != Probes && r.Said.Ran != want {
		return r, fmt.Errorf("%s, %s, %s: it ran %d of %d tasks, want %d", e.who, e.in.shape, phase, r.Said.Ran, r.Said.Tasks, want)
	}
	return r, nil
}

// remakes holds the engine to what it says of stamp files: one that is gone is
// made again. An engine that does not look at them has an easier no-op.
func (l launcher) remakes(ctx context.Context, e entrant) error {
	out := filepath.Join(e.in.dir, e.in.shape.Out(e.in.shape.Leaf()))
	if err := os.Remove(out); err != nil {
		return err
	}
	r, err := l.run(ctx, e)
	if err != nil {
		return err
	}
	said := "it is there again"
	if _, err = os.Lstat(out); err != nil {
		said = err.Error()
	}
	if err != nil || r.Said.Ran != 1 {
		return fmt.Errorf("%s, %s: a stamp file was removed; it ran %d tasks: %s", e.who, e.in.shape, r.Said.Ran, said)
	}
	return nil
}

// contender is an entrant of the engine.
func (p programs) contender(who, shapeName string, n, jobs int, w *workspace, flags ...string) entrant {
	argv := []string{p["contender"], "-shape", shapeName, "-n", strconv.Itoa(n), "-state", stateDir, "-jobs", strconv.Itoa(jobs)}
	return entrant{who: who, argv: append(argv, flags...), in: w, state: []string{stateDir}, says: true}
}

// floor is an entrant that is one of the floor programs.
func (p programs) floor(who string, jobs int, w *workspace) entrant {
	argv := map[string][]string{
		StatFloor:  {p["stat"], statList},
		HashFloor:  {p["hash"], statList},
		SpawnFloor: {p["spawn"], strconv.Itoa(jobs), spawnList},
	}[who]
	return entrant{who: who, argv: argv, in: w}
}

// peer is an entrant of another engine; false if its program is not here.
func (p programs) peer(who string, jobs int, w *workspace) (entrant, bool, error) {
	one := peers[who]
	path, ok := p[one.tool]
	if !ok {
		return entrant{}, false, nil
	}
	for name, fill := range one.files {
		if err := w.write(name, func(out *bufio.Writer) { fill(out, w.shape) }); err != nil {
			return entrant{}, false, err
		}
	}
	argv := one.argv(jobs)
	argv[0] = path
	return entrant{who: who, argv: argv, in: w, state: one.state}, true, nil
}

// goTaskVersion is the release of go-task that is built where there is none.
const goTaskVersion = "v3.53.0"

// find looks for the peers' programs, installs what can be had, and returns in
// words what could not, and which versions there are.
func (p programs) find(ctx context.Context, dir string, install func(context.Context, ...string) error) (versions, missing []string) {
	packages := map[string]string{"ninja": "ninja-build", "samu": "samurai", "make": "make", "ansible-playbook": "ansible-core"}
	for _, who := range []string{Ninja, Samurai, Make, GoTask, Ansible} {
		tool := peers[who].tool
		path, err := exec.LookPath(tool)
		switch {
		case err == nil:
		case tool == "task":
			path = filepath.Join(dir, tool)
			err = command.Run(ctx, command.Cmd{Name: "go", Args: []string{"install", "github.com/go-task/task/v3/cmd/task@" + goTaskVersion},
				Env: []string{"GOBIN=" + dir, "CGO_ENABLED=0"}})
		default:
			if err = install(ctx, packages[tool]); err == nil {
				path, err = exec.LookPath(tool)
			}
		}
		var version string
		if err == nil {
			version, err = versionOf(ctx, path)
		}
		if err != nil {
			missing = append(missing, fmt.Sprintf("%s (%s)", who, firstLine(err.Error())))
			continue
		}
		p[tool] = path
		versions = append(versions, who+" "+version)
	}
	return versions, append(missing, "OpenTofu (`go install` refuses its module, and Debian has no package)")
}

// versionOf is the first number that a program says of itself.
func versionOf(ctx context.Context, path string) (string, error) {
	out, err := command.Output(ctx, command.Cmd{Name: path, Args: []string{"--version"}})
	if err != nil {
		return "", err
	}
	for _, word := range strings.Fields(firstLine(string(out))) {
		word = strings.Trim(word, "[]()v")
		if word != "" && word[0] >= '0' && word[0] <= '9' {
			return word, nil
		}
	}
	return "", errors.New(path + " --version names no version")
}

func firstLine(text string) string {
	line, _, _ := strings.Cut(text, "\n")
	return line
}
