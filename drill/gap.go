package drill

import (
	"slices"
	"time"
)

// LongestGap is the longest time without any acknowledgement while something
// was offered: from the last acknowledgement (or, if nothing was on offer
// then, from the next offer) to the next one. A refusal does not stop the
// clock. What is never acknowledged counts until its publisher gave up, or,
// if it never did, until end.
func LongestGap(entries []Entry, end time.Time) time.Duration {
	events := make([]gapEvent, 0, 2*len(entries))
	for i := range entries {
		e := &entries[i]
		told := e.Told
		if told.IsZero() {
			told = end
		}
		if told.Before(e.Offered) {
			told = e.Offered // an acknowledgement ahead of its schedule
		}
		kind := gaveUp
		if e.Outcome == Acked {
			kind = ack
		}
		events = append(events, gapEvent{e.Offered, offer}, gapEvent{told, kind})
	}
	slices.SortFunc(events, func(a, b gapEvent) int {
		if c := a.at.Compare(b.at); c != 0 {
			return c
		}
		return int(a.kind) - int(b.kind)
	})
	return sweep(events)
}

type gapKind int

// Offers come first among events of one instant, so that nothing is told
// before it is offered.
const (
	offer gapKind = iota
	ack
	gaveUp
)

type gapEvent struct {
	at   time.Time
	kind gapKind
}

// sweep walks the events in order. The clock runs from the first offer after
// silence began until an acknowledgement, whatever is refused in between.
func sweep(events []gapEvent) time.Duration {
	var longest time.Duration
	var since time.Time // when the current silence began
	waiting := false    // the clock runs
	open := 0           // offered and not told yet
	for _, ev := range events {
		if waiting {
			longest = max(longest, ev.at.Sub(since))
		}
		switch ev.kind {
		case offer:
			open++
			if !waiting {
				since, waiting = ev.at, true
			}
		case ack:
			open--
			since, waiting = ev.at, open > 0
		case gaveUp:
			open--
		}
	}
	return longest
}
