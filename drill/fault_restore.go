package drill

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"
)

const (
	// rowsSince is how many messages at least Postgres forgets with a restore.
	rowsSince = 500

	// rowsPatience is how long they are waited for: other faults may keep
	// anything from being stored for a while.
	rowsPatience = time.Minute

	// copyPatience bounds the copying of Postgres' directory.
	copyPatience = 2 * time.Minute
)

// restorePostgres copies Postgres' directory while it is down, has it go on
// for a while, and puts the copy in its place, as from a backup. Postgres then
// knows nothing of what it stored since; the nodes still have it.
func restorePostgres(ctx context.Context, s *Site, a Act) (err error) {
	data := filepath.Join(s.Server.Dir(), "data")
	backup := data + ".copy"
	defer func() { err = errors.Join(err, os.RemoveAll(backup)) }()
	took, err := s.copyPostgres(ctx, data, backup)
	if err = errors.Join(err, s.awaitPostgres(ctx)); err != nil {
		return err
	}
	before, err := s.cursors(ctx)
	if err != nil {
		return err
	}
	s.Say("  %s: Postgres was copied in %s, and goes on for %s", a.Fault.Name, took.Round(time.Millisecond), a.Hold)
	pause(ctx, a.Hold)
	after, err := s.awaitCursors(ctx, before+rowsSince)
	if err != nil || ctx.Err() != nil {
		return err
	}
	if err := s.putBack(data, backup); err != nil {
		return errors.Join(err, s.awaitPostgres(ctx))
	}
	if err := s.awaitPostgres(ctx); err != nil {
		return err
	}
	s.Say("  %s: Postgres is the copy now; it had %d messages more", a.Fault.Name, after-before)
	return nil
}

// copyPostgres leaves Postgres down.
func (s *Site) copyPostgres(ctx context.Context, data, backup string) (took time.Duration, err error) {
	start := time.Now()
	if err := s.Server.Shutdown(); err != nil {
		return 0, err
	}
	ctx, cancel := context.WithTimeout(ctx, copyPatience)
	defer cancel()
	err = copyTree(ctx, data, backup)
	return time.Since(start), err
}

// putBack puts the copy in the place of the directory, and leaves Postgres down.
func (s *Site) putBack(data, backup string) error {
	if err := s.Server.Shutdown(); err != nil {
		return err
	}
	old := data + ".old"
	if err := os.Rename(data, old); err != nil {
		return err
	}
	if err := os.Rename(backup, data); err != nil {
		return errors.Join(err, os.Rename(old, data))
	}
	return os.RemoveAll(old)
}

// cursors is how far Postgres is, over all incarnations of the stream.
func (s *Site) cursors(ctx context.Context) (sum int64, err error) {
	err = s.SQL.QueryRow(ctx, "SELECT coalesce(sum(last_seq), 0)::bigint FROM landfall.streams").Scan(&sum)
	if err != nil {
		return 0, fmt.Errorf("ask Postgres how far it is: %w", err)
	}
	return sum, nil
}

// awaitCursors waits until Postgres is so far, or for a while, and tells how
// far it is.
func (s *Site) awaitCursors(ctx context.Context, want int64) (now int64, err error) {
	waiting, cancel := context.WithTimeout(ctx, rowsPatience)
	defer cancel()
	err = poll(waiting, 50*time.Millisecond, func(ctx context.Context) (bool, error) {
		var err error
		now, err = s.cursors(ctx)
		return now >= want, err
	})
	if waiting.Err() != nil {
		return now, nil
	}
	return now, err
}
