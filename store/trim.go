package store

import (
	"context"
	"errors"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"landfall/message"
)

// Trim notes where the cursor stands now, and hands trim the cursor and the
// highest sequence that has been stored for longer than window (0 if none),
// while the cursor's row is locked against going back: what trim removes from
// the stream is certainly in Postgres.
func (s *Stream) Trim(ctx context.Context, cur message.Cursor, window time.Duration, trim func(ctx context.Context, cursor, expired uint64) error) error {
	var failed error // of trim: the mark is kept all the same
	err := s.inTransaction(ctx, "trim the stream", func(ctx context.Context, conn *pgxpool.Conn) error {
		var seq, expired int64
		err := conn.QueryRow(ctx, `SELECT last_seq FROM landfall.streams WHERE id = $1 AND incarnation::text = $2 FOR SHARE`,
			cur.StreamID, cur.Incarnation).Scan(&seq)
		if errors.Is(err, pgx.ErrNoRows) {
			return message.ErrMoved
		}
		if err != nil {
			return err
		}
		_, err = conn.Exec(ctx, `INSERT INTO landfall.marks (stream_id, seq, at) SELECT $1, $2, now()
			WHERE $2 > coalesce((SELECT max(seq) FROM landfall.marks WHERE stream_id = $1), 0)
			ON CONFLICT DO NOTHING`, cur.StreamID, seq)
		if err != nil {
			return err
		}
		err = conn.QueryRow(ctx, `SELECT coalesce(max(seq), 0) FROM landfall.marks
			WHERE stream_id = $1 AND at <= now() - $2::interval AND seq <= $3`, cur.StreamID, window, seq).Scan(&expired)
		if err != nil {
			return err
		}
		_, err = conn.Exec(ctx, `DELETE FROM landfall.marks WHERE stream_id = $1 AND seq < $2`, cur.StreamID, expired)
		if err != nil {
			return err
		}
		_, err = conn.Exec(ctx, `DELETE FROM landfall.batches WHERE last_seq < $3
			AND stream_id IN (SELECT id FROM landfall.streams WHERE cluster = $1 AND name = $2)`, s.cluster, s.name, expired)
		if err != nil {
			return err
		}
		failed = trim(ctx, uint64(seq), uint64(expired))
		return nil
	})
	return errors.Join(err, failed)
}
