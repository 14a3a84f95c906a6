package sink

import (
	"fmt"
	"slices"
	"time"
)

// check returns everything in which the promise was not kept. It is for the
// end, when Postgres has had time to catch up with the stream.
func (w *world) check() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	problems := slices.Clone(w.wrong)
	places := map[string]int{} // rows that a message has, by body
	for _, r := range w.pg.rows {
		problems = append(problems, w.checkRow(r, places)...)
	}
	for body, m := range w.stream.ledger {
		switch n := places[body]; {
		case n > 1:
			problems = append(problems, fmt.Sprintf("message %d (%.12q) has %d rows", m.Seq, body, n))
		case n == 0 && !w.stream.let[body]:
			problems = append(problems, fmt.Sprintf("message %d (%.12q) has no row", m.Seq, body))
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

// checkRow holds one incarnation against what was published: every sequence
// from its start to its cursor is exactly one of stored and gap, and what is
// stored is what the stream had there.
func (w *world) checkRow(r *row, places map[string]int) (problems []string) {
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
	for seq, rec := range r.stored {
		places[string(rec.Body)]++
		m, published := w.stream.ledger[string(rec.Body)]
		switch {
		case seq < r.start || seq > r.cursor.Seq:
			wrong("row %d is outside of %d..%d", seq, r.start, r.cursor.Seq)
		case !published || rec.Seq != seq || m.Seq != seq || m.ID() != rec.ID || m.Subject != rec.Subject ||
			!m.Time.Truncate(time.Microsecond).Equal(rec.Time):
			wrong("row %d holds %+v, the stream had %+v", seq, rec, m)
		}
	}
	return problems
}

// letAll is for tests that end before all is stored, on purpose.
func (s *stream) letAll() map[string]bool {
	all := map[string]bool{}
	for body := range s.ledger {
		all[body] = true
	}
	return all
}
