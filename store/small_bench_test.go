package store

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"landfall/message"
)

// BenchmarkSmall holds the INSERT of a small batch against COPY, in turns:
// medians, with the fastest and the slowest.
func BenchmarkSmall(b *testing.B) {
	for _, n := range []int{1, 5, 20, 100, 200, 500, 1000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			d := newDatabase(b)
			s, cur := d.stream()
			took := map[string][]time.Duration{}
			ways := map[string]func(*pgxpool.Conn, *message.Batch) (message.Outcome, error){
				"insert": func(c *pgxpool.Conn, batch *message.Batch) (message.Outcome, error) {
					return s.insertBatch(b.Context(), c, cur, batch)
				},
				"copy": func(c *pgxpool.Conn, batch *message.Batch) (message.Outcome, error) {
					return s.copyBatch(b.Context(), c, cur, batch)
				},
			}
			for b.Loop() {
				for name, way := range ways {
					batch := batchOf(s, full(cur)[:n])
					conn, err := s.pool.Acquire(b.Context())
					if err != nil {
						b.Fatal(err)
					}
					began := time.Now()
					out, err := way(conn, batch)
					took[name] = append(took[name], time.Since(began))
					conn.Release()
					if err != nil {
						b.Fatal(err)
					}
					cur = out.Cursor
				}
			}
			for name, all := range took {
				slices.Sort(all)
				b.ReportMetric(float64(all[len(all)/2].Microseconds()), name+"-us")
				b.ReportMetric(float64(all[len(all)*99/100].Microseconds()), name+"-p99-us")
			}
		})
	}
}
