package sink

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"golang.org/x/sync/errgroup"

	"landfall/message"
)

// errNotLeading ends a session whose node no longer leads the consumer.
var errNotLeading = errors.New("this node no longer leads the consumer")

// errStalled ends a session whose consumer does not deliver what is there.
var errStalled = errors.New("the consumer does not deliver")

// session is one activation: from reading the cursor to the first thing that
// makes it worth reading again. ctx ends it between two batches; work is what
// a batch in hand may go on under.
func (s *Sink) session(ctx, work context.Context) error {
	if err := s.Store.Prepare(ctx); err != nil {
		return err
	}
	cur, err := s.place(ctx)
	if err != nil {
		return err
	}
	if cur, err = s.mend(ctx, work, cur); err != nil {
		return err
	}
	pull, err := s.Source.Open(ctx, cur.Seq+1)
	if err != nil {
		return err
	}
	defer pull.Close()
	s.outage.activated(s.Log, cur.Seq)
	s.Observer.Active(cur)

	buf := newBuffer(s.Store.Encode, cur.Seq+1, s.limit.now)
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var g errgroup.Group
	g.Go(func() error {
		buf.fail(fill(ctx, pull, buf))
		return nil
	})
	if s.Keep > 0 {
		g.Go(func() error {
			s.sweep(ctx)
			return nil
		})
	}
	err = s.drain(ctx, work, cur, buf)
	s.aside.tellAll(s.Log)
	cancel()
	_ = g.Wait()
	return err
}

// fill moves messages from the pull to the buffer until something is wrong.
func fill(ctx context.Context, pull Pull, buf *buffer) error {
	for {
		ms, err := pull.Recv(ctx)
		if err != nil {
			return err
		}
		if err := buf.put(ctx, ms); err != nil {
			return err
		}
	}
}

// drain writes what the buffer holds, as often as there is something: while
// one batch commits, the next one fills.
func (s *Sink) drain(ctx, work context.Context, cur message.Cursor, buf *buffer) error {
	housekeeping := newSchedule(s.Stream.ReplayWindow)
	spare := &message.Batch{}
	for {
		if !s.Source.Leads() {
			return errNotLeading
		}
		b, err := buf.take(ctx, spare, idlePoll)
		if err != nil {
			return err
		}
		if b == nil {
			idle, err := s.stillThere(ctx, cur)
			if err != nil {
				return err
			}
			s.answered()
			if idle {
				s.progress.idle()
			} else {
				s.progress.busy()
			}
		} else {
			s.progress.busy()
			s.progress.begun()
			began := time.Now()
			out, err := s.Store.Write(work, cur, b)
			if err != nil {
				s.progress.broken()
				return err
			}
			s.committed(b, out, time.Since(began))
			s.progress.moved()
			housekeeping.came += b.Size
			cur, spare = out.Cursor, b
			spare.Reset()
			buf.allow(s.limit.grow())
		}
		if err := s.tidy(ctx, cur, housekeeping); errors.Is(err, message.ErrMoved) {
			return err
		} else if err != nil {
			housekeeping.failed(s.Log, err)
		}
	}
}

// committed tells everybody concerned that a batch is in Postgres.
func (s *Sink) committed(b *message.Batch, out message.Outcome, took time.Duration) {
	s.aside.add(out)
	s.answered()
	s.Observer.Committed(b, out, took)
	if !s.Log.Enabled(context.Background(), slog.LevelDebug) {
		return
	}
	for i := range b.Messages {
		m := &b.Messages[i]
		s.Log.Debug("in Postgres", "sequence", m.Seq, "id", m.ID(), "subject", m.Subject)
	}
}

// stillThere rereads the cursor where nothing is delivered: a Postgres restored
// from a backup has gone back without any write having failed. It tells whether
// there is nothing to deliver.
func (s *Sink) stillThere(ctx context.Context, cur message.Cursor) (idle bool, err error) {
	at, err := s.Store.Read(ctx, cur)
	if err != nil {
		return false, err
	}
	if at != cur.Seq {
		return false, message.ErrMoved
	}
	missed, err := s.missed(ctx, cur)
	return !missed, err
}

// schedule is when an active sink last did its housekeeping.
type schedule struct {
	every  time.Duration // between looks at what the replay window lets go
	window time.Time     // last such look
	room   time.Time     // last look at the stream's size
	came   int           // bytes stored since then
	limit  int64         // max_bytes of the stream, as seen then

	failing time.Time // since when trimming fails; zero: it does not
	said    bool      // and the log knows
}

func newSchedule(window time.Duration) *schedule {
	return &schedule{every: min(max(window/20, time.Second), time.Minute)}
}
