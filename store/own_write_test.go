package store

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"landfall/cluster"
	"landfall/mapping"
	"landfall/message"
)

// ownStream is a stream that fills a table.
func (d *database) ownStream(t *cluster.Table) (*Stream, message.Cursor) {
	d.Helper()
	c := d.config()
	c.Streams = []cluster.Stream{{Name: "OWN", Table: t}}
	s := d.open(c, "n1").Stream("OWN")
	return s, d.enter(s)
}

// documents are messages with these bodies, behind the cursor.
func documents(cur message.Cursor, bodies ...string) []message.Message {
	ms := make([]message.Message, len(bodies))
	for i, body := range bodies {
		seq := cur.Seq + 1 + uint64(i)
		ms[i] = message.Message{Seq: seq, Subject: fmt.Sprintf("own.s%d", seq%3), Data: []byte(body), Time: moment(seq)}
		if rest, ok := strings.CutPrefix(body, "delete "); ok {
			ms[i].Data, ms[i].Header = []byte(rest), map[string][]string{message.OpHeader: {message.OpDelete}}
		}
	}
	return ms
}

// table is what a query gives, a line for each row.
func (d *database) table(sql string) []string {
	d.Helper()
	rows, err := d.pool.Query(d.Context(), sql)
	if err != nil {
		d.Fatal(err)
	}
	got, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		d.Fatal(err)
	}
	return got
}

func column(t testing.TB, name, source string) cluster.Column {
	t.Helper()
	s, err := mapping.ParseSource(source)
	if err != nil {
		t.Fatal(err)
	}
	return cluster.Column{Name: name, Source: s}
}

// reasons are the dead letters, by sequence.
func (d *database) reasons(cur message.Cursor) map[uint64]string {
	got := map[uint64]string{}
	for seq, dead := range d.deadLetters(cur.StreamID) {
		got[seq] = dead.Reason
	}
	return got
}

func TestOwnAppend(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	d.exec(`CREATE TABLE own (id bigint, name varchar(5) DEFAULT 'none', amount numeric(20,5), at timestamptz, tags int[], doc jsonb, seq bigint, day date DEFAULT '2020-01-01', raw bytea)`)
	s, cur := d.ownStream(&cluster.Table{Schema: "public", Name: "own", Mode: cluster.Append, Columns: []cluster.Column{column(t, "seq", "message.seq"), column(t, "doc", "$")}})
	cur = d.write(s, cur, documents(cur,
		`{"id": 9007199254740993, "name": "a\tb\\", "amount": 12345678901234.56789, "at": "2026-01-02T03:04:05.123456+01:00", "tags": [1,null,3], "raw": "AAH/"}`,
		`{"id": 2, "name": null}`,
		`{"id": 3}`,
		`{"id": 4, "day": "2021-02-03"}`,
	)).Cursor
	want := []string{
		`9007199254740993|a	b\|12345678901234.56789|2026-01-02 02:04:05.123456+00|{1,NULL,3}|1|2020-01-01|\x0001ff`,
		`2||||||2|2020-01-01|`, `3|none||||3|2020-01-01|`, `4|none||||4|2021-02-03|`,
	}
	want[1] = `2|||||2|2020-01-01|`
	const all = `SELECT concat_ws('|', id, coalesce(name, ''), coalesce(amount::text, ''), coalesce((at AT TIME ZONE 'UTC')::text || '+00', ''), coalesce(tags::text, ''), seq, day, coalesce(raw::text, '')) FROM own ORDER BY seq`
	if diff := cmp.Diff(want, d.table(all)); diff != "" {
		t.Error(diff)
	}
	if got := one[string](d, `SELECT doc->>'id' FROM own WHERE seq = 1`); got != "9007199254740993" {
		t.Error(got)
	}
	// Bad ones, refused here and by Postgres, between good ones.
	out := d.write(s, cur, documents(cur, `{"id": 5}`, `no json`, `{"id": "x"}`, `{"id": 8, "name": "too long"}`, `{"id": 9}`, `{"id": 10, "day": "2021-02-30"}`))
	if out.Rows != 2 || out.DeadLetters != 4 {
		t.Errorf("%+v", out)
	}
	for seq, says := range map[uint64]string{6: "not JSON", 7: "bigint", 8: "too long", 10: "2021-02-30"} {
		if got := d.reasons(out.Cursor)[seq]; !strings.Contains(got, says) {
			t.Errorf("%d: %q", seq, got)
		}
	}
}

