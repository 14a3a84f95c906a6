package store

import (
	"context"
	"errors"
	"math"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"landfall/message"
)

// Newest is the cursor of the stream's latest incarnation, without its
// fingerprint, whatever the stream itself is by now. It is the zero cursor if
// Postgres knows none.
func (s *Stream) Newest(ctx context.Context) (message.Cursor, error) {
	ctx, cancel := context.WithTimeout(ctx, callDeadline)
	defer cancel()
	cur, err := scanNewest(s.pool.QueryRow(ctx, newestQuery, s.cluster, s.name))
	if err != nil {
		return cur, explain("read the latest incarnation", err)
	}
	return cur, nil
}

// lockNewest is Newest behind the row's lock, where no batch is under way.
func (s *Stream) lockNewest(ctx context.Context, conn *pgxpool.Conn) (message.Cursor, error) {
	if _, err := scanNewest(conn.QueryRow(ctx, newestQuery+" FOR UPDATE", s.cluster, s.name)); err != nil {
		return message.Cursor{}, err
	}
	// Another node may have entered a later one while this one waited.
	return scanNewest(conn.QueryRow(ctx, newestQuery, s.cluster, s.name))
}

const newestQuery = `SELECT id, incarnation::text, last_seq FROM landfall.streams
	WHERE cluster = $1 AND name = $2 ORDER BY id DESC LIMIT 1`

func scanNewest(row pgx.Row) (cur message.Cursor, err error) {
	var seq int64
	err = row.Scan(&cur.StreamID, &cur.Incarnation, &seq)
	if errors.Is(err, pgx.ErrNoRows) {
		return message.Cursor{}, nil
	}
	cur.Seq = uint64(seq)
	return cur, err
}

// RowAtOrBelow returns the last sequence at or below seq that is a row, in
// whichever table, or a dead letter, in the incarnation that has the last word
// on it: a later one begins behind what it has in common with those before.
// found is false if there is none.
func (s *Stream) RowAtOrBelow(ctx context.Context, seq uint64) (at uint64, row message.Trace, found bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, callDeadline)
	defer cancel()
	var rowSeq, ns int64
	var id []byte
	row.Unit = time.Microsecond
	err = s.pool.QueryRow(ctx, `WITH incarnations AS (
			SELECT id, least($3, coalesce(min(start_seq) OVER (ORDER BY id ROWS BETWEEN 1 FOLLOWING AND UNBOUNDED FOLLOWING) - 1, $3)) AS until
			FROM landfall.streams WHERE cluster = $1 AND name = $2)
		SELECT found.seq, found.ns, found.id
		FROM incarnations AS i CROSS JOIN LATERAL (
			(SELECT seq, (extract(epoch FROM published_at) * 1000000)::bigint * 1000 AS ns, convert_to(coalesce(msg_id, ''), 'UTF8') AS id
				FROM `+s.table.Sanitize()+` WHERE stream_id = i.id AND seq <= i.until ORDER BY seq DESC LIMIT 1)
			UNION ALL
			(SELECT seq, published_at / 1000 * 1000, coalesce(msg_id, '')
				FROM landfall.dead_letters WHERE stream_id = i.id AND seq <= i.until ORDER BY seq DESC LIMIT 1)
			UNION ALL
			(SELECT at, times[cardinality(times) - (last_seq - at)] / 1000 * 1000, NULL FROM (
				(SELECT last_seq, times, i.until AS at FROM landfall.batches WHERE stream_id = i.id AND last_seq >= i.until ORDER BY last_seq LIMIT 1)
				UNION ALL
				(SELECT last_seq, times, last_seq FROM landfall.batches WHERE stream_id = i.id AND last_seq < i.until ORDER BY last_seq DESC LIMIT 1)
			) AS batches WHERE at > last_seq - cardinality(times) ORDER BY at DESC LIMIT 1)
		) AS found ORDER BY found.seq DESC, found.id LIMIT 1`,
		s.cluster, s.name, int64(min(seq, math.MaxInt64))).Scan(&rowSeq, &ns, &id)
	if errors.Is(err, pgx.ErrNoRows) {
		return 0, message.Trace{}, false, nil
	}
	if err != nil {
		return 0, message.Trace{}, false, explain("read the last rows", err)
	}
	row.Time, row.ID, row.Named = time.Unix(0, ns), string(id), id != nil
	return uint64(rowSeq), row, true, nil
}
