package speed

import (
	"bufio"
	"fmt"
	"strconv"
	"strings"

	"roost/ci/speed/shape"
)

// peer is an engine that others have made.
type peer struct {
	tool  string                                      // the program
	files map[string]func(*bufio.Writer, shape.Shape) // what it reads, in the workspace
	argv  func(jobs int) []string
	state []string // what it keeps: gone before a cold run
	again bool     // it has no notion of work that is done, and does all of it each time
}

// peers are the file engines, which get every shape, and the others, which get
// what they can do in bearable time.
var peers = map[string]peer{
	Ninja: {tool: "ninja", files: map[string]func(*bufio.Writer, shape.Shape){"build.ninja": buildNinja}, state: []string{".ninja_log", ".ninja_deps"},
		argv: func(jobs int) []string { return []string{"ninja", "-j" + strconv.Itoa(jobs)} }},
	Samurai: {tool: "samu", files: map[string]func(*bufio.Writer, shape.Shape){"build.ninja": buildNinja}, state: []string{".ninja_log", ".ninja_deps"},
		argv: func(jobs int) []string { return []string{"samu", "-j" + strconv.Itoa(jobs)} }},
	Make: {tool: "make", files: map[string]func(*bufio.Writer, shape.Shape){"Makefile": makefile},
		argv: func(jobs int) []string { return []string{"make", "-rRs", "-j" + strconv.Itoa(jobs)} }},
	GoTask: {tool: "task", files: map[string]func(*bufio.Writer, shape.Shape){"Taskfile.yml": taskfile}, state: []string{".task"},
		argv: func(jobs int) []string { return []string{"task", "-s", "-C", strconv.Itoa(jobs)} }},
	Ansible: {tool: "ansible-playbook", files: map[string]func(*bufio.Writer, shape.Shape){"play.yml": playbook, "hosts.ini": inventory}, again: true,
		argv: func(jobs int) []string {
			return []string{"ansible-playbook", "-f", strconv.Itoa(jobs), "-i", "hosts.ini", "play.yml"}
		}},
}

// buildNinja writes what ninja and samurai read.
func buildNinja(w *bufio.Writer, s shape.Shape) {
	fmt.Fprintf(w, "rule stamp\n  command = %s\n  description = $out\n", shape.Command("$out"))
	var needs []int
	for i := range s.Len() {
		fmt.Fprintf(w, "build %s: stamp", s.Out(i))
		if source := s.Source(i); source != "" {
			fmt.Fprintf(w, " %s", source)
		}
		needs = s.Needs(needs[:0], i)
		for _, need := range needs {
			fmt.Fprintf(w, " %s", s.Out(need))
		}
		w.WriteString("\n")
	}
}

// makefile writes what GNU make reads.
func makefile(w *bufio.Writer, s shape.Shape) {
	w.WriteString("all:")
	for _, i := range sinks(s) {
		fmt.Fprintf(w, " %s", s.Out(i))
	}
	w.WriteString("\n")
	var needs []int
	for i := range s.Len() {
		fmt.Fprintf(w, "%s:", s.Out(i))
		if source := s.Source(i); source != "" {
			fmt.Fprintf(w, " %s", source)
		}
		needs = s.Needs(needs[:0], i)
		for _, need := range needs {
			fmt.Fprintf(w, " %s", s.Out(need))
		}
		fmt.Fprintf(w, "\n\t%s\n", shape.Command("$@"))
	}
}

// taskfile writes what go-task reads. It runs the command in its own shell,
// without a process.
func taskfile(w *bufio.Writer, s shape.Shape) {
	w.WriteString("version: '3'\ntasks:\n  default:\n    deps:\n")
	for _, i := range sinks(s) {
		fmt.Fprintf(w, "      - t%d\n", i)
	}
	var needs []int
	for i := range s.Len() {
		fmt.Fprintf(w, "  t%d:\n    run: once\n    cmds: ['%s']\n    generates: [%s]\n", i, shape.Command(s.Out(i)), s.Out(i))
		needs = s.Needs(needs[:0], i)
		var sources, deps []string
		if source := s.Source(i); source != "" {
			sources = append(sources, source)
		}
		for _, need := range needs {
			deps = append(deps, "t"+strconv.Itoa(need))
			sources = append(sources, s.Out(need))
		}
		if len(deps) > 0 {
			fmt.Fprintf(w, "    deps: [%s]\n", strings.Join(deps, ", "))
		}
		if len(sources) > 0 {
			fmt.Fprintf(w, "    sources: [%s]\n", strings.Join(sources, ", "))
		} else {
			w.WriteString("    status: ['test -e " + s.Out(i) + "']\n")
		}
	}
}

// playbook writes a fleet as Ansible reads it: every step is a task on all
// hosts. The inventory is hosts.ini.
func playbook(w *bufio.Writer, s shape.Shape) {
	hosts := s.Leaf()
	step := func(name, out string) {
		fmt.Fprintf(w, "    - name: %s\n      raw: '%s'\n", name, shape.Command(out))
	}
	play := func(on string) {
		fmt.Fprintf(w, "- hosts: %s\n  gather_facts: false\n  strategy: free\n  tasks:\n", on)
	}
	play("root")
	step("root", s.Out(0))
	play("fleet")
	for first := 1; first < s.Len()-1; first += hosts {
		step(s.Name(first), `out/{{ "%07d" % (`+strconv.Itoa(first)+` + number | int) }}`)
	}
	play("root")
	step("gate", s.Out(s.Len()-1))
}

// inventory writes the hosts of the playbook, all of them this machine.
func inventory(w *bufio.Writer, s shape.Shape) {
	const local = "ansible_connection=local"
	fmt.Fprintf(w, "[root]\nroot %s\n[fleet]\n", local)
	for i := range s.Leaf() {
		fmt.Fprintf(w, "h%05d %s number=%d\n", i, local, i)
	}
}

// sinks are the tasks that nothing needs.
func sinks(s shape.Shape) []int {
	needed := make([]bool, s.Len())
	var needs []int
	for i := range s.Len() {
		needs = s.Needs(needs[:0], i)
		for _, need := range needs {
			needed[need] = true
		}
	}
	var all []int
	for i, yes := range needed {
		if !yes {
			all = append(all, i)
		}
	}
	return all
}
