package status

import (
	"slices"
	"time"
)

// others are the other nodes' latest reports.
func (v *Overview) others() map[string]Heard {
	heard := map[string]Heard{}
	if p := v.peers.Load(); p != nil {
		for _, h := range p.Others() {
			heard[h.Node] = h
		}
	}
	return heard
}

// presences sees which of the others are there, and tells whether that has
// changed. A node that has died is missed by its connection, one that hangs by
// its reports.
func (v *Overview) presences(now time.Time) (changed bool) {
	missing, ok := v.o.Missing()
	if !ok {
		return false
	}
	heard := v.others()
	for _, name := range v.o.Config.NodeNames() {
		if name == v.o.Node {
			continue
		}
		was := v.ups[name]
		if slices.Contains(missing, name) {
			delete(v.linked, name)
		} else if _, ok := v.linked[name]; !ok {
			v.linked[name] = now
		}
		h, told := heard[name]
		since, linked := v.linked[name]
		up := linked && (!told || h.Fresh() || since.After(h.Arrived))
		if up == was.up {
			continue
		}
		changed = true
		at := now
		if up && told && h.Fresh() && h.Arrived.Before(now) && h.Arrived.After(was.since) {
			at = h.Arrived
		}
		v.ups[name] = presence{up: up, since: at, seen: true}
		switch {
		case !up:
			v.lost(name, now)
			v.diary.note(Event{Time: now, Kind: NodeLost, Node: name, Text: name + " is gone"})
			v.o.Log.Warn("another node is gone", "other", name)
		case was.seen:
			v.diary.note(Event{Time: now, Kind: NodeFound, Node: name, Text: name + " is back", Took: now.Sub(was.since).Seconds()})
			v.o.Log.Info("another node is back", "other", name, "after", now.Sub(was.since).Round(time.Millisecond))
		}
	}
	return changed
}
