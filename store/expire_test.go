package store

import (
	"errors"
	"math"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"landfall/cluster"
	"landfall/message"
)

// keeping is a stream whose rows stay for an hour.
func (d *database) keeping() (*Stream, message.Cursor) {
	d.Helper()
	c := d.config()
	c.Keep = time.Hour
	s := d.open(c, "n1").Stream("S")
	return s, d.enter(s)
}

// older makes rows older, by sequence.
func (d *database) older(by string, from, to int) {
	d.Helper()
	d.exec(`UPDATE messages SET stored_at = stored_at - $1::text::interval WHERE seq BETWEEN $2 AND $3`, by, from, to)
}

// expire deletes whatever may go, a few rows at a time.
func (d *database) expire(s *Stream, held uint64, most int) (rows int) {
	d.Helper()
	for range 100 {
		n, more, err := s.Expire(d.Context(), held, most)
		if err != nil {
			d.Fatal(err)
		}
		if rows += n; !more {
			return rows
		}
	}
	d.Fatal("there is no end to it")
	return 0
}

// left are the sequences that have rows.
func (d *database) left(cur message.Cursor) []uint64 { return sequences(d.rows(cur.StreamID)) }

// audited is the one account, which has to add up.
func (d *database) audited(s *Stream) Account {
	d.Helper()
	all, err := s.Audit(d.Context())
	if err != nil || len(all) != 1 {
		d.Fatal(all, err)
	}
	a := all[0]
	if !a.Complete() || a.Rows+a.DeadLetters+a.Duplicates+a.Gaps+a.Expired != a.Cursor-a.Start+1 {
		d.Errorf("%+v", a)
	}
	return a
}

