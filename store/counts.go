package store

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"

	"landfall/message"
)

// Waiting is how many of the streams' dead letters wait for somebody.
func (s *Store) Waiting(ctx context.Context, streams []string) (map[string]int64, error) {
	rows, err := s.asking.Query(ctx, `SELECT s.name, count(d.seq) FROM landfall.streams AS s
		LEFT JOIN landfall.dead_letters AS d ON d.stream_id = s.id AND d.resolved_at IS NULL
		WHERE s.cluster = $1 AND s.name = ANY($2) GROUP BY s.name`, s.cluster, streams)
	if err != nil {
		return nil, explain("count the dead letters", err)
	}
	found := map[string]int64{}
	var name string
	var n int64
	if _, err = pgx.ForEachRow(rows, []any{&name, &n}, func() error { found[name] = n; return nil }); err != nil {
		return nil, explain("count the dead letters", err)
	}
	return found, nil
}

// Counts are what Postgres has of the streams beside rows. Unlike Waiting it
// reads through all their duplicates.
func (s *Store) Counts(ctx context.Context, streams []string) (map[string]message.Counts, error) {
	rows, err := s.asking.Query(ctx, `SELECT s.name,
			sum((SELECT count(*) FROM landfall.dead_letters AS d WHERE d.stream_id = s.id AND d.resolved_at IS NULL))::bigint,
			sum((SELECT count(*) FROM landfall.duplicates AS d WHERE d.stream_id = s.id))::bigint,
			coalesce(sum(g.gone), 0)::bigint, max(g.noticed)
		FROM landfall.streams AS s
		LEFT JOIN LATERAL (SELECT sum(to_seq - from_seq + 1) AS gone, max(noticed_at) AS noticed FROM landfall.gaps WHERE stream_id = s.id) AS g ON true
		WHERE s.cluster = $1 AND s.name = ANY($2) GROUP BY s.name`, s.cluster, streams)
	if err != nil {
		return nil, explain("count what is no row", err)
	}
	found := map[string]message.Counts{}
	var name string
	var c message.Counts
	var gap *time.Time
	_, err = pgx.ForEachRow(rows, []any{&name, &c.DeadLetters, &c.Duplicates, &c.Gaps, &gap}, func() error {
		one := c
		if gap != nil {
			one.LastGap = *gap
		}
		found[name] = one
		return nil
	})
	if err != nil {
		return nil, explain("count what is no row", err)
	}
	return found, nil
}
