package drill

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"golang.org/x/sync/errgroup"

	"landfall/pgserver/pgtest"
)

// How much the lane upsert changes. A batch has a key once at most, since
// nothing is promised of the order of its lines.
const (
	upsertKeys    = 10_000
	upsertSenders = 4
	upsertBatch   = upsertKeys / upsertSenders
	upsertRounds  = 100 // changes of each key
	upsertLimit   = 5 * time.Minute
)

// upsertLane changes 10,000 keys a hundred times each, while the nodes that
// store are killed and Postgres is: each ends at the last of its values.
func upsertLane(t *testing.T) {
	server := pgtest.Server(t)
	ctx := within(t, upsertLimit)
	if err := execOnce(ctx, server.URL(), `CREATE SCHEMA proof; CREATE TABLE proof.changes (id int PRIMARY KEY, version int NOT NULL, note text, seq bigint)`); err != nil {
		t.Fatal(err)
	}
	stream := "TABLE_changes"
	r := upRig(t, Options{DatabaseURL: server.URL(), Streams: []string{
		stream + `: { subjects: ["changes.>"], max_bytes: 1GiB, replay_window: 10m, duplicate_window: 10m, table: proof.changes, mode: upsert, key: [id], columns: { seq: message.seq } }`,
	}})
	http := r.HTTPDoor(upsertSenders)
	defer http.Close()
	nc := r.dial()
	var sent atomic.Int64
	began := time.Now()
	g, gctx := errgroup.WithContext(ctx)
	for s := range upsertSenders {
		g.Go(func() error {
			for round := 1; round <= upsertRounds; round++ {
				if err := changeAll(gctx, http, s, round); err != nil {
					return err
				}
				sent.Add(upsertBatch)
			}
			return nil
		})
	}
	const kills, restarts = 5, 3
	g.Go(func() error {
		return r.trouble(gctx, nc, server, []string{stream}, kills, restarts, func(share float64) bool {
			return float64(sent.Load()) >= share*upsertKeys*upsertRounds
		})
	})
	r.must(g.Wait())
	published := time.Since(began)
	r.storedOf(ctx, stream, upsertKeys*upsertRounds)
	took := time.Since(began)
	conn, err := pgx.Connect(ctx, r.url)
	r.must(err)
	defer conn.Close(context.WithoutCancel(ctx))
	var rows, right, dead int
	r.must(conn.QueryRow(ctx, `SELECT count(*), count(*) FILTER (WHERE version = $1 AND note = 'note ' || $1::int || ' of ' || id AND id BETWEEN 0 AND $2 - 1),
		(SELECT count(*) FROM landfall.dead_letters) + (SELECT count(*) FROM landfall.duplicates) + (SELECT count(*) FROM landfall.gaps)
		FROM proof.changes`, upsertRounds, upsertKeys).Scan(&rows, &right, &dead))
	t.Logf("upsert: %d changes to %d keys, %d kill -9 of the node that stores, %d of Postgres: published after %.1f s, stored after %.1f s, %d changes/s; %d rows, %d with their last value",
		upsertKeys*upsertRounds, upsertKeys, kills, restarts, published.Seconds(), took.Seconds(), rate(upsertKeys*upsertRounds, took), rows, right)
	if rows != upsertKeys || right != upsertKeys || dead != 0 {
		t.Errorf("that is not the last value of each key; %d dead letters, duplicates and gaps", dead)
	}
}

// changeAll changes each of a sender's keys, in a batch.
func changeAll(ctx context.Context, http *HTTPDoor, sender, round int) error {
	var body bytes.Buffer
	for n := range upsertBatch {
		id := sender + upsertSenders*((n*7+round*13)%upsertBatch)
		fmt.Fprintf(&body, `{"id": %d, "version": %d, "note": "note %d of %d"}`+"\n", id, round, round, id)
	}
	for attempt := 0; ; attempt++ {
		_, err := http.tryBatch(ctx, "changes.all", fmt.Sprintf("sender-%d-%d", sender, round), body.Bytes(), upsertBatch)
		if no := (*Refusal)(nil); err == nil || errors.As(err, &no) || ctx.Err() != nil {
			return err
		}
		pause(ctx, retryPause(attempt))
	}
}
