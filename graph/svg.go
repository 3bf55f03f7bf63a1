package graph

import (
	"bytes"
	"fmt"
	"html"
	"io"
	"slices"
	"unicode/utf8"
)

// Sizes of the drawing, in units of its view box.
const (
	svgLabel  = 130 // room for the name of a group
	svgColumn = 150 // from one depth to the next
	svgRow    = 46
	svgWidth  = 116 // of a task
	svgHeight = 36
	svgTop    = 34 // room for the title
	svgGap    = 14 // between groups
)

// svgStyle has the colours for light and for dark pages. A status is a word in
// its box as well; pure tasks have corners, observing ones are round, effects
// have a thick line.
func svgStyle() string {
	light := `text { font: 12px system-ui, sans-serif; fill: #1f2328; } .name { font-weight: 600; } .word { font-size: 10px; }
.page { fill: #ffffff; } .band { fill: #f6f8fa; }
.edge { fill: none; stroke: #8a8f98; stroke-width: 1.3; }
.after { stroke-dasharray: 6 3; } .finally { stroke-dasharray: 2 3; } .behind { stroke-dasharray: 1 5; }
.task { stroke-width: 1.2; } .effect { stroke-width: 2.8; }
`
	dark := "@media (prefers-color-scheme: dark) {\ntext { fill: #e6edf3; } .page { fill: #0d1117; } .band { fill: #161b22; }\n"
	for _, t := range tones {
		light += fmt.Sprintf(".%s { fill: %s; stroke: %s; }\n", t.name, t.fill, t.line)
		dark += fmt.Sprintf(".%s { fill: %s; stroke: %s; }\n", t.name, t.darkFill, t.darkLine)
	}
	return "\n" + light + dark + "}\n"
}

// WriteSVG writes the shape as a picture that needs nothing else: a band a
// group, a column a depth.
func (s *Shape) WriteSVG(w io.Writer, p Paint) error {
	rows, heights := s.rows()
	depth := 0
	for _, t := range s.Tasks {
		depth = max(depth, t.Depth)
	}
	var bands, tasks, edges bytes.Buffer
	x, y := make([]int, len(s.Tasks)), make([]int, len(s.Tasks))
	width, top := svgLabel+(depth+1)*svgColumn, svgTop
	for n, g := range s.groups() {
		fmt.Fprintf(&bands, "<rect class=\"band\" x=\"4\" y=\"%d\" width=\"%d\" height=\"%d\" rx=\"6\"/>\n", top, width-8, heights[n]*svgRow+4)
		fmt.Fprintf(&bands, "<text class=\"name\" x=\"14\" y=\"%d\">%s<title>%s</title></text>\n", top+26, svgText(shorten(g.name, 16)), svgText(g.name))
		for at := g.from; at < g.to; at++ {
			x[at], y[at] = svgLabel+s.Tasks[at].Depth*svgColumn, top+7+rows[at]*svgRow
			svgTask(&tasks, s.Tasks[at], p.Status[s.Tasks[at].Name], x[at], y[at])
		}
		top += heights[n]*svgRow + svgGap
	}
	for _, e := range s.Edges {
		x1, y1, x2, y2 := x[e.From]+svgWidth, y[e.From]+svgHeight/2, x[e.To], y[e.To]+svgHeight/2
		turn := max(x2-(svgColumn-svgWidth), x1) // straight on in its own row, then to the target
		fmt.Fprintf(&edges, "<path class=\"edge %s\" marker-end=\"url(#tip)\" d=\"M%d %dH%dC%d %d %d %d %d %d\"><title>%s, %s, %s</title></path>\n",
			e.Kind, x1, y1, turn, x2, y1, turn, y2, x2, y2, svgText(s.Tasks[e.To].Name), e.Kind, svgText(s.Tasks[e.From].Name))
	}
	_, err := fmt.Fprintf(w, "<svg xmlns=\"http://www.w3.org/2000/svg\" role=\"img\" viewBox=\"0 0 %d %d\" width=\"%d\" height=\"%d\">\n"+
		"<title>%s</title>\n<style>%s</style>\n"+
		"<defs><marker id=\"tip\" viewBox=\"0 0 8 8\" refX=\"7\" refY=\"4\" markerWidth=\"7\" markerHeight=\"7\" orient=\"auto\"><path d=\"M0 0L8 4L0 8z\" fill=\"#8a8f98\"/></marker></defs>\n"+
		"<rect class=\"page\" width=\"%d\" height=\"%d\"/>\n<text x=\"14\" y=\"22\">%s</text>\n%s%s%s</svg>\n",
		width, top, width, top, svgText(p.title()), svgStyle(), width, top, svgText(p.title()), bands.Bytes(), edges.Bytes(), tasks.Bytes())
	return err
}

func svgTask(b *bytes.Buffer, t ShapeTask, status Status, x, y int) {
	round := map[Kind]int{KindPure: 2, KindObserve: svgHeight / 2, KindEffect: 8}[t.Kind]
	word := string(status)
	if word == "" {
		word = "no state"
	}
	fmt.Fprintf(b, "<g><title>%s: %s (%s)</title><rect class=\"task %s %s\" x=\"%d\" y=\"%d\" width=\"%d\" height=\"%d\" rx=\"%d\"/>",
		svgText(t.Name), svgText(word), t.Kind, t.Kind, tone(status), x, y, svgWidth, svgHeight, round)
	fmt.Fprintf(b, "<text x=\"%d\" y=\"%d\">%s</text>", x+12, y+15, svgText(shorten(t.Step, 14)))
	if status != "" {
		fmt.Fprintf(b, "<text class=\"word\" x=\"%d\" y=\"%d\">%s</text>", x+12, y+29, svgText(word))
	}
	b.WriteString("</g>\n")
}

// rows gives each task a row in its group's band, that of a need if nothing
// stands there yet, and says how many rows each group has.
func (s *Shape) rows() (rows, heights []int) {
	needs := make([][]int, len(s.Tasks))
	for _, e := range s.Edges {
		needs[e.To] = append(needs[e.To], e.From)
	}
	rows = make([]int, len(s.Tasks))
	for _, g := range s.groups() {
		var filled []int // the depth to which each row is filled
		for at := g.from; at < g.to; at++ {
			depth := s.Tasks[at].Depth
			row := -1
			for _, need := range needs[at] {
				if need >= g.from && need < at && filled[rows[need]] < depth {
					row = rows[need]
					break
				}
			}
			if row < 0 {
				row = slices.IndexFunc(filled, func(to int) bool { return to < depth })
			}
			if row < 0 {
				row, filled = len(filled), append(filled, 0)
			}
			filled[row], rows[at] = depth, row
		}
		heights = append(heights, len(filled))
	}
	return rows, heights
}

func svgText(text string) string { return html.EscapeString(visible(text)) }

// shorten cuts a name to what there is room for; the whole stands in its title.
func shorten(name string, most int) string {
	if utf8.RuneCountInString(name) <= most {
		return name
	}
	return string([]rune(name)[:most-1]) + "…"
}
