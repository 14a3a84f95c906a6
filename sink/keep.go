package sink

import (
	"context"
	"errors"
	"time"

	"landfall/message"
)

// Old rows are deleted a few at a time, with pauses as long as that takes: so
// that Postgres has more time for the batches than for them, and keeps up all
// the same with whatever was stored a while ago. A COMMIT alone may take long
// where the disk is busy, and is no reason for smaller bites.
const (
	sweepQuick = 50 * time.Millisecond  // more rows at a time
	sweepSlow  = 500 * time.Millisecond // fewer
	sweepFirst = 500                    // rows, before it is known how long they take
	sweepLeast = 200
	sweepMost  = 5000
	sweepPause = 10 * time.Millisecond // at least

	sweepPatience = 5 * time.Minute // for trouble that may pass
)

// sweeping is what the deleting of old rows remembers from one session to the
// next.
type sweeping struct {
	last    time.Time // when a sweep began
	rows    int       // to delete at a time
	failing time.Time // since when it fails; zero: it does not
	said    bool      // and the log knows
}

// sweepEvery is how often old rows are looked for.
func sweepEvery(keep time.Duration) time.Duration {
	return min(max(keep/20, time.Second), time.Minute)
}

// sweepRows is how many rows to delete next, when so many took so long.
func sweepRows(rows int, took time.Duration) int {
	switch {
	case took > sweepSlow:
		rows /= 2
	case took < sweepQuick:
		rows *= 2
	}
	return min(max(rows, sweepLeast), sweepMost)
}

// sweep deletes old rows, beside the batches, as long as the session lasts.
func (s *Sink) sweep(ctx context.Context) {
	if s.sweeping.rows == 0 {
		s.sweeping.rows = sweepFirst
	}
	for {
		wait(ctx, time.Until(s.sweeping.last.Add(sweepEvery(s.Keep))))
		if ctx.Err() != nil {
			return
		}
		s.sweeping.last = time.Now()
		rows, err := s.sweepOnce(ctx)
		if rows > 0 {
			s.Log.Info("old rows were deleted", "rows", rows, "older_than", s.Keep, "took", time.Since(s.sweeping.last).Round(time.Millisecond))
		}
		s.swept(ctx, err)
	}
}

// sweepOnce deletes the rows that are old now.
func (s *Sink) sweepOnce(ctx context.Context) (rows int, err error) {
	st, err := s.Source.State(ctx)
	for more := err == nil; more; {
		var n int
		began := time.Now()
		n, more, err = s.Store.Expire(ctx, st.First, s.sweeping.rows)
		if err != nil {
			return rows, err
		}
		took := time.Since(began)
		s.sweeping.rows = sweepRows(s.sweeping.rows, took)
		rows += n
		if n > 0 {
			s.Observer.Expired(n)
		}
		if more {
			wait(ctx, max(took, sweepPause))
		}
	}
	return rows, err
}

// swept tells the log that old rows stay: once, and not for a moment's
// trouble.
func (s *Sink) swept(ctx context.Context, err error) {
	w := &s.sweeping
	if err == nil || ctx.Err() != nil {
		if err == nil {
			w.failing, w.said = time.Time{}, false
		}
		return
	}
	if errors.Is(err, message.ErrTooSlow) {
		w.rows = max(w.rows/4, 1)
	}
	if w.failing.IsZero() {
		w.failing = time.Now()
	}
	var setup *message.SetupError
	if w.said || !errors.As(err, &setup) && time.Since(w.failing) < sweepPatience {
		s.Log.Debug("could not delete old rows", "error", err)
		return
	}
	w.said = true
	s.Log.Warn("old rows cannot be deleted, and the messages table grows", "error", err)
}
