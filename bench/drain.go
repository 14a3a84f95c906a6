package main

import (
	"context"
	"fmt"
	"time"

	"landfall/drill"
)

func measureDrain(ctx context.Context, o *options, p *progress) ([]row, error) {
	s, err := startStage(ctx, o, drill.Options{})
	if err != nil {
		return nil, err
	}
	defer s.close()
	what := fmt.Sprintf("drain, %s x %d B", number(float64(o.messages)), o.size)
	bare := row{Line: what, Unit: "rows/s", Beside: "the best of bare COPY, ready-made binary", Goal: 0.6, Least: true}
	fetch := row{Line: what, Unit: "rows/s", Beside: "fetching the stream alone, nats.go"}
	single := row{Line: what, Unit: "rows/s", Beside: "one INSERT, one ack", Note: "of 2,000 messages"}
	peer := row{Line: what, Unit: "rows/s", Beside: "Redpanda Connect, nats_jetstream to sql_insert", Goal: 6, Least: true}
	connect := findRedpanda()
	for round := range o.rounds {
		drained, err := s.drain(ctx, drill.Stream, "messages.bench", o.messages, o.size)
		if err != nil {
			return nil, fmt.Errorf("round %d: %w", round+1, err)
		}
		best, err := s.bestCopy(ctx)
		if err != nil {
			return nil, fmt.Errorf("round %d: COPY: %w", round+1, err)
		}
		fetched, err := s.fetchAlone(ctx, o.messages)
		if err != nil {
			return nil, fmt.Errorf("round %d: fetch: %w", round+1, err)
		}
		one, err := s.insertAndAck(ctx, min(2000, o.messages))
		if err != nil {
			return nil, fmt.Errorf("round %d: one INSERT, one ack: %w", round+1, err)
		}
		p.say("round %d: drain %s rows/s, best COPY %s, fetch %s, one INSERT and one ack %s", round+1, number(drained), number(best), number(fetched), number(one))
		for _, r := range []*row{&bare, &fetch, &single, &peer} {
			r.Subject = append(r.Subject, drained)
		}
		bare.Limit, fetch.Limit, single.Limit = append(bare.Limit, best), append(fetch.Limit, fetched), append(single.Limit, one)
		if connect != "" {
			rate, err := s.redpanda(ctx, connect, o.messages)
			if err != nil {
				return nil, fmt.Errorf("round %d: Redpanda Connect: %w", round+1, err)
			}
			peer.Limit = append(peer.Limit, rate)
		}
	}
	rows := []row{bare, fetch, single}
	if connect == "" {
		p.say("redpanda-connect is not on PATH: left out")
		return rows, nil
	}
	return append(rows, peer), nil
}

// drain builds a backlog while the cursors are locked, lets go of them, and
// returns how many rows a second came from the first commit to the last.
func (s *stage) drain(ctx context.Context, stream, subject string, n, size int) (float64, error) {
	if _, err := s.db.Exec(ctx, "TRUNCATE public.messages"); err != nil {
		return 0, err
	}
	return s.drainInto(ctx, stream, func() error {
		_, err := s.publishAsync(ctx, subject, n, size)
		return err
	})
}

// drainInto is drain of whatever fill publishes, into tables as they are.
func (s *stage) drainInto(ctx context.Context, stream string, fill func() error) (float64, error) {
	base, _, err := s.watch.Cursor(ctx, stream)
	if err != nil {
		return 0, err
	}
	tx, err := s.db.Begin(ctx)
	if err != nil {
		return 0, err
	}
	defer func() { _ = tx.Rollback(context.WithoutCancel(ctx)) }()
	if _, err := tx.Exec(ctx, "LOCK TABLE landfall.streams IN EXCLUSIVE MODE"); err != nil { // reading stays possible
		return 0, err
	}
	if err := fill(); err != nil {
		return 0, err
	}
	end, err := s.lastSeq(ctx, stream)
	if err != nil {
		return 0, err
	}
	if err := tx.Commit(ctx); err != nil {
		return 0, err
	}
	first, began, err := s.firstMove(ctx, stream, base)
	if err != nil {
		return 0, err
	}
	if err := s.watch.AwaitCursor(ctx, stream, end, upWithin); err != nil {
		return 0, err
	}
	return float64(end-first) / time.Since(began).Seconds(), nil
}

// firstMove waits for the first commit behind base.
func (s *stage) firstMove(ctx context.Context, stream string, base uint64) (uint64, time.Time, error) {
	for deadline := time.Now().Add(upWithin); time.Now().Before(deadline) && ctx.Err() == nil; {
		if at, _, err := s.watch.Cursor(ctx, stream); err == nil && at > base {
			return at, time.Now(), nil
		}
	}
	return 0, time.Time{}, fmt.Errorf("nothing was stored within %s", upWithin)
}
