package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"landfall/drill"
)

// tableKeys is over how many keys the changes of an upsert go. It is a
// multiple of tableBatch: no batch of the peer's has a key twice, which would
// be an error there.
const tableKeys = 50_000

// tableBatch is how many rows the peer writes in a transaction.
const tableBatch = 5_000

// orderColumns are the columns of both tables and the fields of a document.
const orderColumns = "id, customer, region, amount, quantity, price, paid, tags, details, note, placed_at, ref"

func orderTable(name, key string) string {
	return "CREATE TABLE " + name + " (id bigint " + key + `, customer text, region text, amount numeric(12,2), quantity integer, price double precision,
		paid boolean, tags text[], details jsonb, note text, placed_at timestamptz, ref uuid)`
}

// order is the i-th document.
func order(i, keys int) []byte {
	return fmt.Appendf(nil, `{"id":%d,"customer":"customer-%d","region":"north-%d","amount":"%d.25","quantity":%d,"price":%d.5,"paid":%t,"tags":["new","web"],`+
		`"details":{"source":"shop","step":%d},"note":"as it was ordered","placed_at":"2026-01-02T03:04:05.%06dZ","ref":"00000000-0000-4000-8000-%012d"}`,
		i%keys, i%1000, i%7, i, i%10, i%100, i%2 == 0, i%5, i%1_000_000, i)
}

// orderRow is the same with the types that the columns have.
func orderRow(i, keys int) []any {
	return []any{
		int64(i % keys), fmt.Sprintf("customer-%d", i%1000), fmt.Sprintf("north-%d", i%7), fmt.Sprintf("%d.25", i), int32(i % 10), float64(i%100) + 0.5,
		i%2 == 0, []string{"new", "web"}, fmt.Sprintf(`{"source":"shop","step":%d}`, i%5), "as it was ordered",
		time.Date(2026, 1, 2, 3, 4, 5, i%1_000_000*1000, time.UTC), fmt.Sprintf("00000000-0000-4000-8000-%012d", i),
	}
}

func measureTables(ctx context.Context, o *options, p *progress) ([]row, error) {
	s, err := startStage(ctx, o, drill.Options{Streams: []string{
		`APPENDED: { subjects: ["appended.>"], max_bytes: 8GiB, table: appended }`,
		`UPSERTED: { subjects: ["upserted.>"], max_bytes: 8GiB, table: upserted, mode: upsert, key: [id] }`,
	}}, orderTable("appended", ""), orderTable("upserted", "PRIMARY KEY"), orderTable("peer_appended", ""), orderTable("peer_upserted", "PRIMARY KEY"))
	if err != nil {
		return nil, err
	}
	defer s.close()
	n := min(o.messages, 100_000)
	var rows []row
	for _, t := range []struct {
		name string
		keys int
		peer func(ctx context.Context, n, keys int) (float64, error)
		with string
	}{
		{"append", n, s.copyOrders, "pgx CopyFrom, typed rows in batches of 5,000"},
		{"upsert", tableKeys, s.upsertOrders, "pgx CopyFrom into a temporary table, INSERT ... ON CONFLICT, batches of 5,000"},
	} {
		r := row{Line: fmt.Sprintf("%s, %s documents into 12 columns", t.name, number(float64(n))), Unit: "rows/s", Beside: t.with}
		stream, subject := strings.ToUpper(t.name)+"ED", t.name+"ed.bench"
		for round := range o.rounds {
			if err := inTurns(round,
				func() error { return add(&r.Subject)(s.drainOrders(ctx, stream, subject, n, t.keys)) },
				func() error { return add(&r.Limit)(t.peer(ctx, n, t.keys)) },
				func() error {
					_, err := s.db.Exec(ctx, "TRUNCATE appended, upserted, peer_appended, peer_upserted")
					return err
				},
			); err != nil {
				return nil, fmt.Errorf("%s, round %d: %w", t.name, round+1, err)
			}
			p.say("round %d: %s %s rows/s, pgx %s", round+1, t.name, number(r.Subject[round]), number(r.Limit[round]))
		}
		rows = append(rows, r)
	}
	return rows, nil
}

func (s *stage) drainOrders(ctx context.Context, stream, subject string, n, keys int) (float64, error) {
	return s.drainInto(ctx, stream, func() error {
		_, err := s.publishEach(ctx, subject, n, func(i int) []byte { return order(i, keys) })
		return err
	})
}

// copyOrders is append as one would write it by hand.
func (s *stage) copyOrders(ctx context.Context, n, keys int) (float64, error) {
	return s.inBatches(ctx, n, func(tx pgx.Tx, from, to int) error {
		return copyOrderRows(ctx, tx, "peer_appended", from, to, keys)
	})
}

// upsertOrders is upsert as one would write it by hand.
func (s *stage) upsertOrders(ctx context.Context, n, keys int) (float64, error) {
	var set []string
	for _, column := range strings.Split(orderColumns, ", ")[1:] {
		set = append(set, column+" = EXCLUDED."+column)
	}
	return s.inBatches(ctx, n, func(tx pgx.Tx, from, to int) error {
		if _, err := tx.Exec(ctx, "CREATE TEMPORARY TABLE IF NOT EXISTS staged (LIKE peer_upserted) ON COMMIT DELETE ROWS"); err != nil {
			return err
		}
		if err := copyOrderRows(ctx, tx, "staged", from, to, keys); err != nil {
			return err
		}
		_, err := tx.Exec(ctx, "INSERT INTO peer_upserted SELECT * FROM staged ON CONFLICT (id) DO UPDATE SET "+strings.Join(set, ", "))
		return err
	})
}

func copyOrderRows(ctx context.Context, tx pgx.Tx, table string, from, to, keys int) error {
	_, err := tx.CopyFrom(ctx, pgx.Identifier{table}, strings.Split(orderColumns, ", "),
		pgx.CopyFromSlice(to-from, func(i int) ([]any, error) { return orderRow(from+i, keys), nil }))
	return err
}

// inBatches has each batch written in a transaction, and returns rows a second.
func (s *stage) inBatches(ctx context.Context, n int, write func(tx pgx.Tx, from, to int) error) (float64, error) {
	conn, err := s.db.Acquire(ctx)
	if err != nil {
		return 0, err
	}
	defer conn.Release()
	began := time.Now()
	for from := 0; from < n; from += tableBatch {
		err := pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error { return write(tx, from, min(n, from+tableBatch)) })
		if err != nil {
			return 0, err
		}
	}
	return float64(n) / time.Since(began).Seconds(), nil
}
