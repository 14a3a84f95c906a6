package sink

import (
	"context"
	"time"

	"landfall/message"
)

// hole is what the sink knows of a sequence that was skipped.
type hole struct {
	missing uint64 // 0: none
	came    uint64 // what was delivered in its place; 0: nothing was
	stays   bool   // it was there again after a reset

	// Where nothing was delivered, the sequence behind the messages that were
	// fetched last, and how many those were.
	behind uint64
	run    int
}

// seen notes a hole, and whether it is the one of the session before.
func (h *hole) seen(missing, came uint64) {
	h.missing, h.came, h.stays = missing, came, h.missing == missing
}

// fetch is how many messages to fetch one by one where nothing is delivered,
// before the consumer is tried again: one, because it may merely have stalled
// in front of many; twice as many each time nothing comes behind them either,
// because the local replica has lost all of these.
func (h *hole) fetch() int {
	if h.missing == h.behind {
		return 2 * h.run
	}
	return 1
}

// mend closes a hole that was still there after a reset: it asks every
// replica for the missing messages, stores what any of them has, and records
// the rest as a gap.
func (s *Sink) mend(ctx, work context.Context, cur message.Cursor) (message.Cursor, error) {
	most := s.hole.fetch()
	for n := 1; s.hole.stays && s.hole.missing == cur.Seq+1 && ctx.Err() == nil; n++ {
		m, found, err := s.Source.Nearest(ctx, s.hole.missing)
		if err != nil {
			return cur, err
		}
		if !found {
			s.hole = hole{}
			break
		}
		if m.Seq == s.hole.missing {
			s.Log.Warn("a message that was not delivered here is fetched on its own", "sequence", m.Seq)
			cur, err = s.storeOne(work, cur, &m)
		} else {
			cur, err = s.gap(work, cur, m.Seq-1)
		}
		if err != nil {
			return cur, err
		}
		s.hole.missing = cur.Seq + 1
		switch {
		case s.hole.came == 0 && n >= most:
			s.hole = hole{behind: cur.Seq + 1, run: n}
		case s.hole.came > 0 && s.hole.missing >= s.hole.came:
			s.hole = hole{}
		}
	}
	return cur, nil
}

// storeOne writes a message that did not come through the pull. That is no
// movement: where only such messages are stored, this node's replica is behind,
// and another node does better.
func (s *Sink) storeOne(work context.Context, cur message.Cursor, m *message.Message) (message.Cursor, error) {
	b := &message.Batch{Messages: []message.Message{*m}, Rows: s.Store.Encode(nil, m), Size: m.Size()}
	began := time.Now()
	out, err := s.Store.Write(work, cur, b)
	if err != nil {
		return cur, err
	}
	s.committed(b, out, time.Since(began))
	return out.Cursor, nil
}

// gap records that the messages behind cur up to to are gone.
func (s *Sink) gap(work context.Context, cur message.Cursor, to uint64) (message.Cursor, error) {
	s.Log.Error("messages are gone from every replica: recorded as a gap", "from", cur.Seq+1, "to", to)
	next, err := s.Store.RecordGap(work, cur, to)
	if err == nil {
		s.Observer.Gap(cur.Seq+1, to)
	}
	return next, err
}

// missed looks whether an idle stream holds more than was delivered: either
// the consumer has stalled, or the stream ends in messages that nobody holds,
// a hole that no later message will ever show. If it holds less, its tail was
// lost under this session's feet.
func (s *Sink) missed(ctx context.Context, cur message.Cursor) (bool, error) {
	st, err := s.Source.State(ctx)
	if err != nil || st.Last == cur.Seq {
		return false, err
	}
	if st, err = s.Source.ConfirmedState(ctx); err != nil || st.Last == cur.Seq {
		return false, err
	}
	if st.Last < cur.Seq {
		return true, message.ErrMoved // the stream's tail was lost: start over
	}
	_, found, err := s.Source.Nearest(ctx, cur.Seq+1)
	if err != nil {
		return true, err
	}
	if found {
		s.hole.seen(cur.Seq+1, 0)
		if s.hole.stays {
			return true, errStalled
		}
		return true, nil // it may be on its way: look once more
	}
	if _, err := s.gap(ctx, cur, st.Last); err != nil {
		return true, err
	}
	return true, message.ErrMoved
}
