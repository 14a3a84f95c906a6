package migrations

import (
	"context"
	"database/sql"
	"log/slog"
	"time"
)

const (
	// lockKey is "landfall" in ASCII. Advisory locks belong to a database, so
	// two clusters on one server do not wait for each other.
	lockKey int64 = 0x6c616e6466616c6c

	// lockPoll is how often a waiting node asks again. Asking is better than
	// waiting inside Postgres: a session that waits there holds a snapshot,
	// and a later migration that builds an index concurrently would wait for
	// it while it waits for the lock.
	lockPoll = 50 * time.Millisecond

	// unlockWithin bounds the unlocking, which a cancelled context must not
	// prevent. Closing the connection would unlock too, a little later.
	unlockWithin = 2 * time.Second
)

// lock takes the session lock on the connection, waiting for others to release
// it, and returns how to release it.
func lock(ctx context.Context, conn *sql.Conn, log *slog.Logger) (unlock func(), err error) {
	tick := time.NewTicker(lockPoll)
	defer tick.Stop()
	for waiting := false; ; waiting = true {
		var locked bool
		if err := conn.QueryRowContext(ctx, `SELECT pg_try_advisory_lock($1)`, lockKey).Scan(&locked); err != nil {
			return nil, err
		}
		if locked {
			return func() {
				ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), unlockWithin)
				defer cancel()
				_, _ = conn.ExecContext(ctx, `SELECT pg_advisory_unlock($1)`, lockKey) // see unlockWithin
			}, nil
		}
		if !waiting {
			log.InfoContext(ctx, "waiting for another node's migrations")
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
}
