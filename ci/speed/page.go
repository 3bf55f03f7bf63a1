package speed

import (
	"fmt"
	"strings"
)

// Page is the results as a part of docs/performance.md; plot is the path of the
// picture, as the page names it.
func Page(r *Results, plot string) string {
	var b strings.Builder
	where := "in memory (tmpfs)"
	if !r.InMemory {
		where = "on a disk: making a file again costs more there, and cold runs tell it"
	}
	fmt.Fprintf(&b, `*layered N* is 10 layers of N/10 tasks: each reads a source of its own, needs 3 tasks of the layer before, and
makes one stamp file. *fleet H* is 8 steps on each of H hosts, one after the other, behind one root and before one
gate. Each task runs `+"`/bin/sh -c ': > out/NAME'`"+` (go-task: in its own shell), %d at once. roost keeps of a step on a host
its result, not a file that would have to be looked at. Workspaces were %s.

Whole processes are timed, in interleaved rounds: A B C, A B C. The figure is the median: of 5 to 9 rounds, of cold
runs of 3, and of 1 from 80,000 tasks up. A round in which something else used more than 15 %% of the processors is
repeated, up to a bound; ~ marks what is noisy nevertheless. The floor programs do only what no engine can leave
out: look at the same paths (stat floor), open, read and hash them (hash floor), start the same processes (spawn
floor). Memory is the peak of the largest process. "First task" is when the first stamp file was made, as exact as the
file system's clock.

Peers: %s. Could not be had: %s.

`, r.Jobs, where, list(r.Versions), list(r.Missing))
	if !r.Stamps {
		b.WriteString("The engine does not know the files that tasks make yet: it looks at sources alone, so its no-op sees half of what\nthe peers and the stat floor see. Read the ratios with that in mind.\n\n")
	}
	fmt.Fprintf(&b, "![No-op of whole processes, by the number of tasks](%s)\n\n", plot)
	b.WriteString("### Goals\n\n| goal | what | bound | figure | |\n| --- | --- | ---: | ---: | --- |\n")
	for _, g := range goals() {
		figure, verdict := g.verdict(r)
		fmt.Fprintf(&b, "| %s | %s | %s | %s | %s |\n", g.id, g.what, g.limit(), figure, verdict)
	}
	b.WriteString("\n### Figures\n")
	for _, name := range shapesOf(r) {
		writeTable(&b, r, name)
	}
	if len(r.Passes) > 0 {
		b.WriteString("\nPasses over 1,000,000 tasks and 2,700,000 edges, the best of 3 means of 5; the floor counts the edges to each task:\n\n| pass | ms |\n| --- | ---: |\n")
		for _, p := range r.Passes {
			fmt.Fprintf(&b, "| %s | %s |\n", p.Name, short(ms(p.Took)))
		}
	}
	return b.String()
}

// shapesOf are the shapes that were measured, in order.
func shapesOf(r *Results) []string {
	var names []string
	for _, c := range r.Cells {
		if len(names) == 0 || names[len(names)-1] != c.Shape {
			names = append(names, c.Shape)
		}
	}
	return names
}

// columns are what a table says of an entrant.
var columns = []struct {
	head  string
	phase Phase
	text  func(*Cell) string
}{
	{"cold, ms", Cold, wallText},
	{"first task, ms", Cold, func(c *Cell) string { return zeroIsNone(short(ms(c.first()))) }},
	{"cold, MiB", Cold, peakText},
	{"no-op, ms", NoOp, wallText},
	{"no-op CPU, ms", NoOp, func(c *Cell) string { return short(ms(c.cpu())) }},
	{"no-op, MiB", NoOp, peakText},
	{"one leaf, ms", Leaf, wallText},
	{"all touched, ms", Touched, wallText},
	{"in process, without files, ms", Bare, wallText},
	{"MiB", Bare, peakText},
	{"probes, ms", Probes, wallText},
}

func wallText(c *Cell) string {
	if c.Noisy {
		return short(ms(c.wall())) + "~"
	}
	return short(ms(c.wall()))
}

func peakText(c *Cell) string { return fmt.Sprintf("%.0f", float64(c.peak())/(1<<20)) }

func zeroIsNone(text string) string {
	if text == "0" {
		return ""
	}
	return text
}

// writeTable writes the table of one shape: a row an entrant, and the columns
// of the phases that were measured.
func writeTable(b *strings.Builder, r *Results, name string) {
	var rows []string
	cells := map[string]map[Phase]*Cell{}
	measured := map[Phase]bool{}
	for _, c := range r.Cells {
		if c.Shape != name {
			continue
		}
		if cells[c.Who] == nil {
			cells[c.Who] = map[Phase]*Cell{}
			rows = append(rows, c.Who)
		}
		cells[c.Who][c.Phase] = c
		measured[c.Phase] = true
	}
	fmt.Fprintf(b, "\n**%s**\n\n|", name)
	rule := "\n| ---"
	for _, column := range columns {
		if measured[column.phase] {
			b.WriteString(" | " + column.head)
			rule += " | ---:"
		}
	}
	b.WriteString(" |" + rule + " |\n")
	for _, who := range rows {
		b.WriteString("| " + who)
		for _, column := range columns {
			if !measured[column.phase] {
				continue
			}
			b.WriteString(" | ")
			if c := cells[who][column.phase]; c != nil {
				b.WriteString(column.text(c))
			}
		}
		b.WriteString(" |\n")
	}
}

// list joins words for a sentence.
func list(words []string) string {
	if len(words) == 0 {
		return "none"
	}
	return strings.Join(words, ", ")
}