func TestOwnUpsertAndKeepFirst(t *testing.T) {
	t.Parallel()
	for mode, want := range map[cluster.Mode][]string{
		cluster.Upsert:    {"1|one|5", "3|again|7", "4|x|9"},
		cluster.KeepFirst: {"1|first|1", "2|second|2", "3|third|3", "4|x|9"},
	} {
		for _, size := range []int{1, 3, 100} {
			t.Run(fmt.Sprint(mode, size), func(t *testing.T) {
				t.Parallel()
				d := newDatabase(t)
				d.exec(`CREATE TABLE own (id int PRIMARY KEY, name text DEFAULT 'x' CHECK (name <> 'bad'), seq int)`)
				s, cur := d.ownStream(&cluster.Table{Schema: "public", Name: "own", Mode: mode, Key: []string{"id"}, Columns: []cluster.Column{column(t, "seq", "message.seq")}})
				bodies := []string{
					`{"id": 1, "name": "first"}`, `{"id": 2, "name": "second"}`, `{"id": 3, "name": "third"}`, `{"id": 1, "name": "uno"}`,
					`{"id": 1, "name": "one"}`, `{"id": 1, "name": "bad"}`, `{"id": 3, "name": "again"}`, `{"name": "no key"}`, `{"id": 4}`,
				}
				if mode == cluster.Upsert {
					bodies = append(bodies, `delete {"id": 2}`, `delete {"id": 77}`)
				}
				ms := documents(cur, bodies...)
				for len(ms) > 0 {
					n := min(size, len(ms))
					cur = d.write(s, cur, ms[:n]).Cursor
					ms = ms[n:]
				}
				if diff := cmp.Diff(want, d.table(`SELECT concat_ws('|', id, name, seq) FROM own ORDER BY id`)); diff != "" {
					t.Error(diff)
				}
				if got := d.reasons(cur); !strings.Contains(got[8], "$.id") {
					t.Errorf("%v", got)
				}
			})
		}
	}
}

// Few rows go as arrays, many through a stage: that makes no difference.
func TestOwnFewAndMany(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	const changes, keys = 3 * ownFew, 300
	bodies := make([]string, changes)
	for i := range bodies {
		bodies[i] = fmt.Sprintf(`{"id": %d, "text": "a\\b\t%d\n\r", "more": %s}`, i*7%keys, i, []string{"null", `"x"`, `"\u00e4"`}[i%3])
		switch {
		case i%5 == 0:
			bodies[i] = fmt.Sprintf(`{"id": %d, "text": "without more"}`, i*7%keys)
		case i%11 == 0:
			bodies[i] = fmt.Sprintf(`delete {"id": %d}`, i*7%keys)
		}
	}
	const all = `SELECT concat_ws('|', id, text, coalesce(more, '-')) FROM %s ORDER BY id`
	var want []string
	for name, size := range map[string]int{"few": ownFew, "many": changes} {
		d.exec(`CREATE TABLE ` + name + ` (id int PRIMARY KEY, text text, more text DEFAULT 'none')`)
		c := d.config()
		c.Streams = []cluster.Stream{{Name: name, Table: &cluster.Table{Schema: "public", Name: name, Mode: cluster.Upsert, Key: []string{"id"}}}}
		s := d.open(c, "n1").Stream(name)
		cur := d.enter(s)
		for ms := documents(cur, bodies...); len(ms) > 0; ms = ms[size:] {
			cur = d.write(s, cur, ms[:size]).Cursor
		}
		got := d.table(fmt.Sprintf(all, name))
		if want == nil {
			want = got
		}
		if diff := cmp.Diff(want, got); diff != "" || len(got) < keys/2 {
			t.Error(len(got), diff)
		}
	}
}

