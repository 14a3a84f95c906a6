package sink

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"landfall/message"
)

// store is a node's Store.
type store struct{ *node }

func (s store) Prepare(ctx context.Context) error {
	if err := s.reach(ctx); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.pg.wrong
}

func (s store) Find(ctx context.Context, incarnation string) (cur message.Cursor, found bool, err error) {
	if err := s.reach(ctx); err != nil {
		return cur, false, err
	}
	var r *row
	s.do(func() { r = s.pg.row(incarnation) })
	if r == nil {
		return cur, false, nil
	}
	release, err := s.acquire(ctx, r)
	if err != nil {
		return cur, false, err
	}
	defer release()
	s.mu.Lock()
	defer s.mu.Unlock()
	return r.cursor, true, nil
}

func (s store) Begin(ctx context.Context, incarnation string, start uint64, last message.Cursor) (message.Cursor, error) {
	if err := s.reach(ctx); err != nil {
		return message.Cursor{}, err
	}
	var unique *row
	s.do(func() { unique = s.pg.unique })
	err := s.transact(ctx, unique, func() error { return nil }, func() {
		if s.pg.row(incarnation) != nil {
			return // another node was first
		}
		if !slices.ContainsFunc(s.pg.rows, func(r *row) bool { return r.cursor.Seq >= start-1 }) {
			// Postgres was restored between the look for the last common
			// message and now: what it had is not there any more.
			s.letGo(s.stream.held[:s.stream.index(start)])
		}
		s.pg.nextID++
		r := newRow()
		r.start = start
		r.cursor = message.Cursor{StreamID: s.pg.nextID, Incarnation: incarnation, Seq: last.Seq, Last: last.Last}
		if last.Seq >= start {
			r.gaps = append(r.gaps, span{start, last.Seq})
		}
		s.pg.rows = append(s.pg.rows, r)
	})
	if err != nil {
		return message.Cursor{}, err
	}
	cur, found, err := s.Find(ctx, incarnation)
	if err == nil && !found {
		err = message.ErrMoved
	}
	return cur, err
}

// Encode makes a line of JSON.
func (s store) Encode(dst []byte, m *message.Message) []byte {
	line, err := json.Marshal(record{m.Seq, m.Subject, m.ID(), m.Data, m.Time.Truncate(time.Microsecond)})
	if err != nil {
		return fmt.Appendf(dst, "%v\n", err)
	}
	return append(append(dst, line...), '\n')
}

func (s store) Write(ctx context.Context, cur message.Cursor, b *message.Batch) (message.Outcome, error) {
	if err := s.reach(ctx); err != nil {
		return message.Outcome{}, err
	}
	r, most := s.find(cur)
	if r == nil {
		return message.Outcome{}, message.ErrMoved
	}
	if most > 0 && len(b.Messages) > most {
		return message.Outcome{}, fmt.Errorf("copy: %w", message.ErrTooSlow)
	}
	var records []record
	for line := range strings.Lines(string(b.Rows)) {
		var r record
		if err := json.Unmarshal([]byte(line), &r); err != nil {
			return message.Outcome{}, fmt.Errorf("%w: row %q", errImpossible, line)
		}
		records = append(records, r)
	}
	last := &b.Messages[len(b.Messages)-1]
	next := message.Cursor{StreamID: cur.StreamID, Incarnation: cur.Incarnation, Seq: last.Seq, Last: last.Fingerprint()}
	err := s.transact(ctx, r, func() error { return s.allows(r, cur, b, records) }, func() {
		for _, rec := range records {
			r.stored[rec.Seq] = rec
			s.pg.stored[string(rec.Body)] = true
		}
		r.cursor = next
	})
	return message.Outcome{Cursor: next, Rows: len(records)}, err
}

// allows is the fence, the primary key, and a look at the batch; in do.
func (s store) allows(r *row, cur message.Cursor, b *message.Batch, records []record) error {
	if r.cursor.Seq != cur.Seq {
		return message.ErrMoved
	}
	size := 0
	for i, rec := range records {
		if _, there := r.stored[rec.Seq]; there {
			return &message.SetupError{Reason: fmt.Sprintf("row %d is already there", rec.Seq)}
		}
		if want := cur.Seq + 1 + uint64(i); rec.Seq != want || b.Messages[i].Seq != want {
			s.node.world.wrong = append(s.node.world.wrong, fmt.Sprintf("a batch behind %d has row %d and message %d where %d belongs", cur.Seq, rec.Seq, b.Messages[i].Seq, want))
		}
		size += b.Messages[i].Size()
	}
	if len(records) != len(b.Messages) || size != b.Size {
		s.node.world.wrong = append(s.node.world.wrong, fmt.Sprintf("a batch of %d messages, %d bytes, has %d rows and size %d", len(b.Messages), size, len(records), b.Size))
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
	return r, s.pg.most
}

func (s store) RecordGap(ctx context.Context, cur message.Cursor, to uint64) (message.Cursor, error) {
	if err := s.reach(ctx); err != nil {
		return message.Cursor{}, err
	}
	r, _ := s.find(cur)
	if r == nil {
		return message.Cursor{}, message.ErrMoved
	}
	next := message.Cursor{StreamID: cur.StreamID, Incarnation: cur.Incarnation, Seq: to}
	return next, s.transact(ctx, r, func() error {
		if r.cursor.Seq != cur.Seq {
			return message.ErrMoved
		}
		return nil
	}, func() {
		r.gaps = append(r.gaps, span{cur.Seq + 1, to})
		r.cursor = next
	})
}

func (s store) Read(ctx context.Context, cur message.Cursor) (uint64, error) {
	if err := s.reach(ctx); err != nil {
		return 0, err
	}
	r, _ := s.find(cur)
	if r == nil {
		return 0, message.ErrMoved
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return r.cursor.Seq, nil
}

func (s store) Newest(ctx context.Context) (cur message.Cursor, found bool, err error) {
	if err := s.reach(ctx); err != nil {
		return cur, false, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, r := range s.pg.rows {
		if r.cursor.StreamID > cur.StreamID {
			cur, found = r.cursor, true
		}
	}
	return cur, found, nil
}

func (s store) RowAtOrBelow(ctx context.Context, seq uint64) (at uint64, f message.Fingerprint, found bool, err error) {
	if err := s.reach(ctx); err != nil {
		return 0, f, false, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, r := range s.pg.rows {
		for _, rec := range r.stored {
			if rec.Seq <= seq && rec.Seq > at && s.pg.lastWord(rec.Seq) == r {
				at, f, found = rec.Seq, message.Fingerprint{Time: rec.Time, ID: rec.ID}, true
			}
		}
	}
	return at, f, found, nil
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
	if err := s.reach(ctx); err != nil {
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
	var seq, expired uint64
	s.do(func() {
		seq = r.cursor.Seq
		r.marks = append(r.marks, mark{seq, time.Now()})
		for _, m := range r.marks {
			if time.Since(m.at) >= window && m.seq <= seq {
				expired = max(expired, m.seq)
			}
		}
	})
	return trim(ctx, seq, expired)
}
