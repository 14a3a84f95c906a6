package store

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sync/errgroup"

	"landfall/message"
	"landfall/pgserver/pgtest"
)

// Postgres crashes again and again under two sinks that know nothing but the
// cursor: each message is stored once, in order.
func TestPostgresCrashes(t *testing.T) {
	t.Parallel()
	server := pgtest.Server(t)
	d := migrated(t, server.URL())
	const crashes, between = 3, 80 // batches between two crashes
	first, start := d.stream()
	var batches atomic.Int64
	enough := make(chan struct{})
	g, ctx := errgroup.WithContext(t.Context())
	for _, s := range []*Stream{first, d.node("n2").Stream("S")} {
		g.Go(func() error { return keepWriting(ctx, s, start.Incarnation, &batches, enough) })
	}
	g.Go(func() error {
		defer close(enough)
		for i := range crashes {
			if !reached(ctx, &batches, int64(between*(i+1))) {
				return errors.New("the sinks make no progress")
			}
			if err := server.Kill(); err != nil {
				return err
			}
			if err := server.Restart(ctx); err != nil {
				return err
			}
		}
		if !reached(ctx, &batches, between*(crashes+1)) {
			return errors.New("the sinks make no progress")
		}
		return nil
	})
	if err := g.Wait(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the test's own sessions are back", func() bool { return d.pool.Ping(t.Context()) == nil })
	w := d.world(start.StreamID)
	t.Log("messages", w.Cursor, "duplicates", len(w.Duplicates), "dead letters", len(w.Dead))
	for seq, m := range w.Rows {
		if diff := cmp.Diff(asStored(at(seq)), m); diff != "" {
			t.Error(diff)
		}
	}
}

// at is message seq of a stream with some of everything: every 50th message
// repeats the one before, every 70th cannot be stored.
func at(seq uint64) message.Message {
	m := ordinary(seq)
	switch {
	case seq%50 == 0:
		before := ordinary(seq - 1)
		m.Header, m.Subject, m.Data = before.Header, before.Subject, before.Data
	case seq%70 == 0:
		m.Subject = "\xff"
	}
	return m
}

// keepWriting is a sink: it asks where Postgres stands, goes on from there
// until something is wrong, and asks again.
func keepWriting(ctx context.Context, s *Stream, incarnation string, batches *atomic.Int64, enough <-chan struct{}) error {
	var cur message.Cursor
	known := false
	for {
		select {
		case <-enough:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		default:
		}
		if !known {
			var err error
			cur, known, err = s.Find(ctx, incarnation)
			if err = trouble(err); err != nil {
				return err
			}
			continue
		}
		ms := make([]message.Message, 1+cur.Seq%17)
		for i := range ms {
			ms[i] = at(cur.Seq + 1 + uint64(i))
		}
		out, err := s.Write(ctx, cur, batchOf(s, ms))
		if err == nil {
			batches.Add(1)
			cur = out.Cursor
		} else if known, err = false, trouble(err); err != nil {
			return err
		}
	}
}

// trouble is what a crash of Postgres must not look like.
func trouble(err error) error {
	var set *message.SetupError
	if errors.As(err, &set) || errors.Is(err, message.ErrTooSlow) {
		return err
	}
	return nil
}

func reached(ctx context.Context, n *atomic.Int64, want int64) bool {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for n.Load() < want {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return false
		}
	}
	return true
}