func TestExpireOldRows(t *testing.T) {
	t.Parallel()
	for _, most := range []int{1, 3, 100} {
		d := newDatabase(t)
		s, cur := d.keeping()
		if n := d.expire(s, 1, most); n != 0 {
			t.Error(n, "of nothing")
		}
		d.exec(refuseBad)
		cur = d.write(s, cur, pattern(cur, "xooxooor")).Cursor
		cur = d.write(s, cur, pattern(cur, "roooooo")).Cursor
		if n := d.expire(s, math.MaxUint64, most); n != 0 {
			t.Error(n, "young rows are gone")
		}
		d.older("2 hours", 1, 10)
		if n := d.expire(s, 6, most); n != 3 { // 2, 3, 5: 6 and what follows is in the stream
			t.Error(n)
		}
		if a := d.audited(s); a.Expired != 3 || a.Cleared != 5 {
			t.Errorf("%+v", a)
		}
		if n := d.expire(s, math.MaxUint64, most); n != 4 { // 6, 7, 8, 10
			t.Error(n)
		}
		if n := d.expire(s, math.MaxUint64, most); n != 0 {
			t.Error(n, "again")
		}
		if diff := cmp.Diff([]uint64{11, 12, 13, 14, 15}, d.left(cur)); diff != "" {
			t.Error(diff)
		}
		if a := d.audited(s); a.Expired != 7 || a.DeadLetters != 2 || a.Duplicates != 1 || a.Rows != 5 {
			t.Errorf("%+v", a)
		}
		// A loss behind the rows that have gone, and one between them and it.
		d.exec(`DELETE FROM messages WHERE seq IN (11, 14)`)
		all, err := s.Audit(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff([]Range{{11, 11}, {14, 14}}, all[0].Missing); diff != "" {
			t.Error(diff)
		}
		d.exec(`INSERT INTO messages (stream_id, seq, subject, content, published_at) VALUES ($1, 4, '', '', now())`, cur.StreamID)
		if all, err = s.Audit(t.Context()); err != nil || len(all[0].Twice) != 1 || all[0].Twice[0] != (Range{4, 4}) {
			t.Error(all[0].Twice, err) // a dead letter, too
		}
	}
}

// A dead letter that is stored late stays as long as others do, and does not
// keep those around it.
func TestExpireRetriedRows(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	s, cur := d.keeping()
	d.exec(refuseBad)
	cur = d.write(s, cur, pattern(cur, "oxoxooooo")).Cursor
	d.older("2 hours", 1, 9)
	d.exec(`ALTER TABLE messages DROP CONSTRAINT no_bad`)
	retry := func(seq uint64) {
		if err := s.Retry(t.Context(), cur.StreamID, seq, nil); err != nil {
			t.Fatal(err)
		}
	}
	retry(2)
	const all = math.MaxUint64
	if n := d.expire(s, all, 2); n != 7 {
		t.Error(n)
	}
	retry(4) // below all those that are gone
	if diff := cmp.Diff([]uint64{2, 4}, d.left(cur)); diff != "" {
		t.Error(diff)
	}
	d.audited(s)
	if n := d.expire(s, all, 2); n != 0 {
		t.Error(n)
	}
	d.exec(`UPDATE messages SET stored_at = stored_at - interval '2 hours' WHERE seq = 2;
		UPDATE landfall.dead_letters SET resolved_at = resolved_at - interval '2 hours' WHERE seq = 2`)
	if n := d.expire(s, all, 2); n != 1 {
		t.Error(n)
	}
	if a := d.audited(s); a.Expired != 8 || a.Rows != 1 {
		t.Errorf("%+v", a)
	}
	d.exec(`UPDATE messages SET stored_at = stored_at - interval '90 minutes';
		UPDATE landfall.dead_letters SET resolved_at = resolved_at - interval '90 minutes'`)
	if n := d.expire(s, all, 2); n != 1 || len(d.left(cur)) > 0 {
		t.Error(n, d.left(cur))
	}
	d.audited(s)
}

// What a stream that was made anew, or lost its tail, is compared with stays;
// what it cannot be compared with any more does not.
func TestExpireOfEarlierIncarnations(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	s, first := d.keeping()
	first = d.write(s, first, run(first, 10)).Cursor
	second, err := begin(t.Context(), s, "11111111-1111-1111-1111-111111111111", 8, message.Cursor{Seq: 7, Last: first.Last})
	if err != nil {
		t.Fatal(err)
	}
	d.write(s, second, run(second, 5))
	d.older("2 hours", 1, 20)
	if n := d.expire(s, 5, 3); n != 4 { // 1 to 4 of the first: it has the word up to 7
		t.Error(n, d.left(first), d.left(second))
	}
	if n := d.expire(s, 9, 3); n != 7 { // 5 to 10 of the first, 8 of the second
		t.Error(n, d.left(first), d.left(second))
	}
	d.enter(s) // made anew, with all its numbers
	if n := d.expire(s, 1, 3); n != 4 {
		t.Error(n, d.left(first), d.left(second))
	}
}

// An id is remembered as long as its row, and a sweep that deletes the row a
// repeat has been found by waits.
func TestExpireAndRepeats(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	s, cur := d.keeping()
	cur = d.write(s, cur, pattern(cur, "oor")).Cursor
	d.older("2 hours", 1, 3)
	if _, more, err := s.Expire(t.Context(), 2, 10); !more || err != nil { // only says that it will
		t.Fatal(more, err)
	}
	g := d.newGate("", `CREATE TRIGGER gate BEFORE INSERT ON landfall.duplicates EXECUTE FUNCTION gate()`)
	g.shut()
	var out message.Outcome
	_, result := started(t, func() (err error) {
		out, err = s.Write(t.Context(), cur, batchOf(s, pattern(cur, "r")))
		return err
	})
	pid := g.awaitOne()
	other := d.open(func() *cluster.Config { c := d.config(); c.Keep = time.Hour; return c }(), "n2").Stream("S")
	ended, swept := started(t, func() error {
		_, _, err := other.Expire(t.Context(), math.MaxUint64, 10)
		return err
	})
	if !d.blockedBy(pid, ended) {
		t.Error("the row went away under a repeat")
	}
	g.lift()
	if err := errors.Join(result(), swept()); err != nil || out.Duplicates != 1 {
		t.Fatalf("%v, %+v", err, out)
	}
	d.expire(s, math.MaxUint64, 10)
	if out := d.write(s, out.Cursor, pattern(out.Cursor, "r")); out.Rows != 1 {
		t.Errorf("%+v", out)
	}
	d.audited(s)
}
