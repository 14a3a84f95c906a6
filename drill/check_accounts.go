package drill

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"
)

// account is what became of the sequences of one incarnation of a stream.
// Each, from the first to the cursor, is to be exactly one of row, dead
// letter, duplicate and gap; then the cursor is the highest of them, too.
type account struct {
	id            int64 // landfall.streams.id
	name          string
	incarnation   string
	start, cursor int64

	taken bits // sequences that are something, from start
	held  bits // of those, rows and dead letters
	gaps  bits // of those, gaps
}

// accounts are all incarnations, in the order of their ids: a later one was
// begun later.
type accounts struct {
	list    []*account
	byID    map[int64]int
	repeats map[place]uint64 // what a sequence is a duplicate of
	removed []Removal
}

// place is a sequence of an incarnation; later is greater. 0 is nowhere.
type place uint64

// seqBits is room for 281 million million messages.
const seqBits = 48

func placeOf(account int, seq uint64) place { return place(account+1)<<seqBits | place(seq) }

func (p place) account() int { return int(p>>seqBits) - 1 }

func (as *accounts) at(p place) (*account, uint64) {
	return as.list[p.account()], uint64(p & (1<<seqBits - 1))
}

func (as *accounts) describe(p place) string {
	a, seq := as.at(p)
	return fmt.Sprintf("%s/%d (stream_id %d)", a.name, seq, a.id)
}

// ours is the condition for what belongs to the streams that are looked at.
func (a *audit) ours() string {
	return "(stream_id IN (SELECT id FROM landfall.streams WHERE name " + a.streams + ") OR stream_id NOT IN (SELECT id FROM landfall.streams))"
}

// mostSequences is how many sequences of an incarnation are accounted for. A
// cursor that is further away has been set to nonsense.
const mostSequences = 1 << 33

func (a *audit) readStreams(ctx context.Context, tx pgx.Tx) error {
	a.accounts = accounts{byID: make(map[int64]int), repeats: make(map[place]uint64), removed: a.ledger.Removals()}
	rows, err := tx.Query(ctx, `SELECT id, name, incarnation::text, start_seq, last_seq FROM landfall.streams WHERE name `+a.streams+` ORDER BY id`)
	if err != nil {
		return err
	}
	var s account
	_, err = pgx.ForEachRow(rows, []any{&s.id, &s.name, &s.incarnation, &s.start, &s.cursor}, func() error {
		if n := s.cursor - s.start + 1; s.start < 1 || n < 0 || n > mostSequences {
			return fmt.Errorf("stream %s (id %d) begins at %d and its cursor is at %d", s.name, s.id, s.start, s.cursor)
		}
		one := s
		one.taken, one.held, one.gaps = one.newBits(), one.newBits(), one.newBits()
		a.accounts.byID[one.id] = len(a.accounts.list)
		a.accounts.list = append(a.accounts.list, &one)
		return nil
	})
	return err
}

// take enters what sequences from to to of an incarnation are.
func (a *audit) take(stream, from, to int64, held bool, what string) place {
	n, known := a.accounts.byID[stream]
	if !known {
		a.v.Unaccounted++
		a.v.find(kindUnaccounted, "%s at %d/%d: there is no stream with that id", what, stream, from)
		return 0
	}
	s, where := a.accounts.list[n], placeOf(n, uint64(max(from, 0)))
	if from < s.start || to > s.cursor || to < from {
		a.v.Unaccounted++
		a.v.find(kindUnaccounted, "%s at %s: the stream's account goes from %d to its cursor, %d", what, s.sequences(from, to), s.start, s.cursor)
		from, to = max(from, s.start), min(to, s.cursor)
	}
	for seq := from; seq <= to; seq++ {
		if !s.taken.set(seq - s.start) {
			a.v.Unaccounted++
			a.v.find(kindUnaccounted, "%s at %s: that sequence is something else as well", what, s.sequences(seq, seq))
		}
		if held {
			s.held.set(seq - s.start)
		}
	}
	return where
}

func (s *account) sequences(from, to int64) string {
	if from == to {
		return fmt.Sprintf("%s/%d (stream_id %d)", s.name, from, s.id)
	}
	return fmt.Sprintf("%s/%d-%d (stream_id %d)", s.name, from, to, s.id)
}

