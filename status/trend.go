package status

import "time"

const (
	// trendEvery is how often a point is taken, and trendKept how many are
	// kept: the last 15 minutes.
	trendEvery = time.Second
	trendKept  = 900

	// rateOver is over how long a rate is told.
	rateOver = 5 * time.Second
)

// point is where a stream stood at a moment, as far as was known.
type point struct {
	at        time.Time
	last      uint64 // of the stream
	lastSure  bool   // its leader told
	cursor    uint64
	known     bool // the node that stores told the cursor
	commitP99 float64
}

// trend is where a stream has stood lately.
type trend struct {
	points []point // the oldest first
}

func (t *trend) add(p point) {
	if n := len(t.points); n >= trendKept {
		t.points = append(t.points[:0], t.points[n-trendKept+1:]...)
	}
	t.points = append(t.points, p)
}

// publishRate and storeRate are in messages a second, over the last points; ok
// is false while it is not known.
func (t *trend) publishRate() (float64, bool) {
	return t.rate(func(p point) (uint64, bool) { return p.last, p.lastSure })
}

func (t *trend) storeRate() (float64, bool) {
	return t.rate(func(p point) (uint64, bool) { return p.cursor, p.known })
}

func (t *trend) rate(of func(point) (uint64, bool)) (float64, bool) {
	return rateWithin(t.points, rateOver, of)
}

// rateWithin is the rate over the end of the points, as long as the given time.
func rateWithin(points []point, within time.Duration, of func(point) (uint64, bool)) (float64, bool) {
	if len(points) < 2 {
		return 0, false
	}
	end := points[len(points)-1]
	now, ok := of(end)
	if !ok {
		return 0, false
	}
	first, firstAt := now, end.at
	for i := len(points) - 2; i >= 0; i-- {
		v, ok := of(points[i])
		if !ok || v > first || end.at.Sub(points[i].at) > within+trendEvery/2 {
			break // not known, gone back, or too long ago
		}
		first, firstAt = v, points[i].at
	}
	took := end.at.Sub(firstAt).Seconds()
	if took <= 0 {
		return 0, false
	}
	return float64(now-first) / took, true
}

// lag is for how long the stream has held more than the cursor, at least: the
// age of the oldest message that is not stored.
func (t *trend) lag(cursor uint64, now time.Time) time.Duration {
	since := now
	for i := len(t.points) - 1; i >= 0; i-- {
		p := t.points[i]
		if p.last <= cursor {
			break
		}
		since = p.at
	}
	return now.Sub(since)
}
