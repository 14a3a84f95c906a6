package sink

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"landfall/message"
)

// A stream that passes highWater of its max_bytes loses its oldest stored
// messages until it is below lowWater.
const (
	highWater = 0.80
	lowWater  = 0.70
	roomPoll  = 250 * time.Millisecond // how often its size is looked at,
	roomStep  = 0.04                   // or when so much of max_bytes was stored since

	trimPatience = time.Minute // for trouble that may pass
)

// trimTo decides below which sequence the stream may let go: what has been
// stored for longer than the replay window, and more if room is short. It
// never reaches the message at the cursor, whose fingerprint is needed, and
// returns 0 for "nothing": a purge "up to 0" would take everything.
func trimTo(st message.Stream, cursor, expired uint64) uint64 {
	to := expired
	if over := float64(st.Bytes) - lowWater*float64(st.MaxBytes); crowded(st) && over > 0 {
		average := float64(st.Bytes) / float64(st.Messages)
		to = max(to, st.First+uint64(over/average)+1)
	}
	to = min(to, cursor)
	if to <= 1 || to <= st.First {
		return 0
	}
	return to
}

// crowded tells whether the stream is past its high-water mark.
func crowded(st message.Stream) bool {
	return st.MaxBytes > 0 && st.Messages > 0 && float64(st.Bytes) > highWater*float64(st.MaxBytes)
}

// tidy trims the stream if it is time to look at the replay window, or if
// the stream has run out of room since the last look.
func (s *Sink) tidy(ctx context.Context, cur message.Cursor, due *schedule) error {
	now := time.Now()
	window := now.Sub(due.window) >= due.every
	if !window && !due.look(now) {
		return nil
	}
	due.room, due.came = now, 0
	st, err := s.Source.State(ctx)
	if err != nil {
		return fmt.Errorf("read the stream's state: %w", err)
	}
	if st.Incarnation != cur.Incarnation {
		return message.ErrMoved // made anew: what it holds is not what was stored
	}
	due.limit = st.MaxBytes
	if !window && !crowded(st) {
		return nil
	}
	due.window = now
	err = s.Store.Trim(ctx, cur, s.Stream.ReplayWindow, func(ctx context.Context, cursor, expired uint64) error {
		// Asked again, as late as can be: while Postgres took its time the
		// stream may have been made anew, or have lost its tail and given its
		// numbers out again, to messages that nobody has stored.
		st, err := s.Source.State(ctx)
		if err != nil {
			return fmt.Errorf("read the stream's state: %w", err)
		}
		if cur.Seq == 0 || st.Last < cursor {
			return nil // the latter is old news or a lost tail: the next idle look tells
		}
		at, err := s.heldAt(ctx, cur.Seq)
		if err != nil {
			return err
		}
		if st.Incarnation != cur.Incarnation || cursor != cur.Seq || judge(st, cur, true, at) == cut {
			return message.ErrMoved
		}
		to := trimTo(st, cursor, expired)
		if to == 0 {
			return nil
		}
		s.Log.Debug("trimming the stream", "below", to, "first", st.First, "cursor", cursor)
		if err := s.Source.Purge(ctx, to); err != nil {
			return fmt.Errorf("purge below %d: %w", to, err)
		}
		return nil
	})
	if err == nil {
		due.failing, due.said = time.Time{}, false
	}
	return err
}

// look tells whether to look at the stream's size: a small stream under a fast
// publisher is full before a time has passed that is short for a large one.
func (due *schedule) look(now time.Time) bool {
	return now.Sub(due.room) >= roomPoll || due.limit > 0 && float64(due.came) > roomStep*float64(due.limit)
}

// failed tells the log that the stream is not trimmed: once, and not for a
// moment's trouble, because a stream that never is fills up in the end.
func (due *schedule) failed(log *slog.Logger, err error) {
	if due.failing.IsZero() {
		due.failing = time.Now()
	}
	var setup *message.SetupError
	if due.said || !errors.As(err, &setup) && time.Since(due.failing) < trimPatience {
		log.Debug("could not trim the stream", "error", err)
		return
	}
	due.said = true
	log.Warn("the stream cannot be trimmed, and will be full one day", "error", err)
}
