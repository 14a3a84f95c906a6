package sink

import (
	"context"

	"landfall/message"
)

// mend closes a hole that was still there after a reset: it asks every
// replica for the missing messages, stores what any of them has, and records
// the rest as a gap. cur is returned as it is if the hole is not at it.
func (s *Sink) mend(ctx, work context.Context, cur message.Cursor) (message.Cursor, error) {
	if s.hole == 0 || s.hole != cur.Seq+1 {
		return cur, nil
	}
	m, found, err := s.Source.Nearest(ctx, s.hole)
	if err != nil || !found {
		return cur, err
	}
	if m.Seq == s.hole {
		s.Log.Warn("a message missing here was found on another replica", "sequence", m.Seq)
		return s.storeOne(work, cur, &m)
	}
	return s.gap(work, cur, m.Seq-1)
}

// storeOne writes a message that did not come through the pull. The hole
// moves on: the messages behind it are often missing as well.
func (s *Sink) storeOne(work context.Context, cur message.Cursor, m *message.Message) (message.Cursor, error) {
	b := &message.Batch{Messages: []message.Message{*m}, Rows: s.Store.Encode(nil, m), Size: m.Size()}
	out, err := s.Store.Write(work, cur, b)
	if err != nil {
		return cur, err
	}
	s.hole = m.Seq + 1
	s.committed(out)
	return out.Cursor, nil
}

// gap records that the messages behind cur up to to are gone.
func (s *Sink) gap(work context.Context, cur message.Cursor, to uint64) (message.Cursor, error) {
	s.Log.Error("messages are gone from every replica: recorded as a gap", "from", cur.Seq+1, "to", to)
	s.hole = 0
	return s.Store.RecordGap(work, cur, to)
}

// missed looks whether an idle stream holds more than was delivered: either
// the consumer has stalled, or the stream ends in messages that nobody holds,
// a hole that no later message will ever show. If it holds less, its tail was
// lost under this session's feet.
func (s *Sink) missed(ctx context.Context, cur message.Cursor) error {
	st, err := s.Source.State(ctx)
	if err != nil || st.Last == cur.Seq {
		return err
	}
	if st, err = s.Source.ConfirmedState(ctx); err != nil || st.Last == cur.Seq {
		return err
	}
	if st.Last < cur.Seq {
		return message.ErrMoved // the stream's tail was lost: start over
	}
	_, found, err := s.Source.Nearest(ctx, cur.Seq+1)
	if err != nil {
		return err
	}
	if found {
		if s.hole == cur.Seq+1 {
			return errStalled
		}
		s.hole = cur.Seq + 1 // it may be on its way: look once more
		return nil
	}
	if _, err := s.gap(ctx, cur, st.Last); err != nil {
		return err
	}
	return message.ErrMoved
}
