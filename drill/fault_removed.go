package drill

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
)

const (
	// Messages behind the cursor when some are purged, at least; and how many
	// are.
	behindCursor = 20
	removedCount = 10

	// lockPatience is how long the sink's transaction in hand may take.
	lockPatience = 20 * time.Second
)

// cursorAt is where Postgres is in an incarnation of the stream.
type cursorAt struct {
	streamID    int64
	incarnation string
	seq         uint64
}

// removeMessages purges messages that Postgres does not have, as a careless
// operator might: it is kept from storing meanwhile. They are gone for good,
// and Landfall must say so: a gap. Those that a sink has in its memory may yet
// be stored; then they are rows, and no gap.
func removeMessages(ctx context.Context, s *Site, a Act) error {
	at, err := s.removeUnstored(ctx, a)
	if err != nil || ctx.Err() != nil {
		return err
	}
	return s.judgeGap(ctx, a, at)
}

// removeUnstored locks the table, waits until there are messages that are not
// stored, purges some of them, and lets Postgres go on. It is an error if
// none came.
func (s *Site) removeUnstored(ctx context.Context, a Act) (at cursorAt, err error) {
	tx, err := s.SQL.Begin(ctx)
	if err != nil {
		return at, fmt.Errorf("keep Postgres from storing: %w", err)
	}
	defer func() {
		undo, cancel := undoing(ctx)
		defer cancel()
		err = errors.Join(err, tx.Rollback(undo))
	}()
	if at, err = s.lockedCursor(ctx, tx); err != nil {
		return at, fmt.Errorf("keep Postgres from storing: %w", err)
	}
	came, err := s.awaitBehind(ctx, at)
	if err != nil || !came {
		return at, errors.Join(errors.New("not enough is published, or it is another stream now: left alone"), err)
	}
	from, to := at.seq+1, at.seq+removedCount
	s.Say("  %s: %d to %d are purged, which Postgres does not have", a.Fault.Name, from, to)
	s.Ledger.Removed(Removal{at.incarnation, from, to, a.Fault.Name})
	// Below that sequence; 0 would be everything.
	purge := map[string]uint64{"seq": to + 1}
	if err := insist(ctx, func(ctx context.Context) error { return s.ask(ctx, "STREAM.PURGE."+Stream, purge, nil) }); err != nil {
		return at, err
	}
	// What a sink had in hand before, it is to give up.
	if _, err := s.SQL.Exec(ctx, `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name LIKE 'landfall %'`); err != nil {
		return at, fmt.Errorf("end the nodes' sessions: %w", err)
	}
	pause(ctx, a.Hold)
	return at, nil
}

// lockedCursor keeps everybody from the table: then no batch is between its
// rows and its COMMIT, and the cursor stands still.
func (s *Site) lockedCursor(ctx context.Context, tx pgx.Tx) (at cursorAt, err error) {
	ctx, cancel := context.WithTimeout(ctx, lockPatience)
	defer cancel()
	if _, err := tx.Exec(ctx, "LOCK TABLE public.messages IN ACCESS EXCLUSIVE MODE"); err != nil {
		return at, err
	}
	var seq int64
	err = tx.QueryRow(ctx, `SELECT id, incarnation::text, last_seq FROM landfall.streams
		WHERE name = $1 ORDER BY id DESC LIMIT 1`, Stream).Scan(&at.streamID, &at.incarnation, &seq)
	at.seq = uint64(seq)
	return at, err
}

// awaitBehind waits until the stream is well behind a cursor of its own.
func (s *Site) awaitBehind(ctx context.Context, at cursorAt) (came bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, lockPatience)
	defer cancel()
	err = poll(ctx, 50*time.Millisecond, func(ctx context.Context) (bool, error) {
		info, err := s.streamInfo(ctx, Stream)
		if err != nil {
			return false, nil // nobody leads just now
		}
		if info.incarnation() != at.incarnation {
			return true, nil
		}
		came = info.State.LastSeq >= at.seq+behindCursor
		return came, nil
	})
	return came, err
}

// judgeGap waits until Postgres is behind what was removed, and looks what has
// become of it: each is a gap, or was stored after all.
func (s *Site) judgeGap(ctx context.Context, a Act, at cursorAt) error {
	from, to := int64(at.seq+1), int64(at.seq+removedCount)
	waiting, cancel := context.WithTimeout(ctx, settledPatience)
	defer cancel()
	var gaps, stored, beside int64
	var last error
	err := poll(waiting, storedPoll, func(ctx context.Context) (past bool, _ error) {
		last = s.SQL.QueryRow(ctx, `SELECT last_seq >= $3,
			(SELECT coalesce(sum(least(to_seq, $3) - greatest(from_seq, $2) + 1), 0)::bigint FROM landfall.gaps
				WHERE stream_id = $1 AND from_seq <= $3 AND to_seq >= $2),
			(SELECT count(*) FROM public.messages WHERE stream_id = $1 AND seq BETWEEN $2 AND $3) +
			(SELECT count(*) FROM landfall.dead_letters WHERE stream_id = $1 AND seq BETWEEN $2 AND $3) +
			(SELECT count(*) FROM landfall.duplicates WHERE stream_id = $1 AND seq BETWEEN $2 AND $3),
			(SELECT count(*) FROM landfall.gaps WHERE stream_id = $1 AND from_seq <= $3 AND to_seq >= $2 AND (from_seq < $2 OR to_seq > $3))
			FROM landfall.streams WHERE id = $1`, at.streamID, from, to).Scan(&past, &gaps, &stored, &beside)
		return past, nil
	})
	switch {
	case ctx.Err() != nil:
		return nil
	case err != nil:
		return fmt.Errorf("wait until Postgres is past %d: %w", to, errors.Join(err, last))
	case gaps+stored != removedCount || beside > 0:
		s.Found("%s: of %d to %d, purged by hand, %d are recorded as gaps and %d are stored; %d gaps reach beyond",
			a.Fault.Name, from, to, gaps, stored, beside)
	default:
		s.Say("  %s: %d of them are recorded as gaps, %d were stored after all", a.Fault.Name, gaps, stored)
	}
	return nil
}
