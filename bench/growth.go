package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"golang.org/x/sync/errgroup"

	"landfall/drill"
)

// oldCommits is how often the cursor moves in an hour of 14 batches a second.
const oldCommits = 50_000

func measureGrowth(ctx context.Context, o *options, p *progress) ([]row, error) {
	rows, err := measureStreams(ctx, o, p)
	if err != nil {
		return nil, err
	}
	s, err := startStage(ctx, o, drill.Options{})
	if err != nil {
		return nil, err
	}
	defer s.close()
	large := row{Line: "drain into a table of " + number(float64(o.scaled(10_000_000))) + " rows", Unit: "rows/s", Beside: "into an empty one"}
	snapshot := row{Line: "drain beside a snapshot behind which the cursor has moved " + number(float64(o.scaled(oldCommits))) + " times", Unit: "rows/s", Beside: "without one"}
	for range o.rounds {
		empty, err := s.drain(ctx, drill.Stream, "messages.bench", o.messages, o.size)
		if err != nil {
			return nil, err
		}
		large.Limit, snapshot.Limit = append(large.Limit, empty), append(snapshot.Limit, empty)
	}
	if snapshot.Subject, err = s.besideSnapshot(ctx, o); err != nil {
		return nil, err
	}
	p.say("beside an old snapshot %s rows/s, without %s", number(snapshot.Subject.median()), number(snapshot.Limit.median()))
	if large.Subject, err = s.intoLarge(ctx, o); err != nil {
		return nil, err
	}
	p.say("into a large table %s rows/s, into an empty one %s", number(large.Subject.median()), number(large.Limit.median()))
	return append(rows, large, snapshot), nil
}

// measureStreams drains and publishes with several streams at once.
func measureStreams(ctx context.Context, o *options, p *progress) ([]row, error) {
	var rows []row
	var one series
	numbers := []int{1, 2, 4}
	if o.quick {
		numbers = []int{1, 4}
	}
	for _, streams := range numbers {
		s, err := startStage(ctx, o, drill.Options{Streams: moreStreams(streams - 1)})
		if err != nil {
			return nil, err
		}
		published, drained, err := s.severalStreams(ctx, o, streams)
		s.close()
		if err != nil {
			return nil, fmt.Errorf("%d streams: %w", streams, err)
		}
		p.say("streams at once: %d: publish and store %s msg/s, drain %s rows/s", streams, number(published.median()), number(drained.median()))
		together := row{Line: fmt.Sprintf("drain, streams at once: %d", streams), Unit: "rows/s", Subject: drained}
		if streams == 1 {
			one = series{drained.median()}
		} else {
			together.Beside, together.Limit = "one stream, median", one
		}
		rows = append(rows, row{Line: fmt.Sprintf("publish and store, streams at once: %d", streams), Unit: "msg/s", Subject: published}, together)
	}
	return rows, nil
}

// streamNames are the names of so many streams beside the usual one.
func streamNames(n int) []string {
	var names []string
	for i := range n {
		names = append(names, fmt.Sprintf("MORE%d", i+1))
	}
	return names
}

// moreStreams are they in cluster.yaml. All go into the one table.
func moreStreams(n int) []string {
	var lines []string
	for _, name := range streamNames(n) {
		lines = append(lines, fmt.Sprintf("%s: { subjects: [\"%s.>\"], max_bytes: 2GiB }", name, strings.ToLower(name)))
	}
	return lines
}

func (s *stage) severalStreams(ctx context.Context, o *options, streams int) (published, drained series, err error) {
	names := append([]string{drill.Stream}, streamNames(streams-1)...)
	each := o.messages / 2 / streams
	for range o.rounds {
		if _, err := s.db.Exec(ctx, "TRUNCATE public.messages"); err != nil {
			return nil, nil, err
		}
		began := time.Now()
		if err := s.onAll(ctx, names, func(ctx context.Context, name string) error {
			if _, err := s.publishAsync(ctx, strings.ToLower(name)+".bench", each, o.size); err != nil {
				return err
			}
			return s.settle(ctx, name)
		}); err != nil {
			return nil, nil, err
		}
		published = append(published, float64(each*streams)/time.Since(began).Seconds())
		rate, err := s.drainAll(ctx, names, each, o.size)
		if err != nil {
			return nil, nil, err
		}
		drained = append(drained, rate)
	}
	return published, drained, nil
}

