package sink

import (
	"fmt"
	"slices"
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
		case n > 1:
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

// letAll is for tests that end before all is stored, on purpose.
func (s *stream) letAll() map[key]bool {
	all := map[key]bool{}
	for k := range s.ledger {
		all[k] = true
	}
	return all
}
