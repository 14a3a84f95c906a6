package store

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"landfall/message"
)

// smallBatch is how many messages go to Postgres in a single round trip, by
// INSERT. Beyond it COPY, which takes three, is faster: see BenchmarkSmall.
const smallBatch = 50

// insertBatch is the fast path of a small batch: fence, rows and cursor in one
// statement, and the whole transaction in one round trip. It cannot say more
// of an error than that there is one: COPY finds out which.
func (s *Stream) insertBatch(ctx context.Context, conn *pgxpool.Conn, cur message.Cursor, b *message.Batch) (message.Outcome, error) {
	last := &b.Messages[len(b.Messages)-1]
	next := message.Cursor{StreamID: cur.StreamID, Incarnation: cur.Incarnation, Seq: last.Seq, Last: last.Fingerprint()}
	r := columnsOf(b.Messages)
	var moved bool
	batch := beginWith()
	batch.Queue(s.insertion(), cur.StreamID, cur.Incarnation, int64(cur.Seq), int64(next.Seq), next.Last.Time.UnixNano(), idBytes(next.Last.ID),
		r.seqs, r.subjects, r.texts, r.bodies, r.headers, r.ids, r.times).
		QueryRow(func(row pgx.Row) error { return row.Scan(&moved) })
	var tag pgconn.CommandTag
	batch.Queue("COMMIT").Exec(func(t pgconn.CommandTag) error { tag = t; return nil })
	err := conn.SendBatch(ctx, batch).Close()
	switch {
	case err != nil:
		return message.Outcome{}, s.abort(ctx, conn, "insert into "+s.table.Sanitize(), err)
	case tag.String() != "COMMIT":
		return message.Outcome{}, fmt.Errorf("commit: Postgres answered %s", tag)
	case !moved:
		return message.Outcome{}, message.ErrMoved
	}
	return message.Outcome{Cursor: next, Rows: len(b.Messages)}, nil
}

// insertion moves the cursor if it stands where it should, and only then
// inserts. The row's lock is taken by the UPDATE, which looks again at a cursor
// that another transaction has moved meanwhile. A row that a trigger discards
// is a division by zero: the COMMIT behind it must not happen.
func (s *Stream) insertion() string {
	return `WITH moved AS (
		UPDATE landfall.streams SET last_seq = $4, last_time = $5, last_msg_id = $6, updated_at = now()
		WHERE id = $1 AND incarnation = $2::text::uuid AND last_seq = $3 RETURNING id
	), stored AS (
		INSERT INTO ` + s.table.Sanitize() + ` (` + columnList + `)
		SELECT moved.id, r.seq, r.subject, r.content, r.content_bytes, r.headers::jsonb, r.msg_id, timestamptz '1970-01-01 00:00:00Z' + r.published_at * interval '1 microsecond'
		FROM moved CROSS JOIN unnest($7::bigint[], $8::text[], $9::text[], $10::bytea[], $11::text[], $12::text[], $13::bigint[])
			AS r (seq, subject, content, content_bytes, headers, msg_id, published_at)
		RETURNING 1
	)
	SELECT (SELECT count(*) FROM moved) = 1 AND 1 / ((SELECT count(*) FROM stored) = cardinality($7))::integer = 1`
}

// columnar are messages as the columns of their rows.
type columnar struct {
	seqs, times         []int64
	subjects            []string
	texts, headers, ids []*string
	bodies              [][]byte
}

func columnsOf(ms []message.Message) columnar {
	n := len(ms)
	c := columnar{
		seqs: make([]int64, n), times: make([]int64, n), subjects: make([]string, n),
		texts: make([]*string, n), headers: make([]*string, n), ids: make([]*string, n), bodies: make([][]byte, n),
	}
	var headers []byte
	for i := range ms {
		m := &ms[i]
		c.seqs[i], c.times[i], c.subjects[i] = int64(m.Seq), m.Time.UnixMicro(), m.Subject
		if isText(m.Data) {
			text := string(m.Data)
			c.texts[i] = &text
		} else {
			c.bodies[i] = m.Data
		}
		if headers = appendHeaders(headers[:0], m.Header); len(headers) > headersBehind {
			text := string(headers[headersBehind:])
			c.headers[i] = &text
		}
		if id := m.ID(); id != "" {
			c.ids[i] = &id
		}
	}
	return c
}

// headersBehind is what appendHeaders writes before the JSON itself.
const headersBehind = 4 + 1