func (s *stage) onAll(ctx context.Context, names []string, do func(context.Context, string) error) error {
	g, ctx := errgroup.WithContext(ctx)
	for _, name := range names {
		g.Go(func() error { return do(ctx, name) })
	}
	return g.Wait()
}

// drainAll has all streams drain at once, from the moment that the cursors are
// let go of.
func (s *stage) drainAll(ctx context.Context, names []string, each, size int) (float64, error) {
	if _, err := s.db.Exec(ctx, "TRUNCATE public.messages"); err != nil {
		return 0, err
	}
	var began time.Time
	err := pgx.BeginFunc(ctx, s.db, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, "LOCK TABLE landfall.streams IN EXCLUSIVE MODE"); err != nil {
			return err
		}
		err := s.onAll(ctx, names, func(ctx context.Context, name string) error {
			_, err := s.publishAsync(ctx, strings.ToLower(name)+".bench", each, size)
			return err
		})
		began = time.Now()
		return err
	})
	if err != nil {
		return 0, err
	}
	if err := s.onAll(ctx, names, s.settle); err != nil {
		return 0, err
	}
	return float64(each*len(names)) / time.Since(began).Seconds(), nil
}

// besideSnapshot drains while a transaction stays open that keeps Postgres from
// clearing away the cursor's old versions.
func (s *stage) besideSnapshot(ctx context.Context, o *options) (series, error) {
	old, err := s.db.BeginTx(ctx, pgx.TxOptions{IsoLevel: pgx.RepeatableRead})
	if err != nil {
		return nil, err
	}
	defer func() { _ = old.Rollback(context.WithoutCancel(ctx)) }()
	if _, err := old.Exec(ctx, "SELECT count(*) FROM landfall.streams"); err != nil {
		return nil, err
	}
	if err := s.moveCursor(ctx, o.scaled(oldCommits)); err != nil {
		return nil, err
	}
	var rates series
	for range o.rounds {
		rate, err := s.drainInto(ctx, drill.Stream, func() error {
			_, err := s.publishAsync(ctx, "messages.bench", o.messages, o.size)
			return err
		})
		if err != nil {
			return nil, err
		}
		rates = append(rates, rate)
	}
	return rates, nil
}

// moveCursor leaves old versions of the cursor behind, as the sink's updates
// do: a transaction each, none of them of a column that has an index. Versions
// are what counts, not when they are on disk.
func (s *stage) moveCursor(ctx context.Context, times int) error {
	conn, err := s.db.Acquire(ctx)
	if err != nil {
		return err
	}
	defer conn.Release()
	for _, statement := range []string{
		"SET synchronous_commit = off",
		fmt.Sprintf("DO $$ BEGIN FOR i IN 1 .. %d LOOP UPDATE landfall.streams SET updated_at = clock_timestamp(); COMMIT; END LOOP; END $$", times),
		"RESET synchronous_commit",
	} {
		if _, err := conn.Exec(ctx, statement, pgx.QueryExecModeSimpleProtocol); err != nil {
			return err
		}
	}
	return nil
}

// intoLarge drains into a table that holds many rows, whose ids are spread
// like those of real messages.
func (s *stage) intoLarge(ctx context.Context, o *options) (series, error) {
	_, err := s.db.Exec(ctx, fmt.Sprintf(`INSERT INTO public.messages (stream_id, seq, subject, content, msg_id, published_at)
		SELECT -1, n, 'messages.bench', repeat('x', %d), md5(n::text), now() FROM generate_series(1, %d) AS n`, o.size, o.scaled(10_000_000)))
	if err != nil {
		return nil, err
	}
	if _, err := s.db.Exec(ctx, "CHECKPOINT"); err != nil {
		return nil, err
	}
	var rates series
	for range o.rounds {
		rate, err := s.drainInto(ctx, drill.Stream, func() error {
			_, err := s.publishAsync(ctx, "messages.bench", o.messages, o.size)
			return err
		})
		if err != nil {
			return nil, err
		}
		rates = append(rates, rate)
	}
	return rates, nil
}
