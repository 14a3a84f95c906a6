package store

import (
	"context"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/jackc/pgx/v5"

	"landfall/message"
)

const (
	receiptDeadline = 3 * time.Second // somebody waits, and can ask again
	unstoredPage    = 1000            // receipts read at a time
)

// incarnations are those of a stream, and from where to where each has the
// word: a later one begins behind what it has in common with those before.
const incarnations = `WITH incarnations AS MATERIALIZED (
		SELECT id, start_seq AS first, least(last_seq,
			min(start_seq) OVER (ORDER BY id ROWS BETWEEN 1 FOLLOWING AND UNBOUNDED FOLLOWING) - 1) AS last
		FROM landfall.streams WHERE cluster = $1 AND name = $2)
	`

// Receipts tells what has become of sequences of a stream: one receipt for
// each, in their order, from one snapshot and in one round trip. It runs beside
// the sinks, on sessions of its own. A sequence that the cursor has passed and
// that is in no table was a row until somebody deleted it; it counts as stored,
// and its message id is not known.
func (s *Store) Receipts(ctx context.Context, stream string, seqs []uint64) ([]message.Receipt, error) {
	ctx, cancel := context.WithTimeout(ctx, receiptDeadline)
	defer cancel()
	asked := make([]int64, len(seqs))
	for i, seq := range seqs {
		asked[i] = int64(min(seq, math.MaxInt64))
	}
	rows, err := s.asking.Query(ctx, s.receiptsQuery(), s.cluster, stream, asked)
	if err != nil {
		return nil, explain("look up receipts", err)
	}
	receipts := make([]message.Receipt, 0, len(seqs))
	var r message.Receipt
	var of int64
	var id []byte
	_, err = pgx.ForEachRow(rows, []any{&r.State, &of, &id, &r.SQLState, &r.Reason}, func() error {
		if len(receipts) == len(seqs) {
			return errors.New("more answers than sequences")
		}
		r.Seq, r.Of, r.ID = seqs[len(receipts)], uint64(of), string(id)
		receipts = append(receipts, r)
		return nil
	})
	if err != nil {
		return nil, explain("look up receipts", err)
	}
	if len(receipts) != len(seqs) {
		return nil, fmt.Errorf("look up receipts: %d answers for %d sequences", len(receipts), len(seqs))
	}
	return receipts, nil
}

// receiptsQuery looks up the sequences $3. The LIMITs keep every look-up what it
// is, one by key for each sequence, whatever the statistics say. A sequence that
// the incarnation with the word on it has not come to is pending, though an
// earlier one may have a row there.
func (s *Store) receiptsQuery() string {
	return incarnations + `
		SELECT CASE WHEN i.id IS NULL THEN 'pending'
				WHEN u.of_seq IS NOT NULL THEN 'duplicate'
				WHEN m.id IS NULL AND d.dead THEN 'dead-lettered'
				WHEN m.id IS NULL AND g.to_seq >= asked.seq THEN 'gap'
				ELSE 'stored' END,
			coalesce(u.of_seq, 0), coalesce(m.id, d.id, ''),
			CASE WHEN m.id IS NULL AND d.dead THEN d.sqlstate ELSE '' END,
			CASE WHEN m.id IS NULL AND d.dead THEN d.reason ELSE '' END
		FROM unnest($3::bigint[]) WITH ORDINALITY AS asked (seq, place)
		LEFT JOIN LATERAL (SELECT id FROM incarnations WHERE asked.seq BETWEEN first AND last LIMIT 1) AS i ON true
		LEFT JOIN LATERAL (SELECT of_seq FROM landfall.duplicates
			WHERE stream_id = i.id AND seq = asked.seq LIMIT 1) AS u ON true
		LEFT JOIN LATERAL (SELECT convert_to(coalesce(msg_id, ''), 'UTF8') AS id FROM ` + s.table.Sanitize() + `
			WHERE stream_id = i.id AND seq = coalesce(u.of_seq, asked.seq) LIMIT 1) AS m ON true
		LEFT JOIN LATERAL (SELECT ` + letter + `, resolution IS DISTINCT FROM 'stored' AS dead FROM landfall.dead_letters
			WHERE m.id IS NULL AND stream_id = i.id AND seq = coalesce(u.of_seq, asked.seq) LIMIT 1) AS d ON true
		LEFT JOIN LATERAL (SELECT to_seq FROM landfall.gaps
			WHERE m.id IS NULL AND stream_id = i.id AND from_seq <= asked.seq ORDER BY from_seq DESC LIMIT 1) AS g ON true
		ORDER BY asked.place`
}

// letter is what a receipt tells of a dead letter.
const letter = `coalesce(msg_id, '') AS id, coalesce(sqlstate, '') AS sqlstate, coalesce(nullif(reason, ''), 'no reason is recorded') AS reason`

// Unstored calls each, in order, for the sequences from first to last that are
// dead letters or repeat one, and for the first of each run that is a gap. They
// are read page by page, so that a caller who takes his time holds no session
// meanwhile.
func (s *Store) Unstored(ctx context.Context, stream string, first, last uint64, each func(message.Receipt)) error {
	for first <= last {
		page, err := s.unstored(ctx, stream, first, last)
		if err != nil {
			return err
		}
		for _, r := range page {
			each(r)
		}
		if len(page) < unstoredPage {
			break
		}
		first = page[len(page)-1].Seq + 1
	}
	return nil
}

// unstored reads the first page of them.
func (s *Store) unstored(ctx context.Context, stream string, first, last uint64) ([]message.Receipt, error) {
	ctx, cancel := context.WithTimeout(ctx, callDeadline)
	defer cancel()
	rows, err := s.asking.Query(ctx, incarnations+`
		SELECT found.* FROM incarnations AS i CROSS JOIN LATERAL (
			(SELECT 'dead-lettered', seq, 0::bigint, `+letter+` FROM landfall.dead_letters
				WHERE stream_id = i.id AND seq BETWEEN greatest($3, i.first) AND least($4, i.last)
					AND resolution IS DISTINCT FROM 'stored'
				ORDER BY seq LIMIT $5)
			UNION ALL
			(SELECT 'duplicate', u.seq, u.of_seq, `+letter+` FROM landfall.duplicates AS u
				JOIN landfall.dead_letters AS d ON d.stream_id = u.stream_id AND d.seq = u.of_seq
				WHERE u.stream_id = i.id AND u.seq BETWEEN greatest($3, i.first) AND least($4, i.last)
					AND d.resolution IS DISTINCT FROM 'stored'
				ORDER BY u.seq LIMIT $5)
			UNION ALL
			(SELECT 'gap', greatest(from_seq, $3), 0::bigint, ''::bytea, '', '' FROM landfall.gaps
				WHERE stream_id = i.id AND from_seq <= least($4, i.last) AND to_seq >= greatest($3, i.first)
				ORDER BY from_seq LIMIT $5)
		) AS found (state, seq, of, id, sqlstate, reason) ORDER BY found.seq LIMIT $5`,
		s.cluster, stream, int64(min(first, math.MaxInt64)), int64(min(last, math.MaxInt64)), unstoredPage)
	if err != nil {
		return nil, explain("look up what was not stored", err)
	}
	page, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (r message.Receipt, err error) {
		var seq, of int64
		var id []byte
		err = row.Scan(&r.State, &seq, &of, &id, &r.SQLState, &r.Reason)
		r.Seq, r.Of, r.ID = uint64(seq), uint64(of), string(id)
		return r, err
	})
	if err != nil {
		return nil, explain("look up what was not stored", err)
	}
	return page, nil
}
