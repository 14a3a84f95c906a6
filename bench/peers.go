package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"landfall/drill"
)

// fetchAlone pulls the stream's last n messages with nats.go, and does nothing
// with them.
func (s *stage) fetchAlone(ctx context.Context, n int) (float64, error) {
	return s.consume(ctx, n, jetstream.AckNonePolicy, 5000, func(jetstream.Msg) error { return nil })
}

// insertAndAck is the sink of the original idea: one INSERT, one ack.
func (s *stage) insertAndAck(ctx context.Context, n int) (float64, error) {
	if _, err := s.db.Exec(ctx, "CREATE TABLE IF NOT EXISTS single (id bigserial PRIMARY KEY, msg_id text UNIQUE, content text)"); err != nil {
		return 0, err
	}
	return s.consume(ctx, n, jetstream.AckExplicitPolicy, 500, func(m jetstream.Msg) error {
		_, err := s.db.Exec(ctx, "INSERT INTO single (msg_id, content) VALUES ($1, $2) ON CONFLICT DO NOTHING", m.Headers().Get(jetstream.MsgIDHeader), string(m.Data()))
		if err != nil {
			return err
		}
		return m.Ack()
	})
}

func (s *stage) consume(ctx context.Context, n int, ack jetstream.AckPolicy, atOnce int, each func(jetstream.Msg) error) (float64, error) {
	last, err := s.lastSeq(ctx, drill.Stream)
	if err != nil {
		return 0, err
	}
	c, err := s.js.CreateConsumer(ctx, drill.Stream, jetstream.ConsumerConfig{
		AckPolicy: ack, DeliverPolicy: jetstream.DeliverByStartSequencePolicy, OptStartSeq: last - uint64(n) + 1, Replicas: 1, MemoryStorage: true,
	})
	if err != nil {
		return 0, err
	}
	defer func() { _ = s.js.DeleteConsumer(context.WithoutCancel(ctx), drill.Stream, c.CachedInfo().Name) }()
	made := time.Now()
	began := made
	for got := 0; got < n; {
		batch, err := c.Fetch(min(atOnce, n-got), jetstream.FetchMaxWait(10*time.Second))
		if err != nil {
			return 0, err
		}
		before := got
		for m := range batch.Messages() {
			if err := each(m); err != nil {
				return 0, err
			}
			got++
		}
		err = batch.Error()
		if errors.Is(err, nats.ErrNoResponders) && got == 0 && time.Since(made) < upWithin {
			// The consumer is made, and its leader does not listen yet.
			if err := pause(ctx, 20*time.Millisecond); err != nil {
				return 0, err
			}
			began = time.Now()
			continue
		}
		if err != nil {
			return 0, err
		}
		if got == before {
			return 0, fmt.Errorf("%d of %d messages came", got, n)
		}
	}
	return float64(n) / time.Since(began).Seconds(), nil
}

// findRedpanda is where Redpanda Connect is; "" if it is not on PATH.
func findRedpanda() string {
	path, err := exec.LookPath("redpanda-connect")
	if err != nil {
		return ""
	}
	return path
}

// redpanda has Redpanda Connect carry the stream's last n messages into a table.
func (s *stage) redpanda(ctx context.Context, binary string, n int) (float64, error) {
	last, err := s.lastSeq(ctx, drill.Stream)
	if err != nil {
		return 0, err
	}
	if _, err := s.db.Exec(ctx, "DROP TABLE IF EXISTS connected"); err != nil {
		return 0, err
	}
	if _, err := s.db.Exec(ctx, "CREATE TABLE connected (msg_id text PRIMARY KEY, subject text, content text)"); err != nil {
		return 0, err
	}
	// Its documentation's way to batch, with as many as a batch of ours holds:
	// https://docs.redpanda.com/redpanda-connect/components/outputs/sql_insert/
	config := fmt.Sprintf(`input:
  nats_jetstream:
    urls: [%q]
    stream: %s
    deliver: all
    max_ack_pending: 20000
output:
  sql_insert:
    driver: postgres
    dsn: %q
    table: connected
    columns: [msg_id, subject, content]
    args_mapping: root = [ meta("Nats-Msg-Id"), meta("nats_subject"), content().string() ]
    suffix: ON CONFLICT DO NOTHING
    batching: { count: 5000, period: 100ms }
    max_in_flight: 4
`, s.cluster.ClientURLs()[0], drill.Stream, s.pg.URL()+"?sslmode=disable")
	file := filepath.Join(s.dir, "connect.yaml")
	if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
		return 0, err
	}
	stream, err := s.js.Stream(ctx, drill.Stream)
	if err != nil {
		return 0, err
	}
	held := int(last - stream.CachedInfo().State.FirstSeq + 1)
	running, cancel := context.WithCancel(ctx)
	cmd := exec.CommandContext(running, binary, "run", file)
	if err := cmd.Start(); err != nil {
		cancel()
		return 0, err
	}
	defer func() { cancel(); _ = cmd.Wait() }()
	var began time.Time
	var first int
	for deadline := time.Now().Add(upWithin); time.Now().Before(deadline) && ctx.Err() == nil; {
		var rows int
		if err := s.db.QueryRow(ctx, "SELECT count(*) FROM connected").Scan(&rows); err != nil {
			return 0, err
		}
		switch {
		case rows >= held:
			return float64(rows-first) / time.Since(began).Seconds(), nil
		case rows > 0 && began.IsZero():
			began, first = time.Now(), rows
		}
		select {
		case <-time.After(20 * time.Millisecond):
		case <-ctx.Done():
		}
	}
	return 0, fmt.Errorf("not all of %d messages came within %s", n, upWithin)
}