// A column that is somebody else's stays as they left it, and has its DEFAULT
// in a new row.
func TestOwnColumnLeftAlone(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	d.exec(`CREATE TABLE own (id int PRIMARY KEY, name text, note text DEFAULT 'new')`)
	s, cur := d.ownStream(&cluster.Table{Schema: "public", Name: "own", Mode: cluster.Upsert, Key: []string{"id"}, Columns: []cluster.Column{{Name: "note", Left: true}}})
	cur = d.write(s, cur, documents(cur, `{"id": 1, "name": "a", "note": "of the message"}`, `{"id": 2, "name": "b"}`)).Cursor
	d.exec(`UPDATE own SET note = 'by hand' WHERE id = 1`)
	d.write(s, cur, documents(cur, `{"id": 1, "name": "c"}`, `{"id": 2, "name": "d", "note": null}`))
	if diff := cmp.Diff([]string{"1|c|by hand", "2|d|new"}, d.table(`SELECT concat_ws('|', id, name, note) FROM own ORDER BY id`)); diff != "" {
		t.Error(diff)
	}
}

// A column that comes is filled without a restart; one that goes is said.
func TestOwnTableChanges(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	d.exec(`CREATE TABLE own (id int, name text)`)
	s, cur := d.ownStream(&cluster.Table{Schema: "public", Name: "own", Mode: cluster.Append, Columns: []cluster.Column{column(t, "id", "$.id")}})
	cur = d.write(s, cur, documents(cur, `{"id": 1, "name": "a", "later": "b"}`)).Cursor
	ms := documents(cur, `{"id": 2, "name": "a", "later": "b"}`)
	b := batchOf(s, ms) // encoded for the table as it was
	d.exec(`ALTER TABLE own DROP name, ADD later text`)
	out, err := s.Write(t.Context(), cur, b)
	if err != nil {
		t.Fatal(err)
	}
	if got := one[string](d, `SELECT later FROM own WHERE id = 2`); got != "b" {
		t.Error(got)
	}
	d.exec(`ALTER TABLE own RENAME id TO number`)
	_, err = s.Write(t.Context(), out.Cursor, batchOf(s, documents(out.Cursor, `{"id": 3}`)))
	wantSetup(t, err, `no column "id"`, "number, later")
	if at := one[int64](d, `SELECT last_seq FROM landfall.streams WHERE id = $1`, cur.StreamID); at != 2 {
		t.Error(at)
	}
}

// A stream that is all bad pauses, whoever refuses it.
func TestOwnStreamThatIsAllBad(t *testing.T) {
	t.Parallel()
	for name, body := range map[string]string{"here": "no json", "there": `{"id": 1, "name": "bad"}`} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := newDatabase(t)
			d.exec(`CREATE TABLE own (id int, name text CHECK (name <> 'bad'))`)
			s, cur := d.ownStream(&cluster.Table{Schema: "public", Name: "own", Mode: cluster.Append})
			bodies := make([]string, 500)
			for i := range bodies {
				bodies[i] = body
			}
			_, err := s.Write(t.Context(), cur, batchOf(s, documents(cur, bodies...)))
			wantSetup(t, err, "in a row")
			if w := d.world(cur.StreamID); w.Cursor != 0 || len(w.Dead) > 0 {
				t.Errorf("%+v", w)
			}
		})
	}
}

