package store

import (
	"cmp"
	"slices"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"landfall/message"
)

// deadLetter is a row of landfall.dead_letters.
type deadLetter struct {
	Message         message.Message
	Headers         []byte // as NATS sends them
	SQLState        string
	Reason          string
	Resolved, Fresh bool
}

// world is all that Postgres has of one incarnation.
type world struct {
	Cursor     uint64
	Rows       map[uint64]message.Message
	Dead       map[uint64]deadLetter
	Duplicates map[uint64]uint64
	Gaps       [][2]uint64
}

// world reads everything there is of the incarnation, and checks what holds
// always: each sequence up to the cursor is exactly one of row, dead letter,
// duplicate and gap, and nothing is behind the cursor.
func (d *database) world(streamID int64) world {
	d.Helper()
	w := world{
		Cursor:     uint64(one[int64](d, `SELECT last_seq FROM landfall.streams WHERE id = $1`, streamID)),
		Rows:       d.rows(streamID),
		Dead:       d.deadLetters(streamID),
		Duplicates: map[uint64]uint64{},
	}
	var a, b int64
	d.each(`SELECT seq, of_seq FROM landfall.duplicates WHERE stream_id = $1`, streamID, []any{&a, &b}, func() {
		w.Duplicates[uint64(a)] = uint64(b)
	})
	d.each(`SELECT from_seq, to_seq FROM landfall.gaps WHERE stream_id = $1 ORDER BY 1`, streamID, []any{&a, &b}, func() {
		w.Gaps = append(w.Gaps, [2]uint64{uint64(a), uint64(b)})
	})
	w.check(d)
	return w
}

func (w *world) check(t testing.TB) {
	t.Helper()
	is := map[uint64][]string{}
	for seq := range w.Rows {
		is[seq] = append(is[seq], "row")
	}
	for seq := range w.Dead {
		is[seq] = append(is[seq], "dead letter")
	}
	for seq := range w.Duplicates {
		is[seq] = append(is[seq], "duplicate")
	}
	for _, g := range w.Gaps {
		for seq := g[0]; seq <= g[1]; seq++ {
			is[seq] = append(is[seq], "gap")
		}
	}
	for seq := uint64(1); seq <= w.Cursor; seq++ {
		if len(is[seq]) != 1 {
			t.Errorf("sequence %d is %q", seq, is[seq])
		}
		delete(is, seq)
	}
	for seq, what := range is {
		t.Errorf("sequence %d is %q, behind the cursor at %d", seq, what, w.Cursor)
	}
}

// sequences of a world's part, in order.
func sequences[V any](m map[uint64]V) []uint64 {
	var s []uint64
	for seq := range m {
		s = append(s, seq)
	}
	slices.SortFunc(s, cmp.Compare[uint64])
	return s
}

func (d *database) each(sql string, streamID int64, into []any, f func()) {
	d.Helper()
	rows, err := d.pool.Query(d.Context(), sql, streamID)
	if err == nil {
		_, err = pgx.ForEachRow(rows, into, func() error { f(); return nil })
	}
	if err != nil {
		d.Fatalf("%s: %v", sql, err)
	}
}

// rows reads the messages back out of their rows.
func (d *database) rows(streamID int64) map[uint64]message.Message {
	d.Helper()
	found := map[uint64]message.Message{}
	var seq int64
	var subject string
	var content, id *string
	var bytes []byte
	var headers map[string][]string
	var at time.Time
	d.each(`SELECT seq, subject, content, content_bytes, headers, msg_id, published_at FROM public.messages WHERE stream_id = $1`,
		streamID, []any{&seq, &subject, &content, &bytes, &headers, &id, &at}, func() {
			m := message.Message{Seq: uint64(seq), Subject: subject, Header: headers, Data: slices.Clone(bytes), Time: at.UTC()}
			if (content == nil) == (bytes == nil) {
				d.Errorf("sequence %d: not exactly one of content and content_bytes is set", seq)
			}
			if content != nil {
				m.Data = []byte(*content)
			}
			if id != nil && len(m.Header[message.IDHeader]) == 0 {
				if m.Header == nil {
					m.Header = map[string][]string{}
				}
				m.Header[message.IDHeader] = []string{*id}
			}
			if id != nil && m.ID() != *id {
				d.Errorf("sequence %d: msg_id is %q, the header says %q", seq, *id, m.ID())
			}
			found[m.Seq] = m
			headers = nil
		})
	return found
}

func (d *database) deadLetters(streamID int64) map[uint64]deadLetter {
	d.Helper()
	found := map[uint64]deadLetter{}
	var seq, ns int64
	var subject, headers, payload, id []byte
	var state, reason string
	var resolved, fresh bool
	d.each(`SELECT seq, subject, headers, payload, msg_id, published_at, sqlstate, reason,
			resolved_at IS NOT NULL OR resolution IS NOT NULL, failed_at BETWEEN now() - interval '1 minute' AND now()
			FROM landfall.dead_letters WHERE stream_id = $1`,
		streamID, []any{&seq, &subject, &headers, &payload, &id, &ns, &state, &reason, &resolved, &fresh}, func() {
			m := message.Message{Seq: uint64(seq), Subject: string(subject), Data: slices.Clone(payload), Time: time.Unix(0, ns).UTC()}
			m.Header = d.parseHeaders(headers)
			if m.ID() != string(id) {
				d.Errorf("dead letter %d: msg_id is %q, the header says %q", seq, id, m.ID())
			}
			found[m.Seq] = deadLetter{Message: m, Headers: slices.Clone(headers), SQLState: state, Reason: reason, Resolved: resolved, Fresh: fresh}
		})
	return found
}
