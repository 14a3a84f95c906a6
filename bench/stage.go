package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"landfall/drill"
	"landfall/pgserver"
)

// upWithin is how long the stage may take to stand, and any wait on it.
const upWithin = 2 * time.Minute

// stage is what is measured: Postgres and three nodes.
type stage struct {
	dir     string // for what a peer needs
	pg      *pgserver.Server
	cluster *drill.Cluster
	watch   *drill.Watch
	db      *pgxpool.Pool
	nc      *nats.Conn
	js      jetstream.JetStream
}

// startStage starts everything anew, so that no line sees another's traces.
// The tables are made before the nodes look for them.
func startStage(ctx context.Context, opts *options, o drill.Options, tables ...string) (_ *stage, err error) {
	s := &stage{}
	defer func() {
		if err != nil {
			s.close()
		}
	}()
	if s.dir, err = os.MkdirTemp("", "landfall-bench-"); err != nil {
		return nil, err
	}
	o.Binary = opts.binary
	if s.pg, err = pgserver.Start(ctx, pgserver.Options{Settings: map[string]string{"max_wal_size": "4GB"}}); err != nil {
		return nil, err
	}
	if s.db, err = pgxpool.New(ctx, s.pg.URL()); err != nil {
		return nil, err
	}
	for _, table := range tables {
		if _, err = s.db.Exec(ctx, table); err != nil {
			return nil, err
		}
	}
	o.DatabaseURL, o.MaxBytes = s.pg.URL(), "8GiB"
	if s.cluster, err = drill.NewCluster(o); err != nil {
		return nil, err
	}
	up, cancel := context.WithTimeout(ctx, upWithin)
	defer cancel()
	if err = s.cluster.Up(up); err != nil {
		return nil, fmt.Errorf("%w\n%s", err, s.cluster.Trouble(5))
	}
	if s.watch, err = drill.NewWatch(ctx, s.pg.URL()); err != nil {
		return nil, err
	}
	if err = s.watch.AwaitCursor(up, drill.Stream, 0, upWithin); err != nil {
		return nil, err
	}
	if s.nc, err = s.cluster.Dial("bench"); err != nil {
		return nil, err
	}
	s.js, err = jetstream.New(s.nc, jetstream.WithPublishAsyncMaxPending(asyncPending))
	return s, err
}

// tellPlacement says through which node nats.go publishes, and which leads the
// stream: that is chance, and worth some of what is measured.
func (s *stage) tellPlacement(ctx context.Context, p *progress) error {
	leaders, err := drill.AwaitLeaders(ctx, s.nc, drill.Stream, drill.Leaders.Complete)
	if err != nil {
		return err
	}
	p.say("published through %s; %s leads the stream, %s stores it", s.nc.ConnectedServerName(), leaders.Stream, leaders.Consumer)
	return nil
}

// asyncPending is how many messages nats.go may have on the way. More than its
// default, as whoever wants speed would set it.
const asyncPending = 4096

// close takes everything down, in the reverse order.
func (s *stage) close() {
	var errs []error
	if s.nc != nil {
		s.nc.Close()
	}
	if s.db != nil {
		s.db.Close()
	}
	if s.watch != nil {
		s.watch.Close()
	}
	if s.cluster != nil {
		errs = append(errs, s.cluster.Close())
	}
	if s.pg != nil {
		errs = append(errs, s.pg.Stop())
	}
	errs = append(errs, os.RemoveAll(s.dir))
	if err := errors.Join(errs...); err != nil {
		fmt.Fprintln(os.Stderr, "bench: clean up:", err)
	}
}

// publishAsync is publishEach of n messages alike.
func (s *stage) publishAsync(ctx context.Context, subject string, n, size int) (float64, error) {
	body := text(size)
	return s.publishEach(ctx, subject, n, func(int) []byte { return body })
}

// publishEach fills a stream through the client port as fast as nats.go goes,
// with ids, and returns messages a second, the last acknowledgement included.
func (s *stage) publishEach(ctx context.Context, subject string, n int, body func(i int) []byte) (float64, error) {
	run := nats.NewInbox()
	var failed error
	var once sync.Once
	began := time.Now()
	acks := make([]jetstream.PubAckFuture, 0, n)
	for i := range n {
		ack, err := s.js.PublishMsgAsync(&nats.Msg{Subject: subject, Data: body(i), Header: nats.Header{
			jetstream.MsgIDHeader: {fmt.Sprintf("%s/%d", run, i)}}}, jetstream.WithStallWait(10*time.Second))
		if err != nil {
			return 0, fmt.Errorf("publish: %w", err)
		}
		acks = append(acks, ack)
	}
	for _, ack := range acks {
		select {
		case <-ack.Ok():
		case err := <-ack.Err():
			once.Do(func() { failed = fmt.Errorf("publish: %w", err) })
		case <-ctx.Done():
			return 0, ctx.Err()
		}
	}
	return float64(n) / time.Since(began).Seconds(), failed
}

// lastSeq is the last sequence of the stream.
func (s *stage) lastSeq(ctx context.Context, stream string) (uint64, error) {
	st, err := s.js.Stream(ctx, stream)
	if err != nil {
		return 0, err
	}
	return st.CachedInfo().State.LastSeq, nil
}

// settle waits until Postgres has what the stream has.
func (s *stage) settle(ctx context.Context, stream string) error {
	last, err := s.lastSeq(ctx, stream)
	if err != nil {
		return err
	}
	return s.watch.AwaitCursor(ctx, stream, last, upWithin)
}