// Under upsert and keep_first there must be an index for the key.
func TestOwnKeyWithoutAnIndex(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		index string
		says  []string
	}{
		"none":       {"", []string{"no unique index on (id, shop)", "there is none"}},
		"another":    {`CREATE UNIQUE INDEX ON own (id)`, []string{"no unique index on (id, shop)", "there is (id)"}},
		"not unique": {`CREATE INDEX ON own (id, shop)`, []string{"no unique index on (id, shop)"}},
		"partial":    {`CREATE UNIQUE INDEX ON own (id, shop) WHERE id > 0`, []string{"no unique index on (id, shop)"}},
		"deferrable": {`ALTER TABLE own ADD UNIQUE (id, shop) DEFERRABLE`, []string{"deferrable"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := newDatabase(t)
			d.exec(`CREATE TABLE own (id int, shop int)`)
			if c.index != "" {
				d.exec(c.index)
			}
			s, cur := d.ownStream(&cluster.Table{Schema: "public", Name: "own", Mode: cluster.Upsert, Key: []string{"id", "shop"}})
			_, err := s.Write(t.Context(), cur, batchOf(s, documents(cur, `{"id": 1, "shop": 2}`)))
			wantSetup(t, err, c.says...)
			d.exec(`ALTER TABLE own DROP CONSTRAINT IF EXISTS own_id_shop_key`)
			d.exec(`CREATE UNIQUE INDEX ON own (shop, id) INCLUDE (id)`)
			d.write(s, cur, documents(cur, `{"id": 1, "shop": 2}`, `{"id": 1, "shop": 2}`))
		})
	}
}

// A repeat is known where the message id is mapped to a unique column, and one
// that says something else is not.
func TestOwnRepeats(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	d.exec(`CREATE TABLE own (id text UNIQUE, name varchar(9) DEFAULT 'x', amount numeric(6,2), doc json, at timestamptz(0) DEFAULT now(), seq bigint, stored timestamptz DEFAULT now())`)
	s, cur := d.ownStream(&cluster.Table{Schema: "public", Name: "own", Mode: cluster.Append, Columns: []cluster.Column{
		column(t, "id", "message.id"), column(t, "seq", "message.seq"), column(t, "stored", "$.nothing"),
	}})
	const body = `{"name": "a", "amount": 1.005, "doc": {"b": [1,  2]}, "at": "2026-01-02T03:04:05.9Z"}`
	ms := documents(cur, body, body, `{}`, body, `{"name": "other"}`, `{}`, `{"name": "new"}`)
	for i, id := range []string{"1", "1", "2", "1", "1", "2", "3"} {
		ms[i].Header = map[string][]string{message.IDHeader: {id}}
	}
	for _, size := range []int{7, 1} {
		out := message.Outcome{Cursor: cur}
		got := message.Outcome{}
		for at := 0; at < len(ms); at += size {
			out = d.write(s, out.Cursor, ms[at:min(at+size, len(ms))])
			got.Rows, got.Duplicates, got.DeadLetters = got.Rows+out.Rows, got.Duplicates+out.Duplicates, got.DeadLetters+out.DeadLetters
		}
		if got.Rows != 3 || got.Duplicates != 3 || got.DeadLetters != 1 {
			t.Errorf("in batches of %d: %+v", size, got)
		}
		if got := d.reasons(cur)[5]; !strings.Contains(got, "own_id_key") {
			t.Errorf("%q", got)
		}
		if diff := cmp.Diff([]string{"2 of 1", "4 of 1", "6 of 3"}, d.repeatsOf(cur)); diff != "" {
			t.Errorf("in batches of %d: %s", size, diff)
		}
		d.exec(`TRUNCATE own`)
		cur = d.enter(s)
	}
	// A table that does not say which message a row was.
	d.exec(`ALTER TABLE own DROP seq`)
	s, cur = d.ownStream(&cluster.Table{Schema: "public", Name: "own", Mode: cluster.Append, Columns: []cluster.Column{column(t, "id", "message.id"), column(t, "stored", "$.nothing")}})
	d.write(s, cur, ms)
	if diff := cmp.Diff([]string{"2 of 0", "4 of 0", "6 of 0"}, d.repeatsOf(cur)); diff != "" {
		t.Error(diff)
	}
}

