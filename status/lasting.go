package status

import "time"

// lasting tells for how long something has been so, over several looks.
type lasting struct {
	now   time.Time
	since map[string]time.Time
	seen  map[string]bool // in this look
}

func newLasting() *lasting { return &lasting{since: map[string]time.Time{}} }

// look begins one; what was not so in the look before is forgotten.
func (l *lasting) look(now time.Time) {
	for what := range l.since {
		if !l.seen[what] {
			delete(l.since, what)
		}
	}
	l.now, l.seen = now, map[string]bool{}
}

// of is for how long it has been so, as it is now.
func (l *lasting) of(what string) time.Duration {
	l.seen[what] = true
	if _, ok := l.since[what]; !ok {
		l.since[what] = l.now
	}
	return l.now.Sub(l.since[what])
}
