package sink

import (
	"fmt"
	"slices"
	"time"
)

// judgeOpen looks at a pull that is about to begin at from; in do.
func (w *world) judgeOpen(from uint64) {
	var most uint64
	for _, seq := range w.pg.reached {
		most = max(most, seq)
	}
	if from > most+1 {
		w.wrong = append(w.wrong, fmt.Sprintf("a pull begins at %d, but Postgres never had more than %d", from, most))
	}
}

// judgePurge looks at a purge that the sink is about to have: of what was
// stored for the replay window, or of the oldest that was stored if the
// stream is crowded, and then not of more than brings it below the low mark;
// in do.
func (w *world) judgePurge(below uint64) {
	s := &w.stream
	// What the sink saw is as old as its question.
	unclear := s.old != nil || time.Since(s.shrunk) < time.Second
	room := float64(s.bytes) > 0.8*float64(s.maxBytes) || unclear
	left := float64(s.bytes)
	for _, m := range s.held[:s.index(below)] {
		at, stored := w.pg.stored[keyOf(m.Time)]
		over := stored && time.Since(at) >= w.options.replayWindow
		switch {
		case !stored:
			w.wrong = append(w.wrong, fmt.Sprintf("purge below %d took message %d (%.12q), which Postgres never had", below, m.Seq, m.Data))
		case !over && !room:
			w.wrong = append(w.wrong, fmt.Sprintf("purge below %d took message %d, which was stored only %v ago", below, m.Seq, time.Since(at)))
		case !over && !unclear && left < 0.6*float64(s.maxBytes): // the mark is 0.7, but messages differ in size
			w.wrong = append(w.wrong, fmt.Sprintf("purge below %d took message %d, though only %v of %d bytes were left", below, m.Seq, left, s.maxBytes))
		}
		left -= float64(m.Size())
		if over {
			w.decided(trimWindow)
		} else {
			w.decided(trimRoom)
		}
	}
	if most, known := w.pg.reached[s.incarnation]; known && below > most {
		w.wrong = append(w.wrong, fmt.Sprintf("purge below %d, but the cursor never was beyond %d", below, most))
	}
}

// What the judges below hold a sink against is said in figures of their own:
// the sink's may be wrong.

// longest is longer than anything that was begun can take.
const longest = 30 * time.Second

// judgeStepDown looks at a hand-over that the node's process p asks for; in do.
func (n *node) judgeStepDown(p *process) {
	cut := !n.reaches() && time.Since(n.reached) >= 10*time.Second && n.othersReach()
	late := n.reaches() && n.behind > 5000 && time.Since(n.lagged) >= 5*time.Second
	stuck := n.reaches() && time.Since(n.reached) >= 5*time.Second && time.Since(n.moved) >= 5*time.Second
	switch {
	case cut:
		n.decided(handUnreachable)
	case n.mustPause():
		n.wrong = append(n.wrong, fmt.Sprintf("node %d hands over a stream that is paused: no other node could store it", n.number))
	case stuck && p.inHand && !p.failed:
		n.wrong = append(n.wrong, fmt.Sprintf("node %d hands over because a batch takes long: it would for another node too", n.number))
	case stuck:
		n.decided(handStandstill)
	case late:
	default:
		n.wrong = append(n.wrong, fmt.Sprintf("node %d hands over, but it is fit: reaches Postgres: %v for %v, moved %v ago", n.number, n.reaches(), time.Since(n.reached), time.Since(n.moved)))
	}
	if !p.last.IsZero() && time.Since(p.last) < 30*time.Second {
		n.wrong = append(n.wrong, fmt.Sprintf("node %d hands over again after %v", n.number, time.Since(p.last)))
	}
	p.last = time.Now()
}

// judgeTransaction looks at one that the node's process p is about to begin;
// in do.
func (n *node) judgeTransaction(p *process, tx transaction) {
	if p.stale {
		n.wrong = append(n.wrong, fmt.Sprintf("node %d tries a %s from a cursor that it was told is not Postgres'", n.number, tx.what))
	}
	if n.mustPause() {
		n.wrong = append(n.wrong, fmt.Sprintf("node %d tries a %s %v after it was told that the set-up is wrong", n.number, tx.what, time.Since(n.paused)))
	}
	most := longest
	if p.open {
		most = 5 * time.Second // it looks between two batches
	}
	if !n.leads && time.Since(n.turned) > most {
		n.wrong = append(n.wrong, fmt.Sprintf("node %d tries a %s, but has not led for %v", n.number, tx.what, time.Since(n.turned)))
	}
}

// judgeEntry looks at a row that is about to be made of an incarnation that
// starts at start: Postgres must have what is before; in do.
func (w *world) judgeEntry(start uint64) {
	if start > 1 && !slices.ContainsFunc(w.pg.rows, func(r *row) bool { return r.cursor.Seq >= start-1 }) {
		w.wrong = append(w.wrong, fmt.Sprintf("%s starts at %d, but Postgres has nothing before", w.stream.incarnation, start))
	}
}
