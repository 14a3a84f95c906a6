package status

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"time"
)

// changes notes what is different from the view before.
func (v *Overview) changes(view *View, now time.Time) {
	for _, s := range view.Streams {
		if s.Sink == "" {
			continue
		}
		if before := v.sink[s.Name]; before != "" && before != s.Sink {
			v.diary.note(Event{Time: now, Kind: SinkMoved, Node: s.Sink, Stream: s.Name, Took: now.Sub(v.sinkSeen[s.Name]).Seconds(),
				Text: fmt.Sprintf("%s stores %s, before it %s did", s.Sink, s.Name, before)})
		}
		v.sink[s.Name], v.sinkSeen[s.Name] = s.Sink, now
	}
	state := view.Postgres.State
	if state == "partly" {
		state = "up"
	}
	if state == "unknown" || state == v.pgState {
		return
	}
	switch {
	case state == "down":
		v.pgSince = now
		v.diary.note(Event{Time: now, Kind: PostgresLost, Text: "Postgres cannot be reached"})
	case v.pgState == "down":
		v.diary.note(Event{Time: now, Kind: PostgresFound, Text: "Postgres is reached again", Took: now.Sub(v.pgSince).Seconds()})
	}
	v.pgState = state
}

// hearEvents takes in what the others tell, by this node's clock.
func (v *Overview) hearEvents(heard map[string]Heard) {
	for _, h := range heard {
		ahead := h.Time.Sub(h.Arrived)
		if ahead.Abs() < time.Second {
			ahead = 0
		}
		for _, e := range h.Events {
			e.Time = e.Time.Add(-ahead)
			if old, ok := v.told[e.ID]; ok && old.Count == e.Count {
				continue // as it is, rather than moved by how long a report took
			}
			e.Text = oneLine(e.Text)
			v.told[e.ID] = e
		}
	}
	if len(v.told) > 2*eventsKept {
		all := slices.SortedFunc(maps.Values(v.told), latestFirst)
		for _, e := range all[eventsKept:] {
			delete(v.told, e.ID)
		}
	}
}

// events are the latest, the latest first.
func (v *Overview) events() []Event {
	all := append(v.diary.all(), slices.Collect(maps.Values(v.told))...)
	slices.SortStableFunc(all, latestFirst)
	return all[:min(len(all), eventsKept)]
}

func latestFirst(a, b Event) int { return cmp.Or(b.Time.Compare(a.Time), cmp.Compare(b.ID, a.ID)) }
