package sink

import (
	"context"
	"errors"
	"time"

	"landfall/message"
)

// acceptPoll is how often a stream whose messages all fail alike looks whether
// somebody has said that it is the data. Trying to store them would tell too,
// but makes Postgres write and forget a batch each time.
const acceptPoll = time.Second

// rest waits before the next session, after one that ended with err: for d,
// or until a person has said what the stream waits for.
func (s *Sink) rest(ctx context.Context, d time.Duration, err error) {
	var setup *message.SetupError
	if !errors.As(err, &setup) || !setup.Alike || d < acceptPoll {
		wait(ctx, d)
		return
	}
	until := time.Now().Add(d)
	before, failed := s.Store.Accepted(ctx)
	for ctx.Err() == nil {
		left := time.Until(until)
		if left <= 0 {
			return
		}
		wait(ctx, min(left, acceptPoll))
		now, err := s.Store.Accepted(ctx)
		if err == nil && failed == nil && now != before {
			return
		}
	}
}
