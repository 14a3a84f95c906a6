package status

import (
	"fmt"
	"html"
	"math"
	"strings"
	"time"

	"landfall/words"
)

// The charts are drawn here, as SVG: four lines of a few hundred points need
// no library, and are there without JavaScript too.
const (
	chartFor    = 15 * time.Minute
	chartPoints = int(chartFor / chartsEvery)
	chartWidth  = 360.0
	chartHeight = 110.0
	chartTop    = 14.0 // for the letters of the marks
	chartBottom = 104.0
)

// chart is one of the four.
type chart struct {
	title  string
	class  string // of its line
	values []float64
	say    func(float64) string
}

// drawCharts draws what the streams together did.
func drawCharts(v *View, streams [][]point) string {
	published, stored, behind, commits := series(v.Time, streams)
	perSecond := func(x float64) string { return rateText(&x) }
	charts := []chart{
		{"Published", "publish", published, perSecond},
		{"Stored", "store", stored, perSecond},
		{"In flight", "lag", behind, func(x float64) string { return words.Thousands(int(x)) }},
		{"Commit p99", "commit", commits, millisText},
	}
	marks := marksOf(v)
	var b strings.Builder
	b.WriteString(`<div class="charts">`)
	for _, c := range charts {
		c.draw(&b, marks)
	}
	b.WriteString(`</div><p class="key">Marks: <b>N</b> a node was lost, <b>n</b> is back; <b>L</b> another leader; <b>S</b> another node stores; <b>P</b> Postgres was lost, <b>p</b> is back.</p>`)
	return b.String()
}

// series are the charts' values, one for each chartsEvery; NaN where it is not
// known.
func series(now time.Time, streams [][]point) (published, stored, behind, commits []float64) {
	empty := func() []float64 {
		values := make([]float64, chartPoints)
		for i := range values {
			values[i] = math.NaN()
		}
		return values
	}
	published, stored, behind, commits = empty(), empty(), empty(), empty()
	begin := now.Add(-chartFor)
	for _, points := range streams {
		for i := 0; i < len(points); {
			slot := int(points[i].at.Sub(begin) / chartsEvery)
			j := i + 1
			for j < len(points) && int(points[j].at.Sub(begin)/chartsEvery) == slot {
				j++
			}
			if slot >= 0 && slot < chartPoints {
				from := max(0, i-1) // the rate is from where the slot before ended
				if r, ok := rateWithin(points[from:j], 2*chartsEvery, func(p point) (uint64, bool) { return p.last, p.lastSure }); ok {
					sum(published, slot, r)
				}
				if r, ok := rateWithin(points[from:j], 2*chartsEvery, func(p point) (uint64, bool) { return p.cursor, p.known }); ok {
					sum(stored, slot, r)
				}
				if p := points[j-1]; p.cursor > 0 || p.known {
					sum(behind, slot, float64(p.last-min(p.last, p.cursor)))
				}
				for _, p := range points[i:j] {
					if p.commitP99 > 0 && !(commits[slot] >= p.commitP99) {
						commits[slot] = p.commitP99
					}
				}
			}
			i = j
		}
	}
	return published, stored, behind, commits
}

// sum adds what one more stream did.
func sum(values []float64, slot int, v float64) {
	if math.IsNaN(values[slot]) {
		values[slot] = 0
	}
	values[slot] += v
}

// mark is a moment on the charts.
type mark struct {
	letter string
	bad    bool
	x      float64
	text   string
}

func marksOf(v *View) []mark {
	letters := map[Kind]string{NodeLost: "N", NodeFound: "n", LeaderElected: "L", SinkMoved: "S", PostgresLost: "P", PostgresFound: "p"}
	var marks []mark
	for _, e := range v.Events {
		letter, ok := letters[e.Kind]
		ago := v.Time.Sub(e.Time)
		if !ok || ago >= chartFor {
			continue
		}
		marks = append(marks, mark{
			letter: letter, bad: e.Kind == NodeLost || e.Kind == PostgresLost,
			x: chartWidth * (1 - max(0, ago.Seconds())/chartFor.Seconds()), text: e.Text,
		})
	}
	return marks
}

func (c *chart) draw(b *strings.Builder, marks []mark) {
	most, now := 0.0, math.NaN()
	for _, v := range c.values {
		if !math.IsNaN(v) {
			most = max(most, v)
		}
	}
	for _, v := range c.values[chartPoints-2:] { // the last slot may just have begun
		if !math.IsNaN(v) {
			now = v
		}
	}
	said := "now " + unknown
	if !math.IsNaN(now) {
		said = "now " + c.say(now)
	}
	if most > 0 {
		said += ", max " + c.say(most)
	}
	fmt.Fprintf(b, `<figure><figcaption><span>%s</span> <span class="now">%s</span></figcaption>`, html.EscapeString(c.title), html.EscapeString(said))
	fmt.Fprintf(b, `<svg viewBox="0 0 %.0f %.0f" role="img" aria-label="%s: %s">`, chartWidth, chartHeight, html.EscapeString(c.title), html.EscapeString(said))
	fmt.Fprintf(b, `<path class="axis" d="M0 %g H%g"/>`, chartBottom, chartWidth)
	fmt.Fprintf(b, `<path class="line %s" d="%s"/>`, c.class, path(c.values, most))
	lastLetter := math.Inf(1)
	for _, m := range marks { // the latest first
		class := "event"
		if m.bad {
			class += " bad"
		}
		fmt.Fprintf(b, `<g class="%s"><title>%s</title><line x1="%.1f" x2="%.1f" y1="%g" y2="%g"/>`, class, html.EscapeString(m.text), m.x, m.x, chartTop, chartBottom)
		if x := min(max(m.x, 5), chartWidth-5); lastLetter-x >= 9 {
			fmt.Fprintf(b, `<text x="%.1f" y="10">%s</text>`, x, m.letter)
			lastLetter = x
		}
		b.WriteString(`</g>`)
	}
	b.WriteString(`</svg></figure>`)
}

// path joins the values that are known.
func path(values []float64, most float64) string {
	var b strings.Builder
	pen := false
	for i, v := range values {
		if math.IsNaN(v) {
			pen = false
			continue
		}
		y := chartBottom
		if most > 0 {
			y -= (chartBottom - chartTop) * v / most
		}
		x := chartWidth * float64(i+1) / float64(len(values))
		command := "L"
		if !pen {
			command = "M"
		}
		fmt.Fprintf(&b, "%s%.1f %.1f", command, x, y)
		if alone := !pen && (i+1 == len(values) || math.IsNaN(values[i+1])); alone {
			fmt.Fprintf(&b, "h.1")
		}
		pen = true
	}
	return b.String()
}
