package sink

import (
	"context"
	"errors"
	"fmt"
	"time"

	"landfall/message"
)

func (s store) Read(ctx context.Context, cur message.Cursor) (at uint64, err error) {
	if err := s.reach(ctx, "read"); err != nil {
		return 0, err
	}
	r, _ := s.find(cur)
	if r == nil {
		return 0, message.ErrMoved
	}
	s.do(func() {
		if s.p.stale {
			s.wrong = append(s.wrong, fmt.Sprintf("node %d goes on from %d though it was told that the cursor is elsewhere", s.number, cur.Seq))
		}
		at = r.cursor.Seq
	})
	err = s.back(ctx, s.p, "read")
	if err == nil && at != cur.Seq {
		s.do(func() {
			s.p.stale = true
			s.decided(movedIdle)
		})
	}
	return at, err
}

func (s store) Newest(ctx context.Context) (cur message.Cursor, err error) {
	if err := s.reach(ctx, "newest"); err != nil {
		return cur, err
	}
	s.do(func() { cur = s.pg.newest().withoutPrint() })
	return cur, s.back(ctx, s.p, "newest")
}

// newest is the row of the latest incarnation, and that of nothing if there is
// none; in do.
func (p *postgres) newest() *row {
	newest := p.unique
	for _, r := range p.rows {
		if r.cursor.StreamID > newest.cursor.StreamID {
			newest = r
		}
	}
	return newest
}

// withoutPrint is the row's cursor without its fingerprint.
func (r *row) withoutPrint() message.Cursor {
	cur := r.cursor
	cur.Last = message.Fingerprint{}
	return cur
}

func (s store) RowAtOrBelow(ctx context.Context, seq uint64) (at uint64, f message.Trace, found bool, err error) {
	if err := s.reach(ctx, "row at or below"); err != nil {
		return 0, f, false, err
	}
	s.do(func() {
		for _, r := range s.pg.rows {
			at = max(at, r.cursor.Seq)
		}
		for at = min(at, seq); at > 0 && !found; at-- {
			if r := s.pg.lastWord(at); r != nil {
				var rec record
				if rec, found = r.stored[at]; found && rec.place != asDuplicate {
					f = message.Trace{Time: rec.Time, Unit: time.Microsecond, ID: rec.ID, Named: true}
					break
				}
				found = false
			}
		}
	})
	return at, f, found, s.back(ctx, s.p, "row at or below")
}

// lastWord is the latest incarnation that has the sequence; held.
func (p *postgres) lastWord(seq uint64) *row {
	var last *row
	for _, r := range p.rows {
		if r.start <= seq && (last == nil || r.cursor.StreamID > last.cursor.StreamID) {
			last = r
		}
	}
	return last
}

func (s store) Trim(ctx context.Context, cur message.Cursor, window time.Duration, trim func(ctx context.Context, cursor, expired uint64) error) error {
	if err := s.reach(ctx, "trim"); err != nil {
		return err
	}
	r, _ := s.find(cur)
	if r == nil {
		return message.ErrMoved
	}
	release, err := s.acquire(ctx, r)
	if err != nil {
		return err
	}
	defer release()
	slow := time.Duration(0)
	s.do(func() { slow = 10 * s.pg.slow })
	if err := s.p.pass(ctx, slow); err != nil {
		return err
	}
	var seq, expired uint64
	s.do(func() {
		seq = r.cursor.Seq
		if len(r.marks) == 0 || r.marks[len(r.marks)-1].seq < seq {
			r.marks = append(r.marks, mark{seq, time.Now()})
		}
		for _, m := range r.marks {
			if time.Since(m.at) >= window && m.seq <= seq {
				expired = max(expired, m.seq)
			}
		}
	})
	if err := trim(ctx, seq, expired); err != nil {
		if errors.Is(err, message.ErrMoved) {
			s.do(func() { s.decided(trimStopped) })
		}
		return err
	}
	return s.back(ctx, s.p, "trim")
}
