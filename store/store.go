// Package store is all of Landfall's SQL on the way of a message: the fenced
// cursor, the COPY that moves with it in one transaction, the careful path
// for batches that COPY refuses, dead letters, duplicates, gaps, and the marks
// that tell how long something has been stored.
//
// A Stream writes batches. Whatever goes wrong, a batch is in Postgres
// completely or not at all, and the cursor in landfall.streams tells which:
// callers never guess the outcome of a failed Write, they read the cursor.
//
// Beside that it is asked what has become of messages (receipts.go), and looks
// at a database before a cluster relies on it (inspect.go).
package store

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"landfall/cluster"
)

// Limits on what a transaction of the sink may wait for. The client's own
// deadline is longer than the server's, so that the server speaks first.
const (
	statementTimeout = 30 * time.Second
	lockTimeout      = 3 * time.Second
	idleTimeout      = 30 * time.Second // idle in transaction
	writeDeadline    = 60 * time.Second // a whole batch, client side
	callDeadline     = 10 * time.Second // one small statement, client side
)

// Store is this node's connections to Postgres.
type Store struct {
	pool    *pgxpool.Pool
	probe   *pgxpool.Pool // one session for Ping, which must not wait for busy streams
	asking  *pgxpool.Pool // for receipts, which no stream is to wait for
	cluster string
	table   pgx.Identifier            // the messages table
	tables  map[string]*cluster.Table // of streams that fill one of the user's own
	keep    time.Duration             // how long rows of the messages table stay; 0: for ever
}

// Open prepares connections for the cluster's node; it does not connect, so
// it succeeds while Postgres is away.
func Open(c *cluster.Config, node string) (*Store, error) {
	cfg, err := pgxpool.ParseConfig(c.Postgres.URL)
	if err != nil {
		return nil, fmt.Errorf("postgres.url: %w", err)
	}
	configure(cfg, applicationName(c.Name, node), len(c.Streams))
	schema, name := splitTable(c.MessagesTable)
	s := &Store{cluster: c.Name, table: pgx.Identifier{schema, name}, tables: map[string]*cluster.Table{}, keep: c.Keep}
	for _, st := range c.Streams {
		if st.Table != nil {
			s.tables[st.Name] = st.Table
		}
	}
	for pool, sessions := range map[**pgxpool.Pool]int32{&s.pool: cfg.MaxConns, &s.probe: 1, &s.asking: askingSessions} {
		own := cfg.Copy()
		own.MaxConns = sessions
		if *pool, err = pgxpool.NewWithConfig(context.Background(), own); err != nil {
			s.Close()
			return nil, fmt.Errorf("open connection pool: %w", err)
		}
	}
	return s, nil
}

// Close closes the connections, after those in use came back, unless that
// takes too long.
func (s *Store) Close() {
	within(func() {
		for _, pool := range []*pgxpool.Pool{s.asking, s.probe, s.pool} {
			if pool != nil { // Open has not come so far
				pool.Close()
			}
		}
	})
}

// Ping tells whether Postgres answers.
func (s *Store) Ping(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, callDeadline)
	defer cancel()
	return s.probe.Ping(ctx)
}

// Stream returns the writer of one of the cluster's streams. A Stream is used
// by one goroutine at a time; Encode may run beside the other methods.
func (s *Store) Stream(name string) *Stream {
	st := &Stream{Store: s, name: name}
	if t := s.tables[name]; t != nil {
		st.own = &own{table: t}
	}
	return st
}

// Stream reads and moves one stream's cursor, and stores its messages.
type Stream struct {
	*Store
	name   string
	id     int64  // landfall.streams.id of the incarnation being written
	idKey  string // name of the unique constraint on message ids
	pkey   string // name of the primary key
	own    *own   // nil: it fills the messages table
	streak streak // failures in a row, across batches
	waits  int    // lock timeouts in a row on the cursor, see countWaits

	accepted int64 // bad messages up to here are the data, as somebody has said: see Accept

	repeating bool // the last batch had duplicates in it, see write
}
