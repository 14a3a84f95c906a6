package main

import (
	"bytes"
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
)

// copyBatches are the rows of a COPY, each a transaction of its own; 0: all in
// one. The best counts.
func copyBatches() []int { return []int{1_000, 5_000, 10_000, 50_000, 0} }

// bestCopy copies the rows that were just drained into a table with the same
// columns and indexes: ready-made binary buffers, as Postgres itself writes
// them, so that nothing but the server's work is left.
func (s *stage) bestCopy(ctx context.Context) (best float64, err error) {
	conn, err := s.db.Acquire(ctx)
	if err != nil {
		return 0, err
	}
	defer conn.Release()
	var rows int
	if err := conn.QueryRow(ctx, "SELECT count(*) FROM public.messages").Scan(&rows); err != nil {
		return 0, err
	}
	for _, batch := range copyBatches() {
		rate, err := copyAlone(ctx, conn, rows, batch)
		if err != nil {
			return 0, err
		}
		best = max(best, rate)
	}
	_, err = conn.Exec(ctx, "DROP TABLE IF EXISTS bare")
	return best, err
}

func copyAlone(ctx context.Context, conn *pgxpool.Conn, rows, batch int) (float64, error) {
	for _, statement := range []string{
		"DROP TABLE IF EXISTS bare, numbered",
		"CREATE TABLE bare (LIKE public.messages INCLUDING ALL)",
		"CREATE TEMPORARY TABLE numbered AS SELECT row_number() OVER (ORDER BY stream_id, seq) AS n, stream_id, seq FROM public.messages",
		"CHECKPOINT",
	} {
		if _, err := conn.Exec(ctx, statement); err != nil {
			return 0, err
		}
	}
	if batch == 0 {
		batch = rows
	}
	var ready []*bytes.Buffer
	for from := 0; from < rows; from += batch {
		b := &bytes.Buffer{}
		query := fmt.Sprintf("COPY (SELECT m.* FROM public.messages AS m JOIN numbered USING (stream_id, seq) WHERE n > %d AND n <= %d ORDER BY n) TO STDOUT BINARY", from, from+batch)
		if _, err := conn.Conn().PgConn().CopyTo(ctx, b, query); err != nil {
			return 0, err
		}
		ready = append(ready, b)
	}
	began := time.Now()
	for _, b := range ready {
		if _, err := conn.Conn().PgConn().CopyFrom(ctx, b, "COPY bare FROM STDIN BINARY"); err != nil {
			return 0, err
		}
	}
	return float64(rows) / time.Since(began).Seconds(), nil
}
