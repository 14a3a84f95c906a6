package sink

import (
	"context"
	"fmt"

	"landfall/message"
)

// verdict is what the stream's state and Postgres' cursor say of each other.
type verdict int

const (
	resume verdict = iota // the cursor belongs to this stream: go on behind it
	begin                 // Postgres does not know this incarnation
	cut                   // the stream's tail was lost: it ends before the cursor, or has another message there
)

// judge compares a stream with the cursor that Postgres has for its
// incarnation. at is the stream's message at the cursor, nil if the stream
// does not hold it any more. Where the cursor has no fingerprint, behind a gap,
// the stream held nothing: a message there has come since.
func judge(st message.Stream, cur message.Cursor, found bool, at *message.Message) verdict {
	switch {
	case !found:
		return begin
	case cur.Seq > st.Last:
		return cut
	case at != nil && !at.Fingerprint().Equal(cur.Last):
		return cut
	}
	return resume
}

// place finds where to start, entering the stream into Postgres if need be.
func (s *Sink) place(ctx context.Context) (message.Cursor, error) {
	cur, v, st, err := s.compare(ctx, s.Source.State)
	if err != nil {
		return cur, err
	}
	if v == cut {
		// A stale leader may have told this: ask behind a quorum.
		if cur, v, st, err = s.compare(ctx, s.Source.ConfirmedState); err != nil {
			return cur, err
		}
	}
	switch v {
	case resume:
		return cur, nil
	case begin:
		cur, err = s.enter(ctx, st)
	case cut:
		err = s.startOver(ctx, st, cur)
	}
	if err != nil {
		return cur, err
	}
	return s.place(ctx) // the stream may have changed again while Postgres took its time
}

// compare reads both sides and judges. The stream is asked again after the
// cursor was read: another node's sink may have stored messages in between
// that an earlier answer did not know of yet.
func (s *Sink) compare(ctx context.Context, state func(context.Context) (message.Stream, error)) (cur message.Cursor, v verdict, st message.Stream, err error) {
	before, err := s.Source.State(ctx)
	if err != nil {
		return cur, v, st, fmt.Errorf("read the stream's state: %w", err)
	}
	cur, found, err := s.Store.Find(ctx, before.Incarnation)
	if err != nil {
		return cur, v, st, err
	}
	if st, err = state(ctx); err != nil {
		return cur, v, st, fmt.Errorf("read the stream's state: %w", err)
	}
	if st.Incarnation != before.Incarnation {
		return cur, v, st, message.ErrMoved
	}
	var at *message.Message
	if found && cur.Seq > 0 && cur.Seq <= st.Last {
		if at, err = s.heldAt(ctx, cur.Seq); err != nil {
			return cur, v, st, err
		}
	}
	return cur, judge(st, cur, found, at), st, nil
}

// heldAt returns the stream's message at seq, nil if it holds none there.
func (s *Sink) heldAt(ctx context.Context, seq uint64) (*message.Message, error) {
	m, found, err := s.Source.Nearest(ctx, seq)
	if err != nil {
		return nil, fmt.Errorf("read message %d of the stream: %w", seq, err)
	}
	if !found || m.Seq != seq {
		return nil, nil
	}
	return &m, nil
}

// enter begins an incarnation that Postgres does not know, behind what it has
// in common with those that Postgres does know: nothing, if the stream was
// made anew; all up to the cut, if it lost its tail. What the stream no longer
// holds, and Postgres does not have, is a gap.
func (s *Sink) enter(ctx context.Context, st message.Stream) (message.Cursor, error) {
	newest, err := s.Store.Newest(ctx)
	if err != nil {
		return newest, err
	}
	common, err := s.lastCommon(ctx, st, newest.Seq)
	if err != nil {
		return common, err
	}
	start, last := common.Seq+1, common
	if held := max(st.First, 1); held > start {
		last = message.Cursor{Seq: held - 1}
		s.Log.Error("the oldest messages of a stream that is new to Postgres are gone: recorded as a gap", "from", start, "to", held-1)
	}
	if newest.StreamID != 0 {
		s.Log.Warn("the stream goes on under a new incarnation; Postgres keeps what it has of the ones before",
			"incarnation", st.Incarnation, "postgres_had", newest.Seq, "last_common", common.Seq)
	}
	cur, err := s.Store.Begin(ctx, newest, st.Incarnation, start, last)
	if err == nil && last.Seq >= start {
		s.Observer.Gap(start, last.Seq)
	}
	return cur, err
}

// startOver gives a stream whose tail was lost a new incarnation: numbers
// behind the cut are given out twice, and the rows of both are right. Where
// the new one starts is found when it is entered, so that nothing is lost if
// this process dies in between.
func (s *Sink) startOver(ctx context.Context, st message.Stream, cur message.Cursor) error {
	incarnation, err := s.Source.Reincarnate(ctx, st.Incarnation)
	if err != nil {
		return fmt.Errorf("give the stream a new incarnation: %w", err)
	}
	s.Log.Error("the stream's tail was lost, and its numbers are given out again",
		"postgres_had", cur.Seq, "stream_ends", st.Last, "old_incarnation", st.Incarnation, "incarnation", incarnation)
	return nil
}

// lastCommon finds the last message that stands both in the stream and, at or
// below had, in Postgres. Up to it they agree and behind it they do not, so
// halving finds it. Where nothing can be compared nothing is assumed: storing
// a message under the new incarnation again is better than skipping it. What
// the stream has let go, it had stored before.
func (s *Sink) lastCommon(ctx context.Context, st message.Stream, had uint64) (message.Cursor, error) {
	common := message.Cursor{Seq: min(had, max(st.First, 1)-1)}
	lo, hi := common.Seq, min(had, st.Last)
	for lo < hi {
		mid := lo + (hi-lo+1)/2
		at, row, found, err := s.Store.RowAtOrBelow(ctx, mid)
		if err != nil {
			return common, err
		}
		if !found || at <= lo {
			lo = mid // no row in this half
			continue
		}
		m, held, err := s.Source.Nearest(ctx, at)
		// A hole at at: compare at the first message behind it that is a row.
		for err == nil && held && m.Seq > at && m.Seq <= hi {
			next := m.Seq
			if at, row, found, err = s.Store.RowAtOrBelow(ctx, next); err != nil {
				return common, err
			}
			if !found {
				return common, message.ErrMoved // Postgres was restored meanwhile
			}
			if at < next { // a duplicate is none
				m, held, err = s.Source.Nearest(ctx, next+1)
			}
		}
		if err != nil {
			return common, fmt.Errorf("compare the stream with what Postgres has of it: %w", err)
		}
		if held && m.Seq == at && row.Of(&m) {
			common = message.Cursor{Seq: at, Last: m.Fingerprint()}
			lo = max(mid, at)
		} else {
			hi = min(at, mid) - 1
		}
	}
	return common, nil
}
