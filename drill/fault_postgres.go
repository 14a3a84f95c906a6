package drill

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// postgresPatience is how long Postgres may take until it answers again: it
// may have gigabytes of its log to go through.
const postgresPatience = 3 * time.Minute

func postgresFaults() []Fault {
	fault := func(name, about string, shortest, longest time.Duration, inflict func(context.Context, *Site, Act) error) Fault {
		return Fault{Name: name, Group: "postgres", About: about, Takes: Takes{Postgres: true},
			Hold: [2]time.Duration{shortest, longest}, Inflict: inflict}
	}
	full := fault("pg-disk-full", "Postgres' disk has not a byte left", 2*time.Second, 6*time.Second, fillPostgresDisk)
	full.Lacks = lacksDisks
	restore := fault("pg-restore", "Postgres is put back to a copy of a while ago", 5*time.Second, 20*time.Second, restorePostgres)
	// What Postgres had since then is nowhere but in the stream.
	restore.Takes.Stream = true
	return []Fault{
		fault("pg-kill", "kill -9 of Postgres, all of its processes", 200*time.Millisecond, 3*time.Second, killPostgres),
		fault("pg-restart", "Postgres is restarted: a fast shutdown, and a start", 0, 0, shutPostgres),
		fault(longOutageName, "Postgres is down for long", 10*time.Second, 20*time.Second, shutPostgres),
		fault("pg-freeze", "SIGSTOP of Postgres, all of its processes", time.Second, 8*time.Second, freezePostgres),
		fault("pg-terminate", "the nodes' sessions are terminated again and again, most of them in a transaction",
			time.Second, 4*time.Second, terminateSessions),
		fault("pg-lock", "somebody holds an ACCESS EXCLUSIVE lock on the table", time.Second, 8*time.Second, lockTable),
		fault("pg-readonly", "Postgres takes no writes: default_transaction_read_only is on", time.Second, 6*time.Second, refuseWrites),
		full,
		restore,
	}
}

// awaitPostgres starts Postgres if it does not run, and waits until it answers.
func (s *Site) awaitPostgres(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), postgresPatience)
	defer cancel()
	var last error
	err := poll(ctx, 20*time.Millisecond, func(ctx context.Context) (bool, error) {
		if last = s.Server.Restart(ctx); last != nil {
			return false, nil
		}
		once, cancel := context.WithTimeout(ctx, 2*time.Second)
		defer cancel()
		_, last = s.SQL.Exec(once, "SELECT 1")
		return last == nil, nil
	})
	if err != nil {
		return fmt.Errorf("wait for Postgres to answer: %w", errors.Join(err, last))
	}
	return nil
}

func killPostgres(ctx context.Context, s *Site, a Act) error {
	s.Say("  %s: kill -9 of Postgres, for %s", a.Fault.Name, a.Hold)
	err := s.Server.Kill()
	pause(ctx, a.Hold)
	return errors.Join(err, s.awaitPostgres(ctx))
}

func shutPostgres(ctx context.Context, s *Site, a Act) error {
	s.Say("  %s: Postgres is shut down, for %s", a.Fault.Name, a.Hold)
	err := s.Server.Shutdown()
	pause(ctx, a.Hold)
	return errors.Join(err, s.awaitPostgres(ctx))
}

func freezePostgres(ctx context.Context, s *Site, a Act) error {
	s.Say("  %s: Postgres is frozen, for %s", a.Fault.Name, a.Hold)
	err := s.Server.Freeze()
	if err == nil {
		pause(ctx, a.Hold)
	}
	return errors.Join(err, s.Server.Thaw(), s.awaitPostgres(ctx))
}

// fillPostgresDisk takes all room from Postgres. Tables and log share a disk:
// without room for a table a transaction fails, and without room for the log
// Postgres gives up altogether. The log is written into files that are there
// already, so that, as chance will have it, some are used up on purpose.
func fillPostgresDisk(ctx context.Context, s *Site, a Act) error {
	disk, running := s.Disks[postgresName], s.Server.Done()
	useUp := a.Rand().IntN(2) == 0
	s.Say("  %s: Postgres has no room left, for %s", a.Fault.Name, a.Hold)
	err := whileHeld(ctx, a.Hold, func(int) error {
		if err := disk.Fill(); err != nil || !useUp {
			return err
		}
		once, cancel := context.WithTimeout(ctx, time.Second)
		defer cancel()
		_, _ = s.SQL.Exec(once, "SELECT pg_logical_emit_message(false, 'drill', ''), pg_switch_wal()") // it fails in the end
		return nil
	})
	select {
	case <-running:
		s.Say("  %s: Postgres has ended for it", a.Fault.Name)
	default:
	}
	return errors.Join(err, disk.Free(), s.awaitPostgres(ctx))
}
