package store

import (
	"context"

	"github.com/jackc/pgx/v5"
)

// Account is what became of one incarnation's sequences, from its first to
// the cursor.
type Account struct {
	Stream      string `json:"stream"`
	Table       string `json:"table,omitempty"` // of the user's own; its rows are not counted: stored is what the cursor passed otherwise
	StreamID    int64  `json:"stream_id"`
	Incarnation string `json:"incarnation"`
	Start       int64  `json:"start_seq"`
	Cursor      int64  `json:"cursor"`
	Rows        int64  `json:"stored"`
	DeadLetters int64  `json:"dead_letters"`
	Duplicates  int64  `json:"duplicates"`
	Gaps        int64  `json:"gaps"`    // sequences, not ranges
	Expired     int64  `json:"expired"` // rows that keep has had deleted: sequences up to Cleared that are in no place
	Cleared     int64  `json:"-"`       // up to here rows may have been deleted; 0: nowhere

	// Missing are ranges of sequences that are nowhere, and Twice are those
	// that are in more than one place, or beyond the cursor; both empty if all
	// is well. The first twenty at most.
	Missing []Range `json:"missing"`
	Twice   []Range `json:"twice"`
}

// Range is sequences from From to To, both included.
type Range struct {
	From int64 `json:"from"`
	To   int64 `json:"to"`
}

// Audit counts what became of the cluster's sequences, in one snapshot. It
// reads every row of the messages table.
func (s *Store) Audit(ctx context.Context) ([]Account, error) {
	tx, err := s.pool.BeginTx(ctx, pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly})
	if err != nil {
		return nil, explain("connect to Postgres", err)
	}
	defer func() { _ = tx.Rollback(context.WithoutCancel(ctx)) }()
	rows, err := tx.Query(ctx, `SELECT s.name AS stream, s.id AS stream_id, s.incarnation::text, s.start_seq, s.last_seq AS cursor,
			(SELECT count(*) FROM `+s.table.Sanitize()+` m WHERE m.stream_id = s.id) AS rows,
			(SELECT count(*) FROM landfall.dead_letters d WHERE d.stream_id = s.id AND resolution IS DISTINCT FROM 'stored') AS dead_letters,
			(SELECT count(*) FROM landfall.duplicates d WHERE d.stream_id = s.id) AS duplicates,
			(SELECT coalesce(sum(to_seq - from_seq + 1), 0)::bigint FROM landfall.gaps g WHERE g.stream_id = s.id) AS gaps,
			coalesce((SELECT seq FROM landfall.expired e WHERE e.stream_id = s.id), 0) AS cleared
		FROM landfall.streams s WHERE s.cluster = $1 ORDER BY s.name, s.id`, s.cluster)
	if err != nil {
		return nil, explain("count what is stored", err)
	}
	accounts, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (a Account, err error) {
		a.Missing, a.Twice = []Range{}, []Range{}
		err = row.Scan(&a.Stream, &a.StreamID, &a.Incarnation, &a.Start, &a.Cursor, &a.Rows, &a.DeadLetters, &a.Duplicates, &a.Gaps, &a.Cleared)
		return a, err
	})
	if err != nil {
		return nil, explain("count what is stored", err)
	}
	for i := range accounts {
		if t := s.tables[accounts[i].Stream]; t != nil {
			a := &accounts[i]
			a.Table = t.String()
			a.Rows = a.Cursor - a.Start + 1 - a.DeadLetters - a.Duplicates - a.Gaps
			continue
		}
		if err := s.examine(ctx, tx, &accounts[i]); err != nil {
			return nil, explain("look for missing sequences", err)
		}
		if err := s.countExpired(ctx, tx, &accounts[i]); err != nil {
			return nil, explain("count what keep has had deleted", err)
		}
	}
	return accounts, nil
}

// examine finds where an account has holes or overlaps: behind each place a
// sequence is in, the next one has to begin. A hole that keep has made is none.
func (s *Store) examine(ctx context.Context, tx pgx.Tx, a *Account) error {
	rows, err := tx.Query(ctx, `WITH places AS (
			SELECT $2::bigint - 1 AS first, $2::bigint - 1 AS last
			UNION ALL SELECT seq, seq FROM `+s.table.Sanitize()+` WHERE stream_id = $1
			UNION ALL SELECT seq, seq FROM landfall.dead_letters WHERE stream_id = $1 AND resolution IS DISTINCT FROM 'stored'
			UNION ALL SELECT seq, seq FROM landfall.duplicates WHERE stream_id = $1
			UNION ALL SELECT from_seq, to_seq FROM landfall.gaps WHERE stream_id = $1
		), within AS (
			SELECT first, last, max(last) OVER (ORDER BY first, last ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS before
			FROM (SELECT * FROM places WHERE first <= $3::bigint UNION ALL SELECT $3::bigint + 1, $3::bigint + 1) AS p
		) SELECT first, last, greatest(before, least(first - 1, $4::bigint)) FROM within WHERE first <> before + 1 AND (first <= before OR first > $4::bigint + 1)
		UNION ALL SELECT first, last, last FROM places WHERE first > $3::bigint
		ORDER BY 1, 2 LIMIT 20`, a.StreamID, a.Start, a.Cursor, a.Cleared)
	if err != nil {
		return err
	}
	var first, last, before int64
	_, err = pgx.ForEachRow(rows, []any{&first, &last, &before}, func() error {
		switch {
		case first > before+1:
			a.Missing = append(a.Missing, Range{before + 1, first - 1})
		default:
			a.Twice = append(a.Twice, Range{first, min(last, before)})
		}
		return nil
	})
	return err
}

// countExpired counts the holes that keep has made.
func (s *Store) countExpired(ctx context.Context, tx pgx.Tx, a *Account) error {
	if a.Cleared < a.Start {
		return nil
	}
	return tx.QueryRow(ctx, `SELECT $3::bigint - $2::bigint + 1
			- (SELECT count(*) FROM `+s.table.Sanitize()+` WHERE stream_id = $1 AND seq <= $3)
			- (SELECT count(*) FROM landfall.dead_letters WHERE stream_id = $1 AND seq <= $3 AND resolution IS DISTINCT FROM 'stored')
			- (SELECT count(*) FROM landfall.duplicates WHERE stream_id = $1 AND seq <= $3)
			- (SELECT coalesce(sum(least(to_seq, $3) - from_seq + 1), 0)::bigint FROM landfall.gaps WHERE stream_id = $1 AND from_seq <= $3)`,
		a.StreamID, a.Start, a.Cleared).Scan(&a.Expired)
}

// Complete tells whether every sequence is in exactly one place.
func (a Account) Complete() bool { return len(a.Missing) == 0 && len(a.Twice) == 0 }
