package store

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"landfall/cluster"
	"landfall/message"
)

// badShare is how many messages of a batch are bad, and how.
type badShare struct {
	name string
	bad  func(i int) bool
	body string
}

func badShares() []badShare {
	const check = `{"id": %d, "name": "bad"}`
	tenths := func(i int) bool { return i%10 == 1 || i%10 == 4 || i%10 == 5 }
	return []badShare{
		{"clean", func(int) bool { return false }, ""},
		{"1 of 500 refused by a check", func(i int) bool { return i%500 == 1 }, check},
		{"30 % refused by a check", tenths, check},
		{"30 % not JSON", tenths, `{"id": %d, `},
	}
}

// How fast tables are filled, by mode and by how many of the messages are bad:
// refused here (not JSON) or by Postgres. Within a mode they write in turns, so
// that whatever else the machine does is everyone's lot; the figures are
// medians.
func BenchmarkBadRows(b *testing.B) {
	for _, mode := range []cluster.Mode{"messages", cluster.Append, cluster.Upsert, cluster.KeepFirst} {
		b.Run(string(mode), func(b *testing.B) {
			type stream struct {
				*Stream
				cur    message.Cursor
				bodies []string
				took   []time.Duration
			}
			shares := badShares()
			streams := make([]stream, len(shares))
			for i, share := range shares {
				s := &streams[i]
				s.Stream, s.cur = badRowsStream(b, mode)
				s.bodies = benchBodies(share)
			}
			for b.Loop() {
				for i := range streams {
					s := &streams[i]
					batch := batchOf(s.Stream, documents(s.cur, s.bodies...))
					began := time.Now()
					out, err := s.Write(b.Context(), s.cur, batch)
					s.took = append(s.took, time.Since(began))
					if err != nil {
						b.Fatal(err)
					}
					s.cur = out.Cursor
				}
			}
			median := func(i int) float64 {
				slices.Sort(streams[i].took)
				return streams[i].took[len(streams[i].took)/2].Seconds()
			}
			for i, share := range shares {
				b.Logf("%s: %.0f rows/s, %.2f of the clean ones", share.name, float64(len(streams[i].bodies))/median(i), median(0)/median(i))
			}
		})
	}
}

func badRowsStream(b *testing.B, mode cluster.Mode) (*Stream, message.Cursor) {
	d := newDatabase(b)
	if mode == "messages" {
		d.exec(`ALTER TABLE messages ADD CHECK (content NOT LIKE '%"bad"%' AND content LIKE '%}')`)
		return d.stream()
	}
	d.exec(`CREATE TABLE own (id int, name text CHECK (name <> 'bad'), amount numeric, at timestamptz, ok boolean, note text, n bigint, doc jsonb)`)
	t := &cluster.Table{Schema: "public", Name: "own", Mode: mode}
	if mode != cluster.Append {
		d.exec(`CREATE UNIQUE INDEX ON own (id)`)
		t.Key = []string{"id"}
	}
	return d.ownStream(t)
}

// benchBodies are the documents of a batch, for fewer keys than there are rows.
func benchBodies(share badShare) []string {
	const rows, keys = 5000, 2000
	bodies := make([]string, rows)
	for i := range bodies {
		bodies[i] = fmt.Sprintf(`{"id": %d, "name": "somebody", "amount": 12.50, "at": "2026-11-22T12:00:00Z", "ok": true, "note": "landfall landfall landfall", "n": %d, "doc": {"a": [1, 2]}}`, i%keys, i)
		if share.bad(i) {
			bodies[i] = fmt.Sprintf(share.body, i%keys)
		}
	}
	return bodies
}
