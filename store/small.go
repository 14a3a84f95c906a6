package store

import (
	"context"
	"errors"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"landfall/message"
)

// smallBatch is how many messages go to Postgres in a single round trip, by
// INSERT. Beyond it COPY, which takes three, is faster: see BenchmarkSmall.
const smallBatch = 50

// insertBatch stores a small batch in one round trip: fence, rows, cursor,
// COMMIT. What Postgres refuses it does not tell apart.
func (s *Stream) insertBatch(ctx context.Context, conn *pgxpool.Conn, cur message.Cursor, b *message.Batch) (message.Outcome, error) {
	insertion, err := s.prepareInsertion(ctx, conn)
	if err != nil {
		return message.Outcome{}, err
	}
	next := behind(cur, &b.Messages[len(b.Messages)-1])
	r := columnsOf(b.Messages)
	batch, fence := s.beginFenced(cur)
	batch.Queue(insertion, cur.StreamID, cur.Incarnation, int64(cur.Seq), r.seqs, r.subjects, r.texts, r.bodies, r.headers, r.ids, r.times)
	queueCursor(batch, next)
	if err := fence.passed(sendCommitted(ctx, conn, batch)); errors.Is(err, message.ErrMoved) {
		return message.Outcome{}, s.abort(ctx, conn, "", err)
	} else if err != nil {
		return message.Outcome{}, s.abort(ctx, conn, "insert into "+s.table.Sanitize(), err)
	}
	return message.Outcome{Cursor: next, Rows: len(b.Messages)}, nil
}

// mayPrepare tells whether the connection may have prepared statements: not if
// default_query_exec_mode says otherwise, because of a pooler.
func mayPrepare(conn *pgxpool.Conn) bool {
	const mark = "landfall prepares"
	known := conn.Conn().PgConn().CustomData()
	may, ok := known[mark].(bool)
	if !ok {
		may = conn.Conn().Config().DefaultQueryExecMode == pgx.QueryExecModeCacheStatement
		known[mark] = may
	}
	return may
}

// prepareInsertion returns the name under which the connection knows the
// statement. To prepare it takes a lock on the table, for which one waits no
// longer than for any other: pgx would prepare it before the transaction.
func (s *Stream) prepareInsertion(ctx context.Context, conn *pgxpool.Conn) (string, error) {
	name := "landfall insertion " + s.table.Sanitize()
	known := conn.Conn().PgConn().CustomData()
	if _, ok := known[name]; ok {
		return name, nil
	}
	doing := "prepare to insert into " + s.table.Sanitize()
	if err := conn.SendBatch(ctx, beginWith()).Close(); err != nil {
		return "", s.abort(ctx, conn, doing, err)
	}
	if _, err := conn.Conn().Prepare(ctx, name, s.insertion()); err != nil {
		return "", s.abort(ctx, conn, doing, err)
	}
	if err := s.finish(ctx, conn, &pgx.Batch{}); err != nil {
		return "", err
	}
	known[name] = true
	return name, nil
}

// insertion inserts rows from arrays. Nobody looks at what the fence says
// before the COMMIT is sent, nor at how many rows were inserted: so where the
// cursor stands elsewhere, or a trigger has discarded a row, it divides by
// zero, and there is nothing to commit. The cursor's row is locked by then.
func (s *Stream) insertion() string {
	return `WITH stored AS (
		INSERT INTO ` + s.table.Sanitize() + ` (` + columnList + `)
		SELECT $1, seq, subject, content, content_bytes, headers::jsonb, msg_id, published_at
		FROM unnest($4::bigint[], $5::text[], $6::text[], $7::bytea[], $8::text[], $9::text[], $10::timestamptz[])
			AS r (seq, subject, content, content_bytes, headers, msg_id, published_at)
		RETURNING 1
	)
	SELECT 1 / (count(*) = cardinality($4) AND EXISTS (
		SELECT FROM landfall.streams WHERE id = $1 AND incarnation::text = $2 AND last_seq = $3))::integer FROM stored`
}

// columnar are messages as the columns of their rows.
type columnar struct {
	seqs                []int64
	times               []time.Time
	subjects            []string
	texts, headers, ids []*string
	bodies              [][]byte
}

func columnsOf(ms []message.Message) columnar {
	n := len(ms)
	c := columnar{
		seqs: make([]int64, n), times: make([]time.Time, n), subjects: make([]string, n),
		texts: make([]*string, n), headers: make([]*string, n), ids: make([]*string, n), bodies: make([][]byte, n),
	}
	var headers []byte
	for i := range ms {
		m := &ms[i]
		c.seqs[i], c.times[i], c.subjects[i] = int64(m.Seq), m.Time, m.Subject
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
