package sink

import (
	"fmt"
	"time"

	"landfall/message"
)

// streakLimit is how many messages in a row may be refused alike before it is
// the set-up, streak how many a node has seen.
const streakLimit = 20

type streak struct {
	why   string
	count int
}

// settled is what became of a batch.
type settled struct {
	records []record
	out     message.Outcome
	streak  streak
}

// settle finds the place of each message of a batch, one after the other, as
// the contract of Store and the store's careful path have it: what a row's id
// names already is a duplicate or, with another body, a dead letter, what is
// refused a dead letter too, and when twenty in a row are refused alike the
// whole batch is the set-up's; in do.
func (s store) settle(r *row, records []record) (settled, error) {
	to := settled{records: records, streak: s.streak}
	ids := map[string]record{} // of this batch
	for i := range records {
		rec := &records[i]
		first, taken := ids[rec.ID]
		if seq, ok := r.ids[rec.ID]; ok && !taken {
			first, taken = r.stored[seq], true
		}
		why := s.refuses(rec)
		switch {
		case why == "garbled":
			rec.place, to.streak = asDeadLetter, streak{}
		case why != "":
			if to.streak.why != why {
				to.streak = streak{why: why}
			}
			if to.streak.count++; to.streak.count >= streakLimit {
				to.streak.count = streakLimit - 1 // outlives the rollback
				s.streak = to.streak
				s.decided(pausedAlike)
				return to, &message.SetupError{Reason: fmt.Sprintf("%d messages in a row or more fail alike", streakLimit), Advice: "look at the table"}
			}
			rec.place = asDeadLetter
		case rec.ID != "" && taken && first.Subject == rec.Subject && first.Body == rec.Body:
			rec.place, rec.of = asDuplicate, first.Seq
		case rec.ID != "" && taken:
			rec.place = asDeadLetter
		default:
			rec.place, to.streak = asRow, streak{}
			ids[rec.ID] = *rec
		}
		to.count(rec)
	}
	return to, nil
}

func (to *settled) count(rec *record) {
	switch rec.place {
	case asRow:
		to.out.Rows++
	case asDeadLetter:
		to.out.DeadLetters, to.out.Careful = to.out.DeadLetters+1, true
	case asDuplicate:
		to.out.Duplicates, to.out.Careful = to.out.Duplicates+1, true
	}
}

// refuses is why Postgres does not take the message as a row; in do.
func (s store) refuses(rec *record) string {
	switch sort := s.stream.ledger[keyOf(rec.Time)].sort; {
	case sort == garbled:
		return "garbled"
	case s.pg.broken:
		return "no partition"
	case sort == bad && s.pg.strict:
		return "constraint"
	}
	return ""
}

// enter puts what was settled in its place; in do.
func (s store) enter(r *row, to settled) {
	for _, rec := range to.records {
		k := keyOf(rec.Time)
		r.stored[rec.Seq] = rec
		if _, before := s.pg.stored[k]; !before {
			s.pg.stored[k] = time.Now()
		}
		switch rec.place {
		case asRow:
			if rec.ID != "" {
				r.ids[rec.ID] = rec.Seq
			}
		case asDeadLetter:
			if s.pg.broken {
				s.pg.excused[k] = true
			}
			if s.stream.ledger[k].sort == reuse {
				s.decided(reusedID)
			} else {
				s.decided(deadLetter)
			}
		case asDuplicate:
			s.decided(duplicate)
		}
	}
	s.streak = to.streak
}
