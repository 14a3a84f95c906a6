package drill

import (
	"slices"
	"time"
)

// silence finds the longest time without any acknowledgement while something
// was offered: from the last acknowledgement (or, if nothing was on offer
// then, from the next offer) to the next one. A refusal does not stop the
// clock. What is never acknowledged counts until its publisher gave up, or,
// if it never did, until the end. It takes 16 bytes for each message.
type silence struct {
	origin time.Time  // of the events' times: the first one's
	events []gapEvent // without those that never came
	open   int        // messages of which nothing was told
}

// gapEvent is when something happened, in ns since the origin, and what, in
// the lowest bits. So they sort by time, and offers first among those of one
// instant: nothing is told before it is offered.
type gapEvent int64

const (
	offer gapEvent = iota
	ack
	gaveUp

	gapKinds = 4
)

// add enters a message.
func (s *silence) add(e *Entry) {
	if s.origin.IsZero() {
		s.origin = e.Offered
	}
	s.enter(e.Offered, offer)
	told, kind := e.Told, gaveUp
	if e.Outcome == Acked {
		kind = ack
	}
	switch {
	case told.IsZero():
		s.open++
		return
	case told.Before(e.Offered):
		told = e.Offered // an acknowledgement ahead of its schedule
	}
	s.enter(told, kind)
}

func (s *silence) enter(at time.Time, kind gapEvent) {
	s.events = append(s.events, gapEvent(at.Sub(s.origin))*gapKinds+kind)
}

// longest sorts all that was added and walks it in order. The clock runs from
// the first offer after silence began until an acknowledgement, whatever is
// refused in between.
func (s *silence) longest(end time.Time) time.Duration {
	for range s.open {
		s.enter(end, gaveUp)
	}
	s.open = 0
	slices.Sort(s.events)
	var longest, since time.Duration // since when the current silence is
	waiting := false                 // the clock runs
	open := 0                        // offered and not told yet
	for _, ev := range s.events {
		at, kind := time.Duration(ev>>2), ev&(gapKinds-1)
		if waiting {
			longest = max(longest, at-since)
		}
		switch kind {
		case offer:
			open++
			if !waiting {
				since, waiting = at, true
			}
		case ack:
			open--
			since, waiting = at, open > 0
		case gaveUp:
			open--
		}
	}
	return longest
}
