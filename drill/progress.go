package drill

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
)

// Watch looks at how far a run's database is, cheaply: it reads the cursor,
// and leaves judging to Check.
type Watch struct{ pool *pgxpool.Pool }

// NewWatch opens a few connections on demand. Close it.
func NewWatch(ctx context.Context, databaseURL string) (*Watch, error) {
	cfg, err := pgxpool.ParseConfig(databaseURL)
	if err != nil {
		return nil, fmt.Errorf("watch the database: %w", err)
	}
	cfg.MaxConns = 3
	pool, err := pgxpool.NewWithConfig(ctx, cfg)
	if err != nil {
		return nil, fmt.Errorf("watch the database: %w", err)
	}
	return &Watch{pool}, nil
}

// Close closes the connections.
func (w *Watch) Close() { w.pool.Close() }

// undefinedTable is the SQLSTATE of a table (or its schema) that is not there.
const undefinedTable = "42P01"

// Cursor is the last sequence that Postgres has of a stream, in its newest
// incarnation. found is false before the stream has a row there.
func (w *Watch) Cursor(ctx context.Context, stream string) (seq uint64, found bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	err = w.pool.QueryRow(ctx, `SELECT last_seq FROM landfall.streams WHERE name = $1 ORDER BY id DESC LIMIT 1`,
		stream).Scan(&seq)
	var pg *pgconn.PgError
	switch {
	case errors.Is(err, pgx.ErrNoRows), errors.As(err, &pg) && pg.Code == undefinedTable:
		return 0, false, nil
	case err != nil:
		return 0, false, fmt.Errorf("read the cursor: %w", err)
	}
	return seq, true, nil
}

// AwaitCursor waits until Postgres has the stream up to seq; 0 waits until it
// knows the stream at all. It gives up when nothing has moved for patience.
func (w *Watch) AwaitCursor(ctx context.Context, stream string, seq uint64, patience time.Duration) error {
	var last uint64
	var trouble error
	moved := time.Now()
	err := poll(ctx, 50*time.Millisecond, func(ctx context.Context) (bool, error) {
		now, found, err := w.Cursor(ctx, stream)
		if trouble = err; err == nil && found && now >= seq {
			return true, nil
		}
		if now > last {
			last, moved = now, time.Now()
		}
		if time.Since(moved) > patience {
			return false, fmt.Errorf("nothing has moved for %s", patience)
		}
		return false, nil
	})
	if err != nil {
		return fmt.Errorf("wait for Postgres to have %s up to %d (it is at %d): %w", stream, seq, last, errors.Join(err, trouble))
	}
	return nil
}
