package speed

import (
	"bytes"
	"fmt"
	"html/template"
	"math"
	"strconv"
	"strings"
)

// The size of the picture, in pixels.
const (
	plotWidth, plotHeight = 760, 420
	plotLeft, plotRight   = 64, 150 // to the right stand the names
	plotTop, plotBottom   = 24, 44
)

// plotted are the entrants of the picture, with their colours.
var plotted = []struct{ who, colour string }{
	{Roost, "#0b6e4f"}, {StatFloor, "#999999"}, {Ninja, "#c1121f"}, {Samurai, "#e07a1f"}, {Make, "#3d5a98"}, {GoTask, "#7b3fa0"},
}

// line is one entrant in the picture.
type line struct {
	Who, Colour string
	Points      string // of an SVG polyline
	X, Y        float64
	Label       float64 // the height of its name
	Dots        []dot
}

type dot struct{ X, Y float64 }

// mark is a value on an axis.
type mark struct {
	At   float64
	Text string
}

var plotTemplate = template.Must(template.New("plot").Parse(`<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {{.Width}} {{.Height}}" font-family="sans-serif" font-size="12">
<title>No-op of whole processes, layered graph: ms by tasks, both axes logarithmic</title>
<rect width="{{.Width}}" height="{{.Height}}" fill="#ffffff"/>
{{range .Down}}<line x1="{{$.Left}}" x2="{{$.Right}}" y1="{{printf "%.1f" .At}}" y2="{{printf "%.1f" .At}}" stroke="#dddddd"/>
<text x="{{$.Left}}" dx="-6" y="{{printf "%.1f" .At}}" dy="4" text-anchor="end">{{.Text}}</text>
{{end}}{{range .Across}}<line x1="{{printf "%.1f" .At}}" x2="{{printf "%.1f" .At}}" y1="{{$.Top}}" y2="{{$.Bottom}}" stroke="#dddddd"/>
<text x="{{printf "%.1f" .At}}" y="{{$.Bottom}}" dy="18" text-anchor="middle">{{.Text}}</text>
{{end}}<text x="{{$.Right}}" y="{{$.Bottom}}" dy="34" text-anchor="end">tasks, nothing changed</text>
<text x="{{$.Left}}" y="{{$.Top}}" dy="-10">ms, whole process</text>
{{range .Lines}}<polyline points="{{.Points}}" fill="none" stroke="{{.Colour}}" stroke-width="2"/>
{{$c := .Colour}}{{range .Dots}}<circle cx="{{printf "%.1f" .X}}" cy="{{printf "%.1f" .Y}}" r="3" fill="{{$c}}"/>
{{end}}<text x="{{printf "%.1f" .X}}" dx="8" y="{{printf "%.1f" .Label}}" dy="4" fill="{{.Colour}}">{{.Who}}</text>
{{end}}</svg>
`))

// Plot draws the no-op of the layered graphs as an SVG picture, both axes
// logarithmic.
func Plot(r *Results) ([]byte, error) {
	var sizes []int
	low, high := math.Inf(1), 0.0
	for _, name := range shapesOf(r) {
		n, ok := layeredSize(name)
		for _, p := range plotted {
			if c := r.cell(Key{name, NoOp, p.who}); ok && c != nil {
				low, high = min(low, ms(c.wall())), max(high, ms(c.wall()))
				if len(sizes) == 0 || sizes[len(sizes)-1] != n {
					sizes = append(sizes, n)
				}
			}
		}
	}
	if len(sizes) == 0 {
		return nil, fmt.Errorf("no layered graph was measured: there is nothing to draw")
	}
	fromX, toX := math.Log10(float64(sizes[0])), math.Log10(float64(sizes[len(sizes)-1]))
	fromY, toY := math.Floor(math.Log10(low)), math.Ceil(math.Log10(high))
	if toX == fromX {
		fromX, toX = fromX-0.5, toX+0.5
	}
	if toY == fromY {
		toY++
	}
	x := func(n int) float64 {
		return plotLeft + (math.Log10(float64(n))-fromX)/(toX-fromX)*(plotWidth-plotLeft-plotRight)
	}
	y := func(v float64) float64 {
		return plotHeight - plotBottom - (math.Log10(v)-fromY)/(toY-fromY)*(plotHeight-plotTop-plotBottom)
	}
	var across, down []mark
	for _, n := range sizes {
		across = append(across, mark{x(n), thousands(n)})
	}
	for power := fromY; power <= toY; power++ {
		down = append(down, mark{y(math.Pow(10, power)), strconv.FormatFloat(math.Pow(10, power), 'f', -1, 64)})
	}
	var lines []line
	for _, p := range plotted {
		l := line{Who: p.who, Colour: p.colour}
		var points []string
		for _, n := range sizes {
			c := r.cell(Key{fmt.Sprintf("layered %d", n), NoOp, p.who})
			if c == nil {
				continue
			}
			l.X, l.Y = x(n), y(ms(c.wall()))
			l.Dots = append(l.Dots, dot{l.X, l.Y})
			points = append(points, fmt.Sprintf("%.1f,%.1f", l.X, l.Y))
		}
		l.Points = strings.Join(points, " ")
		if len(l.Dots) > 0 {
			lines = append(lines, l)
		}
	}
	spread(lines)
	var b bytes.Buffer
	err := plotTemplate.Execute(&b, map[string]any{
		"Width": plotWidth, "Height": plotHeight, "Left": plotLeft, "Right": plotWidth - plotRight,
		"Top": plotTop, "Bottom": plotHeight - plotBottom, "Across": across, "Down": down, "Lines": lines,
	})
	return b.Bytes(), err
}

// spread sets the names so that none stands on another.
func spread(lines []line) {
	const apart = 14
	for i := range lines {
		lines[i].Label = lines[i].Y
	}
	for range lines { // each pass settles at least one more
		for i := range lines {
			for j := range lines {
				a, b := &lines[i], &lines[j]
				if i != j && a.X == b.X && (a.Y < b.Y || a.Y == b.Y && i < j) && b.Label-a.Label < apart {
					b.Label = a.Label + apart
				}
			}
		}
	}
}

func layeredSize(name string) (int, bool) {
	digits, ok := strings.CutPrefix(name, "layered ")
	n, err := strconv.Atoi(digits)
	return n, ok && err == nil
}

// thousands writes a number with a comma every three digits.
func thousands(n int) string {
	text := strconv.Itoa(n)
	for at := len(text) - 3; at > 0; at -= 3 {
		text = text[:at] + "," + text[at:]
	}
	return text
}
