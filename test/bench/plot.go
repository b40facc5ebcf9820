package main

import (
	"encoding/xml"
	"fmt"
	"math"
	"strings"
)

// plot is a bar chart with groups of bars from left to right, on a scale that may be logarithmic. It is readable on
// light and dark pages, and describes in words what it shows.
type plot struct {
	title  string
	about  string   // for readers who cannot see it
	series []series // the bars of each group
	groups []group
	scale  scale
}

// series is one bar in each group.
type series struct{ title, colour string }

// group is a group of bars.
type group struct {
	title string
	bars  []bar // one per series; NaN for none
}

// bar is a value with its interval and its label.
type bar struct {
	value, low, high float64
	label            string
}

// scale is the range of the values.
type scale struct {
	low, high   float64
	logarithmic bool
	marks       []float64
	one         bool // draws a line at 1
	form        string
}

// Sizes, in pixels.
const (
	width      = 860
	left       = 268
	right      = 96
	thick      = 13
	between    = 14 // groups
	top        = 84
	underneath = 34
)

const style = `
text { font: 12px system-ui, -apple-system, "Segoe UI", sans-serif; fill: #24292f }
.title { font-size: 15px; font-weight: 600 }
.soft { fill: #57606a }
.grid { stroke: #57606a; stroke-opacity: .22 }
.one { stroke: #24292f; stroke-dasharray: 3 3; stroke-opacity: .7 }
.span { stroke: #24292f; stroke-opacity: .55 }
@media (prefers-color-scheme: dark) {
  text { fill: #e6edf3 }
  .soft { fill: #9da7b3 }
  .grid { stroke: #9da7b3 }
  .one, .span { stroke: #e6edf3 }
}
`

// x returns the position of a value.
func (s scale) x(value float64) float64 {
	value = min(max(value, s.low), s.high)
	share := (value - s.low) / (s.high - s.low)
	if s.logarithmic {
		share = math.Log(value/s.low) / math.Log(s.high/s.low)
	}
	return left + share*(width-left-right)
}

// svg draws the plot.
func (p plot) svg() string {
	var out strings.Builder
	height := top + underneath
	for range p.groups {
		height += len(p.series)*thick + between
	}
	fmt.Fprintf(&out, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" width="%d" height="%d" role="img" aria-labelledby="title about">`+"\n", width, height, width, height)
	fmt.Fprintf(&out, "<title id=\"title\">%s</title>\n<desc id=\"about\">%s</desc>\n<style>%s</style>\n", escaped(p.title), escaped(p.about), style)
	fmt.Fprintf(&out, "<text class=\"title\" x=\"12\" y=\"26\">%s</text>\n", escaped(p.title))
	p.legend(&out)
	for _, mark := range p.scale.marks {
		x := p.scale.x(mark)
		fmt.Fprintf(&out, "<line class=\"grid\" x1=\"%.1f\" x2=\"%.1f\" y1=\"%d\" y2=\"%d\"/>\n", x, x, top-10, height-underneath)
		fmt.Fprintf(&out, "<text class=\"soft\" x=\"%.1f\" y=\"%d\" text-anchor=\"middle\">%s</text>\n", x, height-underneath+18, escaped(fmt.Sprintf(p.scale.form, mark)))
	}
	y := top
	for _, g := range p.groups {
		p.draw(&out, g, y)
		y += len(p.series)*thick + between
	}
	if p.scale.one {
		fmt.Fprintf(&out, "<line class=\"one\" x1=\"%.1f\" x2=\"%.1f\" y1=\"%d\" y2=\"%d\"/>\n", p.scale.x(1), p.scale.x(1), top-10, height-underneath)
	}
	out.WriteString("</svg>\n")
	return out.String()
}

func (p plot) legend(out *strings.Builder) {
	x := 12
	for _, s := range p.series {
		fmt.Fprintf(out, "<rect x=\"%d\" y=\"42\" width=\"11\" height=\"11\" rx=\"2\" fill=\"%s\"/>\n<text x=\"%d\" y=\"52\">%s</text>\n", x, s.colour, x+17, escaped(s.title))
		x += 34 + 7*len(s.title)
	}
}

func (p plot) draw(out *strings.Builder, g group, y int) {
	fmt.Fprintf(out, "<text x=\"%d\" y=\"%d\" text-anchor=\"end\">%s</text>\n", left-12, y+len(p.series)*thick/2+4, escaped(g.title))
	from := p.scale.x(p.scale.low)
	if p.scale.one {
		from = p.scale.x(1) // smaller values go the other way
	}
	for i, b := range g.bars {
		if math.IsNaN(b.value) {
			continue
		}
		at, to := y+i*thick, p.scale.x(b.value)
		fmt.Fprintf(out, "<rect x=\"%.1f\" y=\"%d\" width=\"%.1f\" height=\"%d\" rx=\"2\" fill=\"%s\"/>\n", min(from, to), at, max(1, math.Abs(to-from)), thick-2, p.series[i].colour)
		end := max(from, to)
		if b.high > b.low {
			middle := float64(at) + float64(thick-2)/2
			end = max(end, p.scale.x(b.high))
			fmt.Fprintf(out, "<line class=\"span\" x1=\"%.1f\" x2=\"%.1f\" y1=\"%.1f\" y2=\"%.1f\"/>\n", p.scale.x(b.low), p.scale.x(b.high), middle, middle)
		}
		fmt.Fprintf(out, "<text class=\"soft\" x=\"%.1f\" y=\"%d\">%s</text>\n", end+6, at+thick-3, escaped(b.label))
	}
}

func escaped(text string) string {
	var out strings.Builder
	_ = xml.EscapeText(&out, []byte(text)) // a write to a builder cannot fail
	return out.String()
}
