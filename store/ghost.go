package store

import (
	"context"
	"errors"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
)

// ghostAfter is how many lock timeouts in a row make us look for a session
// that holds the cursor and whose process is no more.
const ghostAfter = 2

// countWaits notes whether the cursor's lock could not be had, and after
// ghostAfter times in a row ends whoever holds it.
func (s *Stream) countWaits(ctx context.Context, err error) {
	var pg *pgconn.PgError
	if !errors.As(err, &pg) || pg.Code != lockNotAvailable {
		s.waits = 0
		return
	}
	s.waits++
	if s.waits >= ghostAfter {
		s.waits = 0
		s.endGhost(ctx)
	}
}

// endGhost waits for the cursor's lock once more and meanwhile terminates the
// sessions in its way, if they are this cluster's under our own role. A live sink
// that is hit loses one batch, which is stored again.
func (s *Stream) endGhost(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, lockTimeout+time.Second)
	defer cancel()
	waiter, err := s.pool.Acquire(ctx)
	if err != nil {
		return
	}
	defer waiter.Release()
	pid := waiter.Conn().PgConn().PID()
	done := make(chan struct{})
	go func() {
		defer close(done)
		if waiter.SendBatch(ctx, beginWith()).Close() == nil {
			_, _ = waiter.Exec(ctx, `SELECT FROM landfall.streams WHERE cluster = $1 AND name = $2 FOR UPDATE`, s.cluster, s.name)
		}
		_ = s.abort(ctx, waiter, "", nil)
	}()
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-done:
			return
		case <-tick.C:
			_, _ = s.pool.Exec(ctx, `SELECT pg_terminate_backend(pid) FROM pg_stat_activity
				WHERE pid = ANY (pg_blocking_pids($1)) AND usename = current_user AND starts_with(application_name, $2)`,
				int32(pid), applicationName(s.cluster, ""))
		}
	}
}
