package sink

import (
	"fmt"
	"slices"
	"time"

	"landfall/message"
)

// check returns everything in which the promise was not kept. It is for the
// end, when Postgres has had time to catch up with the stream.
func (w *world) check() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	problems := slices.Clone(w.wrong)
	places := map[key]int{} // rows and dead letters that a message is, and where it is none a duplicate
	for _, r := range w.pg.rows {
		problems = append(problems, w.checkRow(r, places)...)
	}
	for k, m := range w.stream.ledger {
		switch n := places[k]; {
		case n > 1 && !w.pg.twice[k]:
			problems = append(problems, fmt.Sprintf("message %d (%.12q) has %d rows", m.Seq, m.Data, n))
		case n == 0 && !w.stream.let[k] && !w.isDuplicate(k):
			problems = append(problems, fmt.Sprintf("message %d (%.12q) has no row", m.Seq, m.Data))
		}
	}
	if w.stream.reborn > w.stream.cuts {
		problems = append(problems, fmt.Sprintf("the stream has %d new incarnations, but only %d tails were lost", w.stream.reborn, w.stream.cuts))
	}
	if len(problems) > 0 {
		problems = append(problems, w.describe())
	}
	return problems
}

// isDuplicate tells whether the message is noted as another's repeat. Where
// an incarnation begins behind what is common, repeats just before it may be
// stored once more: no row tells that they are common too.
func (w *world) isDuplicate(k key) bool {
	seq := w.stream.ledger[k].Seq
	return slices.ContainsFunc(w.pg.rows, func(r *row) bool {
		rec, ok := r.stored[seq]
		return ok && rec.place == asDuplicate && keyOf(rec.Time) == k
	})
}

// checkRow holds one incarnation against what was published: every sequence
// from its start to its cursor is exactly one of stored and gap, what is
// stored is what the stream had there, and it is in its right place.
func (w *world) checkRow(r *row, places map[key]int) (problems []string) {
	wrong := func(format string, args ...any) {
		problems = append(problems, r.cursor.Incarnation+": "+fmt.Sprintf(format, args...))
	}
	gaps := map[uint64]int{}
	for _, g := range r.gaps {
		if g.from > g.to || g.from < r.start || g.to > r.cursor.Seq {
			wrong("gap %d..%d outside of %d..%d", g.from, g.to, r.start, r.cursor.Seq)
			continue
		}
		for seq := g.from; seq <= g.to; seq++ {
			gaps[seq]++
		}
	}
	for seq := r.start; seq <= r.cursor.Seq; seq++ {
		n := gaps[seq]
		if _, stored := r.stored[seq]; stored {
			n++
		}
		if n != 1 {
			wrong("sequence %d is in %d places", seq, n)
		}
	}
	ids := map[string]uint64{}
	for seq, rec := range r.stored {
		k := keyOf(rec.Time)
		m, published := w.stream.ledger[k]
		if rec.place != asDuplicate {
			places[k]++
		}
		if other, twice := ids[rec.ID]; twice && rec.place == asRow && rec.ID != "" {
			wrong("rows %d and %d have one id", other, seq)
		} else if rec.place == asRow {
			ids[rec.ID] = seq
		}
		switch {
		case seq < r.start || seq > r.cursor.Seq:
			wrong("row %d is outside of %d..%d", seq, r.start, r.cursor.Seq)
		case !published || rec.Seq != seq || !rec.holds(&m.Message):
			wrong("row %d holds %+v, the stream had %+v", seq, rec, m)
		case !w.fits(r, rec, m.sort):
			wrong("message %d, which is %s, is a %s of %d", seq, m.sort, rec.place, rec.of)
		}
	}
	return problems
}

// fits tells whether such a message may end there.
func (w *world) fits(r *row, rec record, s sort) bool {
	switch rec.place {
	case asDuplicate:
		of := r.stored[rec.of]
		return (s == repeat || s == reuse) && rec.of < rec.Seq && of.place == asRow && of.ID == rec.ID && of.Subject == rec.Subject && of.Body == rec.Body
	case asDeadLetter:
		first, named := r.stored[r.ids[rec.ID]] // a repeat of what was lost, after a reuse that was not
		named = named && rec.ID != "" && first.Seq < rec.Seq && first.Body != rec.Body
		return s != good && s != repeat || named || w.pg.excused[keyOf(rec.Time)]
	}
	return s != garbled
}

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
// starts at start: Postgres must have what is before. Begin does not look
// whether it still has, so that a restore between the look for the last common
// message and now is beyond the promise; in do.
func (w *world) judgeEntry(start uint64) {
	if time.Since(w.pg.restored) < longest {
		for _, m := range w.stream.held {
			switch has := w.pg.has(m); {
			case m.Seq < start && !has:
				w.letGo([]message.Message{m})
			case m.Seq >= start && has:
				w.pg.twice[keyOf(m.Time)] = true
			}
		}
		return
	}
	if start > 1 && !slices.ContainsFunc(w.pg.rows, func(r *row) bool { return r.cursor.Seq >= start-1 }) {
		w.wrong = append(w.wrong, fmt.Sprintf("%s starts at %d, but Postgres has nothing before", w.stream.incarnation, start))
	}
}

// judgeLateBatch looks at a batch that a sink has yet to write when another
// has already entered the incarnation after its own: the fence does not know
// of that one, which may store the same messages; in do.
func (w *world) judgeLateBatch(r *row, records []record) {
	for _, other := range w.pg.rows {
		if other.cursor.StreamID > r.cursor.StreamID {
			for _, rec := range records {
				w.pg.twice[keyOf(rec.Time)] = true
			}
		}
	}
}

// letAll is for tests that end before all is stored, on purpose.
func (s *stream) letAll() map[key]bool {
	all := map[key]bool{}
	for k := range s.ledger {
		all[k] = true
	}
	return all
}
