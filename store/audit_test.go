package store

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/google/uuid"

	"landfall/message"
)

// some is a stream with some of everything: rows 1, 2, 7 and 8, dead letter 3,
// duplicate 4, gap 5 to 6.
func (d *database) some(s *Stream) message.Cursor {
	d.Helper()
	cur := d.enter(s)
	cur = d.write(s, cur, []message.Message{under(1, "a", "x"), under(2, "b", "x"), under(3, "\xff", "x"), under(4, "a", "x")}).Cursor
	cur, err := s.RecordGap(d.Context(), cur, 6)
	if err != nil {
		d.Fatal(err)
	}
	return d.write(s, cur, run(cur, 2)).Cursor
}

func TestAudit(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	c := d.config()
	c.Name = "another"
	d.some(d.open(c, "n1").Stream("S"))
	for name, spoil := range map[string]struct {
		sql             string // $1 is the stream
		missing, twice  []Range
		rows, dead, dup int64
	}{
		"all is well":        {sql: `SELECT $1::bigint`, rows: 4, dead: 1, dup: 1},
		"a row is gone":      {sql: `DELETE FROM messages WHERE stream_id = $1 AND seq = 2`, missing: []Range{{2, 2}}, rows: 3, dead: 1, dup: 1},
		"the first are gone": {sql: `DELETE FROM messages WHERE stream_id = $1 AND seq < 3`, missing: []Range{{1, 2}}, rows: 2, dead: 1, dup: 1},
		"the last is gone":   {sql: `DELETE FROM messages WHERE stream_id = $1 AND seq = 8`, missing: []Range{{8, 8}}, rows: 3, dead: 1, dup: 1},
		"a row that is a dead letter too": {sql: `INSERT INTO messages (stream_id, seq, subject, content, published_at) VALUES ($1, 3, '', '', now())`,
			twice: []Range{{3, 3}}, rows: 5, dead: 1, dup: 1},
		"a dead letter that was stored later": {sql: `WITH done AS (UPDATE landfall.dead_letters SET resolution = 'stored', resolved_at = now() WHERE stream_id = $1)
			INSERT INTO messages (stream_id, seq, subject, content, published_at) VALUES ($1, 3, '', '', now())`, rows: 5, dup: 1},
		"a row behind the cursor": {sql: `INSERT INTO messages (stream_id, seq, subject, content, published_at) VALUES ($1, 9, '', '', now())`,
			twice: []Range{{9, 9}}, rows: 5, dead: 1, dup: 1},
		"the cursor went back": {sql: `UPDATE landfall.streams SET last_seq = 7 WHERE id = $1`, twice: []Range{{8, 8}}, rows: 4, dead: 1, dup: 1},
	} {
		s := d.node("n1").Stream(name)
		cur := d.some(s)
		d.exec(spoil.sql, cur.StreamID)
		accounts, err := s.Audit(t.Context())
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		d.exec(`UPDATE landfall.streams SET cluster = 'seen' WHERE id = $1`, cur.StreamID)
		want := Account{Stream: name, StreamID: cur.StreamID, Incarnation: cur.Incarnation, Start: 1, Cursor: 8,
			Rows: spoil.rows, DeadLetters: spoil.dead, Duplicates: spoil.dup, Gaps: 2, Missing: spoil.missing, Twice: spoil.twice}
		if name == "the cursor went back" {
			want.Cursor = 7
		}
		if diff := cmp.Diff([]Account{want}, accounts, cmpopts.EquateEmpty()); diff != "" {
			t.Errorf("%s: %s", name, diff)
		} else if accounts[0].Complete() != (spoil.missing == nil && spoil.twice == nil) {
			t.Errorf("%s: complete is %v", name, accounts[0].Complete())
		}
	}
}

// A stream that goes on after its tail was lost is accounted for from there.
func TestAuditOfALaterStart(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	s := d.node("n1").Stream("S")
	cur, err := begin(t.Context(), s, uuid.NewString(), 41, message.Cursor{Seq: 40})
	if err != nil {
		t.Fatal(err)
	}
	d.write(s, cur, run(cur, 2))
	accounts, err := s.Audit(t.Context())
	if err != nil || len(accounts) != 1 || !accounts[0].Complete() || accounts[0].Start != 41 || accounts[0].Rows != 2 {
		t.Errorf("%+v: %v", accounts, err)
	}
}
