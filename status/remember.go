package status

import (
	"time"
)

// remember keeps what is known of the streams from those who store them.
func (v *Overview) remember(f *facts, reports []*Report) {
	for name, k := range v.known {
		if node, r := storing(reports, name); r != nil {
			if r.Sink.Known {
				k.cursor, k.cursorAt = v.newer(name, r.Sink, f.told(node)), f.now
			}
			if r.Sink.Counts != nil {
				k.counts = r.Sink.Counts
			}
		}
	}
}

// newer is the cursor as a sink told it at a time, or as a commit told it since.
func (v *Overview) newer(stream string, s *Sunk, told time.Time) uint64 {
	if r := v.receipts.Load(); r != nil {
		if t, err := r.track(stream); err == nil {
			if incarnation, cursor, heard := t.last(); incarnation == s.Incarnation && heard.After(told) {
				return cursor
			}
		}
	}
	return s.Cursor
}

func (v *Overview) trend(view *View, now time.Time) {
	v.mu.Lock() // for those who draw it
	defer v.mu.Unlock()
	for i := range view.Streams {
		s := &view.Streams[i]
		if s.Last == nil {
			continue
		}
		p := point{at: now, last: *s.Last, lastSure: s.Sure, commitP99: s.CommitP99}
		if s.Cursor != nil {
			p.cursor, p.known = *s.Cursor, s.CursorAge < stale.Seconds()
		}
		v.known[s.Name].trend.add(p)
	}
}