// readDuplicates goes through the repeats that Landfall recorded instead of
// storing them.
func (a *audit) readDuplicates(ctx context.Context, tx pgx.Tx) error {
	rows, err := tx.Query(ctx, `SELECT stream_id, seq, of_seq FROM landfall.duplicates WHERE `+a.ours())
	if err != nil {
		return err
	}
	var stream, seq, of int64
	_, err = pgx.ForEachRow(rows, []any{&stream, &seq, &of}, func() error {
		a.v.Repeats++
		where := a.take(stream, seq, seq, false, "a duplicate")
		if where == 0 {
			return nil
		}
		a.accounts.repeats[where] = uint64(of)
		// An id is unique within an incarnation, so what is repeated is of
		// the same one, and rows and dead letters have all been read.
		s := a.accounts.list[where.account()]
		if of >= seq || !s.held.has(of-s.start) {
			a.v.Unaccounted++
			a.v.find(kindUnaccounted, "a duplicate at %s: it repeats %d, which is no earlier row or dead letter", s.sequences(seq, seq), of)
		}
		return nil
	})
	return err
}

// readGaps goes through the holes that Landfall recorded. What the drill
// removed itself may be one.
func (a *audit) readGaps(ctx context.Context, tx pgx.Tx) error {
	rows, err := tx.Query(ctx, `SELECT stream_id, from_seq, to_seq FROM landfall.gaps WHERE `+a.ours())
	if err != nil {
		return err
	}
	var stream, from, to int64
	_, err = pgx.ForEachRow(rows, []any{&stream, &from, &to}, func() error {
		where := a.take(stream, from, to, false, "a gap")
		if where == 0 {
			a.v.Gaps++
			return nil
		}
		s := a.accounts.list[where.account()]
		for seq := max(from, s.start); seq <= min(to, s.cursor); seq++ {
			s.gaps.set(seq - s.start)
		}
		if !a.accounts.allRemoved(s, from, to) {
			a.v.Gaps++
			a.v.find(kindGap, "a gap at %s", s.sequences(from, to))
		}
		return nil
	})
	return err
}

// allRemoved tells whether the drill itself removed these sequences.
func (as *accounts) allRemoved(s *account, from, to int64) bool {
	for seq := from; seq <= to; seq++ {
		if !as.wasRemoved(s, uint64(seq)) {
			return false
		}
	}
	return true
}

func (as *accounts) wasRemoved(s *account, seq uint64) bool {
	for _, r := range as.removed {
		if r.Incarnation == s.incarnation && r.From <= seq && seq <= r.To {
			return true
		}
	}
	return false
}

// removedGaps are the sequences that are gaps because the drill removed them,
// and in how many incarnations.
func (as *accounts) removedGaps() map[uint64]int {
	found := make(map[uint64]int)
	for _, s := range as.list {
		seen := make(map[uint64]bool) // removals may overlap
		for _, r := range as.removed {
			if r.Incarnation != s.incarnation {
				continue
			}
			for seq := max(r.From, uint64(s.start)); seq <= min(r.To, uint64(max(s.cursor, 0))); seq++ {
				if !seen[seq] && s.gaps.has(int64(seq)-s.start) {
					seen[seq] = true
					found[seq]++
				}
			}
		}
	}
	return found
}

// judgeAccounts looks for sequences that are nowhere.
func (a *audit) judgeAccounts() {
	for _, s := range a.accounts.list {
		for from := s.start; from <= s.cursor; from++ {
			if s.taken.has(from - s.start) {
				continue
			}
			to := from
			for to < s.cursor && !s.taken.has(to+1-s.start) {
				to++
			}
			a.v.Unaccounted += int(to - from + 1)
			a.v.find(kindUnaccounted, "%s: neither row nor dead letter, duplicate or gap", s.sequences(from, to))
			from = to
		}
	}
}

// bits are a set of small numbers.
type bits []uint64

func (s *account) newBits() bits { return make(bits, (s.cursor-s.start+64)/64) }

// set adds a number and is false if it was in the set. n is within its bounds.
func (b bits) set(n int64) bool {
	word, bit := &b[n/64], uint64(1)<<(n%64)
	was := *word&bit != 0
	*word |= bit
	return !was
}

// has is false for what is beyond the bounds, too.
func (b bits) has(n int64) bool {
	return n >= 0 && n/64 < int64(len(b)) && b[n/64]&(1<<(n%64)) != 0
}
