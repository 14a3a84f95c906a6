package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"landfall/drill"
)

// copyBatches are the rows of a transaction of bare COPY; the best counts.
var copyBatches = [...]int{1_000, 5_000, 10_000, 25_000, 50_000}

// drain builds a backlog while the cursors are locked, lets go of them, and
// returns how many rows a second came from the first commit to the last.
func (s *stage) drain(ctx context.Context, o options, round int) (float64, error) {
	if _, err := s.db.Exec(ctx, "TRUNCATE public.messages"); err != nil {
		return 0, err
	}
	base, _, err := s.watch.Cursor(ctx, drill.Stream)
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
	if err := s.publish(ctx, o, round); err != nil {
		return 0, err
	}
	if err := tx.Commit(ctx); err != nil {
		return 0, err
	}
	end := base + uint64(o.messages)
	first, began, err := s.firstMove(ctx, base)
	if err != nil {
		return 0, err
	}
	if err := s.watch.AwaitCursor(ctx, drill.Stream, end, upWithin); err != nil {
		return 0, err
	}
	return float64(end-first) / time.Since(began).Seconds(), nil
}

// firstMove waits for the first commit behind base.
func (s *stage) firstMove(ctx context.Context, base uint64) (uint64, time.Time, error) {
	for deadline := time.Now().Add(upWithin); time.Now().Before(deadline) && ctx.Err() == nil; {
		if at, _, err := s.watch.Cursor(ctx, drill.Stream); err == nil && at > base {
			return at, time.Now(), nil
		}
	}
	return 0, time.Time{}, fmt.Errorf("nothing was stored within %s", upWithin)
}

// publish fills the stream through the client port, with ids.
func (s *stage) publish(ctx context.Context, o options, round int) error {
	nc, err := s.cluster.Dial("bench")
	if err != nil {
		return err
	}
	defer nc.Close()
	js, err := jetstream.New(nc, jetstream.WithPublishAsyncMaxPending(4096))
	if err != nil {
		return err
	}
	body := []byte(body(o.size))
	acks := make([]jetstream.PubAckFuture, 0, o.messages)
	for i := range o.messages {
		ack, err := js.PublishMsgAsync(&nats.Msg{Subject: "messages.bench", Data: body, Header: nats.Header{
			"Nats-Msg-Id": {id(round, i)}}}, jetstream.WithStallWait(10*time.Second))
		if err != nil {
			return fmt.Errorf("publish: %w", err)
		}
		acks = append(acks, ack)
	}
	for _, ack := range acks {
		select {
		case <-ack.Ok():
		case err := <-ack.Err():
			return fmt.Errorf("publish: %w", err)
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

// copyAlone copies the same rows into a table with the same columns and
// indexes, and returns rows a second.
func (s *stage) copyAlone(ctx context.Context, o options, batch int) (float64, error) {
	_, err := s.db.Exec(ctx, "DROP TABLE IF EXISTS bare; CREATE TABLE bare (LIKE public.messages INCLUDING ALL)", pgx.QueryExecModeSimpleProtocol)
	if err != nil {
		return 0, err
	}
	text, now := body(o.size), time.Now()
	columns := []string{"stream_id", "seq", "subject", "content", "content_bytes", "headers", "msg_id", "published_at"}
	rows := make([][]any, o.messages)
	for i := range rows {
		rows[i] = []any{int64(1), int64(i + 1), "messages.bench", text, nil, nil, id(0, i), now}
	}
	conn, err := s.db.Acquire(ctx)
	if err != nil {
		return 0, err
	}
	defer conn.Release()
	began := time.Now()
	for len(rows) > 0 {
		n := min(batch, len(rows))
		if _, err := conn.CopyFrom(ctx, pgx.Identifier{"bare"}, columns, pgx.CopyFromRows(rows[:n])); err != nil {
			return 0, err
		}
		rows = rows[n:]
	}
	return float64(o.messages) / time.Since(began).Seconds(), nil
}

func id(round, i int) string { return fmt.Sprintf("bench-%d-%08d", round, i) }

// body is text as people send it.
func body(size int) string {
	const phrase = `{"sensor":"north-7","value":21.4,"unit":"C","note":"as measured"}`
	return strings.Repeat(phrase, size/len(phrase)+1)[:size]
}
