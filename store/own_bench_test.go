package store

import (
	"fmt"
	"testing"

	"landfall/cluster"
)

// How fast a table of the user's own is filled, by mode and by how many of the
// messages are bad: refused here (not JSON) or by Postgres (a check).
func BenchmarkOwn(b *testing.B) {
	const rows, keys = 5000, 2000
	for _, mode := range []cluster.Mode{cluster.Append, cluster.Upsert, cluster.KeepFirst} {
		for _, bad := range []struct {
			name  string
			every int
			body  string
		}{{"clean", 0, ""}, {"1in500check", 500, `{"id": %d, "name": "bad"}`}, {"3in10check", 3, `{"id": %d, "name": "bad"}`}, {"3in10json", 3, `{"id": %d, `}} {
			b.Run(string(mode)+"/"+bad.name, func(b *testing.B) {
				d := newDatabase(b)
				d.exec(`CREATE TABLE own (id int, name text CHECK (name <> 'bad'), amount numeric, at timestamptz, ok boolean, note text, n bigint, doc jsonb)`)
				t := &cluster.Table{Schema: "public", Name: "own", Mode: mode}
				if mode != cluster.Append {
					d.exec(`CREATE UNIQUE INDEX ON own (id)`)
					t.Key = []string{"id"}
				}
				s, cur := d.ownStream(t)
				bodies := make([]string, rows)
				for i := range bodies {
					bodies[i] = fmt.Sprintf(`{"id": %d, "name": "somebody", "amount": 12.50, "at": "2026-11-22T12:00:00Z", "ok": true, "note": "landfall landfall landfall", "n": %d, "doc": {"a": [1, 2]}}`, i%keys, i)
					if bad.every > 0 && i%bad.every == 1 {
						bodies[i] = fmt.Sprintf(bad.body, i%keys)
					}
				}
				for b.Loop() {
					ms := documents(cur, bodies...)
					out, err := s.Write(b.Context(), cur, batchOf(s, ms))
					if err != nil {
						b.Fatal(err)
					}
					cur = out.Cursor
				}
				b.ReportMetric(float64(rows*b.N)/b.Elapsed().Seconds(), "rows/s")
			})
		}
	}
}
