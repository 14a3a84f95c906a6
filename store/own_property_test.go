package store

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"landfall/cluster"
	"landfall/message"
)

// Whatever comes in whichever batches, a table and its dead letters are those
// of the messages one by one. (Under upsert a row that only a constraint of the
// table refuses may go unnoticed if a later one of its key is in the batch.)
func TestOwnBatchesDoNotShow(t *testing.T) {
	t.Parallel()
	for _, mode := range []cluster.Mode{cluster.Append, cluster.Upsert, cluster.KeepFirst} {
		t.Run(string(mode), func(t *testing.T) {
			t.Parallel()
			d := newDatabase(t)
			rapid.Check(t, func(r *rapid.T) {
				bodies := rapid.SliceOfN(ownBody(mode), 1, 60).Draw(r, "bodies")
				ones := make([]int, len(bodies))
				for i := range ones {
					ones[i] = 1
				}
				sizes := rapid.SliceOfN(rapid.IntRange(1, 40), 1, 60).Draw(r, "sizes")
				alone, aloneDead := d.storeInBatches(t, mode, bodies, ones)
				together, togetherDead := d.storeInBatches(t, mode, bodies, sizes)
				if diff := cmp.Diff(alone, together); diff != "" {
					r.Fatalf("rows: %s", diff)
				}
				for seq := range togetherDead {
					if _, ok := aloneDead[seq]; !ok {
						r.Fatalf("%d is a dead letter only in batches: %s", seq, togetherDead[seq])
					}
				}
				if mode == cluster.Append && !maps.Equal(aloneDead, togetherDead) {
					r.Fatalf("dead letters: %s", cmp.Diff(aloneDead, togetherDead))
				}
			})
		})
	}
}

// storeInBatches stores the documents in a table of their own, in batches of
// these sizes, the last one for as long as it takes.
func (d *database) storeInBatches(t *testing.T, mode cluster.Mode, bodies []string, sizes []int) (rows []string, dead map[uint64]string) {
	d.exec(`CREATE TABLE own (id int UNIQUE, name varchar(6) DEFAULT 'x' CHECK (name <> 'bad'), amount numeric(4,1) NOT NULL DEFAULT 0, seq int)`)
	defer d.exec(`DROP TABLE own`)
	table := &cluster.Table{Schema: "public", Name: "own", Mode: mode, Columns: []cluster.Column{column(t, "seq", "message.seq")}}
	if mode != cluster.Append {
		table.Key = []string{"id"}
	}
	s, cur := d.ownStream(table)
	defer s.Close()
	ms := documents(cur, bodies...)
	for i := 0; len(ms) > 0; i++ {
		n := min(sizes[min(i, len(sizes)-1)], len(ms))
		cur = d.write(s, cur, slices.Clone(ms[:n])).Cursor
		ms = ms[n:]
	}
	return d.table(`SELECT concat_ws('|', id, name IS NULL, name, amount, seq) FROM own ORDER BY id, seq`), d.reasons(message.Cursor{StreamID: cur.StreamID})
}

// ownBody makes documents that have much in common, and many faults.
func ownBody(mode cluster.Mode) *rapid.Generator[string] {
	return rapid.Custom(func(r *rapid.T) string {
		id := rapid.IntRange(1, 8).Draw(r, "id")
		if mode == cluster.Upsert && rapid.IntRange(0, 5).Draw(r, "delete") == 0 {
			return fmt.Sprintf(`delete {"id": %d}`, id)
		}
		fields := []string{fmt.Sprintf(`"id": %d`, id)}
		for _, f := range []struct {
			name   string
			values []string
		}{
			{"amount", []string{`1.5`, `"2.25"`, `1e2`, `99999`, `null`, `"x"`, `[1]`}},
			{"id", []string{`"3"`, `null`, `3.5`, `99999999999`}},
			{"name", []string{`"a"`, `"b\\\t\n"`, `null`, `"bad"`, `"too long"`, `"\u0000"`, `7`}},
		} {
			if i := rapid.IntRange(0, 2*len(f.values)).Draw(r, f.name); i < len(f.values) {
				fields = append(fields, fmt.Sprintf("%q: %s", f.name, f.values[i]))
			}
		}
		return "{" + strings.Join(fields, ", ") + "}"
	})
}
