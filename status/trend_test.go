package status

import (
	"math"
	"strings"
	"testing"
	"time"
)

// ramp is a trend of a point a second, made by a function.
func ramp(from time.Time, seconds int, make func(i int) point) *trend {
	t := &trend{}
	for i := range seconds {
		p := make(i)
		p.at = from.Add(time.Duration(i) * time.Second)
		t.add(p)
	}
	return t
}

func TestRates(t *testing.T) {
	t.Parallel()
	now := time.Now()
	rate := func(make func(i int) point) (float64, bool) { return ramp(now, 20, make).publishRate() }
	if r, ok := rate(func(i int) point { return point{last: uint64(100 * i), lastSure: true} }); !ok || r != 100 {
		t.Errorf("100 a second: %v, %v", r, ok)
	}
	if _, ok := rate(func(i int) point { return point{last: uint64(100 * i)} }); ok {
		t.Error("a rate is told though no leader told the sequence")
	}
	if r, ok := rate(func(i int) point { return point{last: uint64(100 * i), lastSure: i >= 18} }); !ok || r != 100 {
		t.Errorf("known for a second: %v, %v", r, ok)
	}
	if _, ok := rate(func(i int) point { return point{last: 7, lastSure: i == 19} }); ok {
		t.Error("a rate of one point")
	}
	// A cursor that went back, as after a restore, is no negative rate.
	back := ramp(now, 20, func(i int) point {
		c := uint64(1000 + i)
		if i >= 17 {
			c = uint64(10 * (i - 17))
		}
		return point{cursor: c, known: true}
	})
	if r, ok := back.storeRate(); !ok || r != 10 {
		t.Errorf("after going back: %v, %v", r, ok)
	}
}

func TestLag(t *testing.T) {
	t.Parallel()
	now := time.Now()
	tr := ramp(now.Add(-19*time.Second), 20, func(i int) point { return point{last: uint64(10 * i)} })
	for cursor, want := range map[uint64]time.Duration{190: 0, 500: 0, 189: 0, 180: 0, 179: time.Second, 99: 9 * time.Second, 0: 18 * time.Second} {
		if got := tr.lag(cursor, now).Round(time.Second); got != want {
			t.Errorf("behind %d: %s, want %s", cursor, got, want)
		}
	}
}

func TestTrendIsBounded(t *testing.T) {
	t.Parallel()
	tr := ramp(time.Now(), 3*trendKept, func(i int) point { return point{last: uint64(i)} })
	if n := len(tr.points); n != trendKept || tr.points[n-1].last != 3*trendKept-1 || tr.points[0].last != 2*trendKept {
		t.Errorf("%d points, the last %d", n, tr.points[n-1].last)
	}
}

func TestSeries(t *testing.T) {
	t.Parallel()
	now := time.Now()
	one := ramp(now.Add(-59*time.Second), 60, func(i int) point {
		return point{last: uint64(100 * i), lastSure: true, cursor: uint64(50 * i), known: true, commitP99: .002}
	})
	published, stored, behind, commits := series(now, [][]point{one.points, one.points})
	last := chartPoints - 2
	if published[last] != 200 || stored[last] != 100 || commits[last] != .002 || behind[last] < 5000 {
		t.Errorf("two streams: published %v, stored %v, behind %v, commits %v", published[last], stored[last], behind[last], commits[last])
	}
	if !math.IsNaN(published[0]) {
		t.Error("something is known of 15 minutes ago")
	}
}

func TestCharts(t *testing.T) {
	t.Parallel()
	v := aView(func(v *View) {
		v.Events = []Event{
			{Kind: NodeLost, Time: v.Time.Add(-time.Minute), Text: `n1 is <gone> & "lost"`},
			{Kind: PostgresLost, Time: v.Time.Add(-20 * time.Minute), Text: "long ago"},
			{Kind: DeadLettered, Time: v.Time, Text: "no mark"},
		}
	})
	drawn := drawCharts(v, [][]point{ramp(v.Time.Add(-time.Minute), 60, func(i int) point { return point{last: uint64(i), lastSure: true} }).points})
	for _, part := range []string{`n1 is &lt;gone&gt; &amp;`, `<text x="336.0" y="10">N</text>`, `class="line publish" d="M`, "max 1.0/s"} {
		if !strings.Contains(drawn, part) {
			t.Errorf("no %s in %s", part, drawn)
		}
	}
	for _, part := range []string{"NaN", "long ago", "no mark", "\n"} {
		if strings.Contains(drawn, part) {
			t.Errorf("%q in %s", part, drawn)
		}
	}
}