// repeatsOf are the duplicates of an incarnation.
func (d *database) repeatsOf(cur message.Cursor) []string {
	return d.table(fmt.Sprintf(`SELECT seq || ' of ' || of_seq FROM landfall.duplicates WHERE stream_id = %d ORDER BY seq`, cur.StreamID))
}

// What a stream has in common with a table that does not say so is known all
// the same, message by message.
func TestOwnLineage(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	d.exec(`CREATE TABLE own (id int)`)
	s, cur := d.ownStream(&cluster.Table{Schema: "public", Name: "own", Mode: cluster.Append})
	ms := documents(cur, `{"id": 1}`, `{"id": 2}`, `bad`, `{"id": 4}`, `{"id": 5}`)
	first := d.write(s, cur, ms[:3]).Cursor
	d.write(s, first, ms[3:])
	second, err := begin(t.Context(), s, uuid.NewString(), 5, message.Cursor{Seq: 4})
	if err != nil {
		t.Fatal(err)
	}
	again := documents(second, `{"id": 6}`, `{"id": 7}`)
	for i := range again {
		again[i].Time = again[i].Time.Add(time.Hour)
	}
	d.write(s, second, again)
	for seq, want := range map[uint64]message.Message{1: ms[0], 2: ms[1], 3: ms[2], 4: ms[3], 5: again[0], 6: again[1], 99: again[1]} {
		at, row, found, err := s.RowAtOrBelow(t.Context(), seq)
		if err != nil || !found || at != want.Seq || !row.Of(&want) {
			t.Errorf("at or below %d: %d %+v %v %v", seq, at, row, found, err)
		}
	}
	if _, _, found, err := s.RowAtOrBelow(t.Context(), 0); err != nil || found {
		t.Error(found, err)
	}
}

// A sample shows what it would become, and leaves nothing behind.
func TestOwnTry(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	d.exec(`CREATE TABLE own (id int PRIMARY KEY, "na'me" varchar(5) DEFAULT 'none', at timestamptz(0), doc jsonb)`)
	s, cur := d.ownStream(&cluster.Table{Schema: "public", Name: "own", Mode: cluster.Upsert, Key: []string{"id"}, Columns: []cluster.Column{column(t, "na'me", "$.n")}})
	got, err := s.Try(t.Context(), documents(cur, `{"id": 1, "n": "a", "at": "2026-01-02T03:04:05.6Z", "doc": {"b": [1]}}`, `{"id": 1}`, `delete {"id": 7}`, `{"id": 2, "n": "too long"}`, `[]`))
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []struct {
		row     string // its members in order
		deletes bool
		refused string
	}{
		{row: `{"at":"2026-01-02T03:04:06+00:00","doc":{"b":[1]},"id":1,"na'me":"a"}`},
		{row: `{"at":null,"doc":null,"id":1,"na'me":"none"}`},
		{row: `{"id":7}`, deletes: true},
		{row: `null`, refused: "too long"},
		{row: `null`, refused: "a JSON array, where an object is due"},
	} {
		var row any
		if got[i].Row != nil {
			if err := json.Unmarshal(got[i].Row, &row); err != nil {
				t.Fatal(err)
			}
		}
		text, err := json.Marshal(row)
		if err != nil {
			t.Fatal(err)
		}
		if string(text) != want.row || got[i].Deletes != want.deletes || !strings.Contains(got[i].Refused, want.refused) || (got[i].Refused == "") != (want.refused == "") {
			t.Errorf("%d: %s %+v, want %+v", i, text, got[i], want)
		}
	}
	if n := one[int64](d, `SELECT count(*) FROM own`); n != 0 {
		t.Errorf("%d rows", n)
	}
	if _, err := d.node("n1").Stream("S").Try(t.Context(), nil); err == nil {
		t.Error("a stream without a table can be tried")
	}
}
