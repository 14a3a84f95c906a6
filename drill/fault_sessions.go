package drill

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// endSessions ends the nodes' sessions, which say who they are; the drill's
// own is not among them. It tells how many of them were in a transaction.
const endSessions = `
	SELECT count(*), count(*) FILTER (WHERE busy)
	FROM (SELECT xact_start IS NOT NULL AS busy, pg_terminate_backend(pid) AS ended
		FROM pg_stat_activity WHERE application_name LIKE 'landfall %' AND (xact_start IS NOT NULL OR NOT $1) OFFSET 0) AS s
	WHERE ended`

// terminateSessions ends all sessions of the nodes, and then again and again
// those that are in a transaction: in the middle of a batch.
func terminateSessions(ctx context.Context, s *Site, a Act) error {
	s.Say("  %s: the nodes' sessions are ended, for %s", a.Fault.Name, a.Hold)
	chance, all, busy := a.Rand(), 0, 0
	end := time.Now().Add(a.Hold)
	for first := true; ctx.Err() == nil && (first || time.Now().Before(end)); first = false {
		var ended, inBatch int
		if err := s.SQL.QueryRow(ctx, endSessions, !first).Scan(&ended, &inBatch); err != nil {
			return fmt.Errorf("end the nodes' sessions: %w", err)
		}
		all, busy = all+ended, busy+inBatch
		// Time to come back and begin something; nothing was hit: another try.
		wait := time.Millisecond
		if ended > 0 {
			wait = time.Duration(20+chance.IntN(300)) * time.Millisecond
		}
		pause(ctx, wait)
	}
	s.Say("  %s: %d sessions were ended, %d of them in a transaction", a.Fault.Name, all, busy)
	return s.awaitPostgres(ctx)
}

// lockTable keeps everybody from the table, readers too.
func lockTable(ctx context.Context, s *Site, a Act) error {
	s.Say("  %s: the table is locked, for %s", a.Fault.Name, a.Hold)
	tx, err := s.SQL.Begin(ctx)
	if err != nil {
		return fmt.Errorf("lock the table: %w", err)
	}
	tables := "public.messages"
	if s.Changes != nil {
		tables += ", " + changesTable
	}
	_, err = tx.Exec(ctx, "LOCK TABLE "+tables+" IN ACCESS EXCLUSIVE MODE")
	if err == nil {
		pause(ctx, a.Hold)
	}
	undo, cancel := undoing(ctx)
	defer cancel()
	// If the session is gone, so is the lock.
	if err = errors.Join(err, tx.Rollback(undo)); err != nil {
		return fmt.Errorf("lock the table: %w", err)
	}
	return nil
}

// refuseWrites makes every new transaction a read-only one, as on a standby or
// a server whose keeper has run out of room.
func refuseWrites(ctx context.Context, s *Site, a Act) error {
	s.Say("  %s: Postgres takes no writes, for %s", a.Fault.Name, a.Hold)
	err := s.setting(ctx, "SET default_transaction_read_only = on")
	if err == nil {
		pause(ctx, a.Hold)
	}
	undo, cancel := undoing(ctx)
	defer cancel()
	return errors.Join(err, s.setting(undo, "RESET default_transaction_read_only"))
}

// setting changes a setting of the whole server.
func (s *Site) setting(ctx context.Context, change string) error {
	if _, err := s.SQL.Exec(ctx, "ALTER SYSTEM "+change); err != nil {
		return fmt.Errorf("%s: %w", change, err)
	}
	if _, err := s.SQL.Exec(ctx, "SELECT pg_reload_conf()"); err != nil {
		return fmt.Errorf("%s: %w", change, err)
	}
	return nil
}
