package store

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"landfall/cluster"
	"landfall/message"
)

func ownModes() []cluster.Mode {
	return []cluster.Mode{cluster.Append, cluster.Upsert, cluster.KeepFirst}
}

// ownStreamOf is a stream of this name that fills a table; its dead letters and
// the table are the test's alone in a database that it shares.
func (d *database) ownStreamOf(name string, t *cluster.Table) (*Stream, message.Cursor) {
	d.Helper()
	c := d.config()
	c.Streams = []cluster.Stream{{Name: name, Table: t}}
	s := d.open(c, "n1").Stream(name)
	return s, d.enter(s)
}

// ownTable is a table for the mode, in public.
func ownTable(name string, mode cluster.Mode, columns ...cluster.Column) *cluster.Table {
	t := &cluster.Table{Schema: "public", Name: name, Mode: mode, Columns: columns}
	if mode != cluster.Append {
		t.Key = []string{"id"}
	}
	return t
}

// Whatever is bad, wherever it is in a batch and in whichever mode: the others
// become rows in their order, the bad ones dead letters with a reason for
// people, and a stream of nothing else pauses.
func TestOwnPoison(t *testing.T) {
	t.Parallel()
	shared := newDatabase(t)
	all := slices.Concat(refusedHere(), refusedByType(), refusedByTable())
	for i, p := range all {
		for _, mode := range ownModes() {
			t.Run(fmt.Sprintf("%s/%s", p.name, mode), func(t *testing.T) {
				t.Parallel()
				p.verify(shared.within(t), fmt.Sprintf("own_%d_%s", i, mode), mode)
			})
		}
	}
}

func (p ownPoison) verify(d *database, table string, mode cluster.Mode) {
	const n = 7
	before := p.create(d, table)
	s, cur := d.ownStreamOf(table, ownTable(table, mode))
	want := map[uint64]bool{}
	for _, bad := range [][]int{{0}, {3}, {n - 1}, {1, 2, 5}, {0, n - 1}} {
		bodies := make([]string, n)
		for i := range bodies {
			id := cur.Seq + 1 + uint64(i)
			if slices.Contains(bad, i) {
				want[id] = true
				bodies[i] = p.body(p.bad, id)
			} else {
				bodies[i] = p.body(p.good, id)
			}
		}
		out := d.write(s, cur, documents(cur, bodies...))
		if out.Rows != n-len(bad) || out.DeadLetters != len(bad) {
			d.Errorf("bad at %v: %+v", bad, out)
		}
		cur = out.Cursor
	}
	// Alone in a batch.
	want[cur.Seq+1] = true
	cur = d.write(s, cur, documents(cur, p.body(p.bad, cur.Seq+1))).Cursor
	p.pauses(d, s, cur)
	cur = d.write(s, cur, documents(cur, p.body(p.good, cur.Seq+1))).Cursor
	var ids []string
	for id := uint64(1); id <= cur.Seq; id++ {
		if !want[id] {
			ids = append(ids, fmt.Sprint(id))
		}
	}
	if diff := cmp.Diff(ids, d.table(fmt.Sprintf(`SELECT id::text FROM %s WHERE n > %d ORDER BY n`, table, before))); diff != "" {
		d.Errorf("rows: %s", diff)
	}
	p.checkReasons(d, cur, want)
}

// create makes the table; n numbers the rows as they come.
func (p ownPoison) create(d *database, table string) (before int64) {
	set := strings.ReplaceAll("CREATE TABLE TABLE (n bigint GENERATED ALWAYS AS IDENTITY, id int UNIQUE, v "+p.v+")", "TABLE (", table+" (")
	types, after, isType := "", p.set, strings.HasPrefix(p.set, "CREATE DOMAIN") || strings.HasPrefix(p.set, "CREATE TYPE")
	if isType {
		types, after = p.set+"; ", ""
	}
	name := func(sql string) string {
		sql = strings.ReplaceAll(sql, "TABLE_", table+"_")
		for _, word := range []string{" ON TABLE ", " INTO TABLE ", "ALTER TABLE TABLE "} {
			sql = strings.ReplaceAll(sql, word, strings.TrimSuffix(word, "TABLE ")+table+" ")
		}
		return sql
	}
	d.exec(name(types + set + "; " + after))
	return one[int64](d, `SELECT count(*) FROM `+table)
}

func (p ownPoison) body(v string, id uint64) string {
	body, whole := strings.CutPrefix(v, "=")
	if !whole {
		body = `{"id": ID, "v": ` + v + `}`
	}
	return strings.ReplaceAll(body, "ID", fmt.Sprint(id))
}

// pauses checks what becomes of nothing but bad messages: the stream pauses,
// and none of them is given up.
func (p ownPoison) pauses(d *database, s *Stream, cur message.Cursor) {
	bodies := make([]string, streakLimit+5)
	for i := range bodies {
		bodies[i] = p.body(p.bad, cur.Seq+1+uint64(i))
	}
	_, err := s.Write(d.Context(), cur, batchOf(s, documents(cur, bodies...)))
	wantSetup(d, err, append([]string{"in a row", "so it is hardly the data"}, p.reasons...)...)
}

func (p ownPoison) checkReasons(d *database, cur message.Cursor, want map[uint64]bool) {
	dead := d.deadLetters(cur.StreamID)
	for seq, l := range dead {
		if !want[seq] || l.SQLState != p.state {
			d.Errorf("dead letter %d: %s %s", seq, l.SQLState, l.Reason)
		}
		for _, says := range p.reasons {
			if !strings.Contains(l.Reason, says) {
				d.Errorf("dead letter %d: %.300q does not say %q", seq, l.Reason, says)
			}
		}
		if string(l.Message.Data) != p.body(p.bad, seq) {
			d.Errorf("dead letter %d: %.100q", seq, l.Message.Data)
		}
	}
	if len(dead) != len(want) {
		d.Errorf("%d dead letters, want %d", len(dead), len(want))
	}
}
