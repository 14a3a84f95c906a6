package sink

import (
	"context"
	"fmt"

	"landfall/message"
)

// smallBatch is how many messages go to Postgres in one piece; fewer than the
// real store's, so that larger batches occur.
const smallBatch = 3

// store is a node's Store.
type store struct {
	*node
	p *process
}

func (s store) Prepare(ctx context.Context) error {
	if err := s.reach(ctx, "prepare"); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.pg.wrong
}

func (s store) Find(ctx context.Context, incarnation string) (cur message.Cursor, found bool, err error) {
	if err := s.reach(ctx, "find"); err != nil {
		return cur, false, err
	}
	var r *row
	s.do(func() { r = s.pg.row(incarnation) })
	if r != nil {
		release, err := s.acquire(ctx, r)
		if err != nil {
			return cur, false, err
		}
		s.do(func() { cur = r.cursor })
		release()
	}
	s.do(func() { s.p.stale, s.p.open = false, false })
	return cur, r != nil, s.back(ctx, s.p, "find")
}

func (s store) Begin(ctx context.Context, newest message.Cursor, incarnation string, start uint64, last message.Cursor) (message.Cursor, error) {
	if err := s.reach(ctx, "begin"); err != nil {
		return message.Cursor{}, err
	}
	var now *row
	s.do(func() { now = s.pg.newest() })
	err := s.transact(ctx, transaction{"entry", false, now, func() error { return s.allowsEntry(newest, incarnation) }, func() { s.insert(incarnation, start, last) }})
	if err != nil {
		return message.Cursor{}, err
	}
	cur, found, err := s.Find(ctx, incarnation)
	if err == nil && !found {
		err = message.ErrMoved
	}
	return cur, err
}

// allowsEntry is Begin's fence; in do.
func (s store) allowsEntry(newest message.Cursor, incarnation string) error {
	if now := s.pg.newest().withoutPrint(); now != newest && now.Incarnation != incarnation {
		s.decided(entryFenced)
		return message.ErrMoved
	}
	return nil
}

// insert makes the row of a new incarnation; in do.
func (s store) insert(incarnation string, start uint64, last message.Cursor) {
	if s.pg.row(incarnation) != nil {
		s.decided(enteredAlready)
		return // another node was first
	}
	s.judgeEntry(start)
	s.decidedEntry(start, last.Seq)
	s.pg.nextID++
	r := newRow()
	r.start = start
	r.cursor = message.Cursor{StreamID: s.pg.nextID, Incarnation: incarnation, Seq: last.Seq, Last: last.Last}
	if last.Seq >= start {
		r.gaps = append(r.gaps, span{start, last.Seq})
	}
	s.pg.rows = append(s.pg.rows, r)
}

func (s store) Write(ctx context.Context, cur message.Cursor, b *message.Batch) (message.Outcome, error) {
	s.do(func() { s.p.inHand = s.p.open })
	out, err := s.write(ctx, cur, b)
	s.do(func() { s.p.inHand, s.p.failed = false, s.p.failed || err != nil })
	return out, err
}

func (s store) write(ctx context.Context, cur message.Cursor, b *message.Batch) (message.Outcome, error) {
	if err := s.reach(ctx, "write"); err != nil {
		return message.Outcome{}, err
	}
	r, most := s.find(cur)
	if r == nil {
		return message.Outcome{}, message.ErrMoved
	}
	if most > 0 && len(b.Messages) > most {
		return message.Outcome{}, fmt.Errorf("copy: %w", message.ErrTooSlow)
	}
	records, err := decode(b.Rows)
	if err != nil {
		return message.Outcome{}, err
	}
	last := &b.Messages[len(b.Messages)-1]
	next := message.Cursor{StreamID: cur.StreamID, Incarnation: cur.Incarnation, Seq: last.Seq, Last: last.Fingerprint()}
	var to settled
	err = s.transact(ctx, transaction{"batch", len(b.Messages) <= smallBatch, r, func() (err error) {
		if err = s.allows(r, cur, b, records); err == nil {
			to, err = s.settle(r, records)
		}
		return err
	}, func() {
		s.enter(r, to)
		r.cursor = next
		if !s.leads {
			s.decided(lateBatch)
		}
	}})
	if err != nil {
		return message.Outcome{}, err
	}
	to.out.Cursor = next
	return to.out, s.back(ctx, s.p, "write")
}

// allows is the fence, the primary key, and a look at the batch; in do.
func (s store) allows(r *row, cur message.Cursor, b *message.Batch, records []record) error {
	if r.cursor.Seq != cur.Seq {
		s.decided(fenced)
		return message.ErrMoved
	}
	size := 0
	for i := range min(len(records), len(b.Messages)) {
		rec, m := &records[i], &b.Messages[i]
		if _, there := r.stored[rec.Seq]; there {
			return &message.SetupError{Reason: fmt.Sprintf("row %d is already there", rec.Seq)}
		}
		if want := cur.Seq + 1 + uint64(i); m.Seq != want || !rec.holds(m) {
			s.wrong = append(s.wrong, fmt.Sprintf("a batch behind %d has row %d and message %d where %d belongs", cur.Seq, rec.Seq, m.Seq, want))
		}
		size += m.Size()
	}
	if len(records) != len(b.Messages) || size != b.Size {
		s.wrong = append(s.wrong, fmt.Sprintf("a batch of %d messages, %d bytes, has %d rows and size %d", len(b.Messages), size, len(records), b.Size))
	}
	return nil
}

// find is the cursor's row as it is now, nil if a restore has taken it.
func (s store) find(cur message.Cursor) (r *row, most int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if r = s.pg.row(cur.Incarnation); r != nil && r.cursor.StreamID != cur.StreamID {
		r = nil
	}
	if r == nil {
		s.decided(rowGone)
	}
	return r, s.pg.most
}

func (s store) RecordGap(ctx context.Context, cur message.Cursor, to uint64) (message.Cursor, error) {
	if err := s.reach(ctx, "record gap"); err != nil {
		return message.Cursor{}, err
	}
	r, _ := s.find(cur)
	if r == nil {
		return message.Cursor{}, message.ErrMoved
	}
	next := message.Cursor{StreamID: cur.StreamID, Incarnation: cur.Incarnation, Seq: to}
	err := s.transact(ctx, transaction{"gap", false, r, func() error {
		if r.cursor.Seq != cur.Seq {
			s.decided(gapFenced)
			return message.ErrMoved
		}
		return nil
	}, func() {
		s.decidedGap(cur.Seq+1, to)
		r.gaps = append(r.gaps, span{cur.Seq + 1, to})
		r.cursor = next
	}})
	if err != nil {
		return next, err
	}
	return next, s.back(ctx, s.p, "record gap")
}

// Expire: in this world rows stay.
func (s store) Expire(ctx context.Context, _ uint64, _ int) (rows int, more bool, err error) {
	return 0, false, s.reach(ctx, "expire")
}

// Accepted: nobody in this world ever says that it is the data.
func (s store) Accepted(ctx context.Context) (uint64, error) {
	return 0, s.reach(ctx, "accepted")
}
