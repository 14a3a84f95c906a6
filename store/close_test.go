package store

import (
	"context"
	"syscall"
	"testing"
	"time"

	"landfall/pgserver/pgtest"
)

// A node stops in time though Postgres hangs with a batch in hand.
func TestCloseWhilePostgresHangs(t *testing.T) {
	t.Parallel()
	server := pgtest.Server(t)
	d := migrated(t, server.URL())
	store, err := Open(d.config(), "n1")
	if err != nil {
		t.Fatal(err)
	}
	s := store.Stream("S")
	cur := d.enter(s)
	tx, err := d.pool.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = tx.Rollback(context.Background()) }) // before its pool is closed
	if _, err := tx.Exec(t.Context(), `LOCK messages`); err != nil {
		t.Fatal(err)
	}
	ctx, giveUp := context.WithCancel(t.Context())
	defer giveUp()
	_, result := started(t, func() error {
		_, err := s.Write(ctx, cur, batchOf(s, run(cur, 1)))
		return err
	})
	eventually(t, "the batch waits", func() bool {
		return one[bool](d, `SELECT EXISTS (SELECT FROM pg_stat_activity WHERE wait_event_type = 'Lock')`)
	})
	// New connections are accepted by the kernel, and never answered.
	if err := syscall.Kill(server.PID(), syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = syscall.Kill(server.PID(), syscall.SIGCONT) })
	giveUp()
	outageOnly(t, result())
	began := time.Now()
	store.Close()
	if took := time.Since(began); took > 2*closeDeadline {
		t.Errorf("closing took %s", took)
	}
}
