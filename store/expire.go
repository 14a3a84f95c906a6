package store

import (
	"context"
	"errors"
	"math"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

// Expire deletes rows of the messages table that have been there for longer
// than keep says, oldest first, in one short transaction: about most rows at a
// time. more tells that there may be others. It locks nothing that a batch
// waits for, but where repeats are looked for, and may run beside the other
// methods.
//
// A row stays as long as its message stays in the stream, which holds those
// from sequence held on: by the rows it is found out what a stream that was
// made anew, or that lost its tail, has in common with Postgres.
func (s *Stream) Expire(ctx context.Context, held uint64, most int) (rows int, more bool, err error) {
	err = s.inTransaction(ctx, "delete old rows", func(ctx context.Context, conn *pgxpool.Conn) error {
		if _, err := conn.Exec(ctx, byKey); err != nil {
			return err
		}
		all, err := s.expiring(ctx, conn, held)
		if err != nil {
			return err
		}
		for _, one := range all {
			if rows, more, err = s.expire(ctx, conn, one, most); err != nil || rows > 0 || more {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return 0, false, err
	}
	return rows, more, nil
}

// byKey has Postgres walk along the key for the rest of the transaction.
// Before a table has been analyzed it takes it for so small that it would
// rather read all of it and sort. Plans that it is to avoid cost so much by its
// own reckoning that it would compile them.
const byKey = `SELECT set_config('enable_seqscan', 'off', true), set_config('enable_bitmapscan', 'off', true),
	set_config('enable_sort', 'off', true), set_config('jit', 'off', true)`

// expiring is an incarnation that may have old rows.
type expiring struct {
	streamID int64
	below    int64 // the stream has let go of the messages below, or they are not this incarnation's any more
	retried  bool  // those of dead letters that were stored late, and not the others
}

// expiring lists the incarnations with rows that may go by their place, and
// then those with rows of dead letters that may. An earlier incarnation has no
// say behind the place where a later one begins, and keeps nothing there.
func (s *Stream) expiring(ctx context.Context, conn *pgxpool.Conn, held uint64) ([]expiring, error) {
	rows, err := conn.Query(ctx, `WITH incarnations AS MATERIALIZED (
			SELECT i.id, CASE WHEN $3::bigint <= i.until THEN $3::bigint ELSE `+noSeq+` END AS below, coalesce(e.seq, 0) AS seq, coalesce(e.retried, '-infinity') AS retried
			FROM (SELECT id, coalesce(min(start_seq) OVER (ORDER BY id ROWS BETWEEN 1 FOLLOWING AND UNBOUNDED FOLLOWING) - 1, `+noSeq+`) AS until
				FROM landfall.streams WHERE cluster = $1 AND name = $2) AS i
			LEFT JOIN landfall.expired AS e ON e.stream_id = i.id)
		SELECT id, below, false AS late FROM incarnations AS i CROSS JOIN LATERAL (
			SELECT FROM `+s.table.Sanitize()+` WHERE stream_id = i.id AND seq > i.seq AND seq < i.below ORDER BY seq LIMIT 1) AS rest
		UNION ALL
		SELECT id, below, true FROM incarnations AS i CROSS JOIN LATERAL (
			SELECT FROM landfall.dead_letters WHERE stream_id = i.id AND resolution = 'stored'
				AND resolved_at > i.retried AND resolved_at < now() - $4::interval ORDER BY resolved_at LIMIT 1) AS rest
		ORDER BY late, id`, s.cluster, s.name, int64(min(held, math.MaxInt64)), s.keep)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, func(row pgx.CollectableRow) (e expiring, err error) {
		err = row.Scan(&e.streamID, &e.below, &e.retried)
		return e, err
	})
}

// noSeq is beyond every sequence.
const noSeq = "9223372036854775807"

// expire deletes some rows of an incarnation, and notes with them how far it
// came.
func (s *Stream) expire(ctx context.Context, conn *pgxpool.Conn, one expiring, most int) (rows int, more bool, err error) {
	var seq int64
	err = conn.QueryRow(ctx, `SELECT seq FROM landfall.expired WHERE stream_id = $1 FOR UPDATE`, one.streamID).Scan(&seq)
	switch {
	case errors.Is(err, pgx.ErrNoRows):
		// Whoever looks for repeats locks this row: it has to be there first.
		_, err = conn.Exec(ctx, `INSERT INTO landfall.expired (stream_id, seq) VALUES ($1, 0) ON CONFLICT DO NOTHING`, one.streamID)
		return 0, true, err
	case err != nil:
		return 0, false, err
	case one.retried:
		return s.expireRetried(ctx, conn, one, most)
	}
	return s.expireInOrder(ctx, conn, one, seq, most)
}

// expireInOrder deletes the rows behind sequence seq up to the first that has
// to stay. Rows are stored in the order of their sequences, but for those of
// dead letters that were retried: their time comes later, see expireRetried.
func (s *Stream) expireInOrder(ctx context.Context, conn *pgxpool.Conn, one expiring, seq int64, most int) (rows int, more bool, err error) {
	var to int64
	var looked int
	err = conn.QueryRow(ctx, `WITH page AS MATERIALIZED (
			SELECT seq, stored_at >= now() - $4::interval AS young FROM `+s.table.Sanitize()+`
			WHERE stream_id = $1 AND seq > $2 AND seq < $3 ORDER BY seq LIMIT $5)
		SELECT coalesce(max(seq) FILTER (WHERE seq < coalesce((SELECT min(p.seq) FROM page AS p
				LEFT JOIN LATERAL (SELECT seq FROM landfall.dead_letters WHERE stream_id = $1 AND seq = p.seq AND coalesce(resolution, '') = 'stored' LIMIT 1) AS late ON true
				WHERE p.young AND late.seq IS NULL), `+noSeq+`)), $2),
			count(*) FROM page`, one.streamID, seq, one.below, s.keep, most).Scan(&to, &looked)
	if err != nil || to == seq {
		return 0, false, err
	}
	tag, err := conn.Exec(ctx, `DELETE FROM `+s.table.Sanitize()+` WHERE stream_id = $1 AND seq > $2 AND seq <= $3 AND stored_at < now() - $4::interval`,
		one.streamID, seq, to, s.keep)
	if err != nil {
		return 0, false, err
	}
	_, err = conn.Exec(ctx, `UPDATE landfall.expired SET seq = $2 WHERE stream_id = $1`, one.streamID, to)
	return int(tag.RowsAffected()), looked == most, err
}

// expireRetried deletes rows of dead letters that were stored when the rows
// around them had been there for a while, and have come of age since.
func (s *Stream) expireRetried(ctx context.Context, conn *pgxpool.Conn, one expiring, most int) (rows int, more bool, err error) {
	var seqs []int64
	var last *time.Time
	err = conn.QueryRow(ctx, `SELECT coalesce(array_agg(seq), '{}'), max(resolved_at) FROM (
			SELECT d.seq, d.resolved_at FROM landfall.dead_letters AS d JOIN landfall.expired AS e USING (stream_id)
			WHERE d.stream_id = $1 AND d.resolution = 'stored' AND d.resolved_at > e.retried AND d.resolved_at < now() - $2::interval
			ORDER BY d.resolved_at FETCH FIRST $3 ROWS WITH TIES) AS due`, one.streamID, s.keep, most).Scan(&seqs, &last)
	if err != nil || len(seqs) == 0 {
		return 0, false, err
	}
	tag, err := conn.Exec(ctx, `DELETE FROM `+s.table.Sanitize()+` WHERE stream_id = $1 AND seq = ANY($2)
		AND seq <= (SELECT seq FROM landfall.expired WHERE stream_id = $1) AND stored_at < now() - $3::interval`, one.streamID, seqs, s.keep)
	if err != nil {
		return 0, false, err
	}
	_, err = conn.Exec(ctx, `UPDATE landfall.expired SET retried = $2 WHERE stream_id = $1`, one.streamID, last)
	return int(tag.RowsAffected()), len(seqs) >= most, err
}
