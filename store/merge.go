package store

import (
	"context"

	"github.com/jackc/pgx/v5"

	"landfall/message"
)

// skipped are those of the messages that a merging walk skipped.
func (c *careful) skipped(ctx context.Context, ms []*message.Message) ([]*message.Message, error) {
	skipped, _, err := c.part(ctx, ms, `SELECT seq FROM pg_temp.`+skippedStage)
	return skipped, err
}

// lookAt looks at messages whose id has a row. Those that repeat it, with the
// same subject and body, are noted as duplicates. For each it returns the
// sequence of the row whose id it reuses for another message, or 0.
func (c *careful) lookAt(ctx context.Context, skipped []*message.Message) (map[uint64]uint64, error) {
	reused := make(map[uint64]uint64, len(skipped))
	for _, m := range skipped {
		reused[m.Seq] = 0
	}
	others, err := c.noteRepeats(ctx, skipped)
	if err != nil || len(others) == 0 {
		return reused, err
	}
	rows, err := c.rowsByID(ctx, others)
	if err != nil {
		return nil, err
	}
	for _, m := range others {
		row, ok := rows[m.ID()]
		switch {
		case ok && row == m.Seq:
			return nil, c.alreadyThere(nil)
		case !ok || row > m.Seq:
			return nil, c.discarded()
		}
		reused[m.Seq] = row
	}
	return reused, nil
}

// noteEarly is noteRepeats where most messages repeat earlier ones, which are
// spared the INSERT, and taken off the stage. A message that no row can hold
// repeats none, even if what is compared is the same.
func (c *careful) noteEarly(ctx context.Context, ms []*message.Message) ([]*message.Message, error) {
	var able []*message.Message
	for _, m := range ms {
		if m.ID() != "" && canBeText(m) {
			able = append(able, m)
		}
	}
	left, err := c.noteRepeats(ctx, able)
	if err != nil || len(left) == len(able) {
		return ms, err
	}
	isLeft := make(map[uint64]bool, len(left))
	for _, m := range left {
		isLeft[m.Seq] = true
	}
	var noted []int64
	var rest []*message.Message
	for _, m := range ms {
		if len(able) > 0 && able[0] == m {
			able = able[1:]
			if !isLeft[m.Seq] {
				noted = append(noted, int64(m.Seq))
				continue
			}
		}
		rest = append(rest, m)
	}
	if len(rest) == 0 {
		return nil, nil
	}
	_, err = c.conn.Exec(ctx, `DELETE FROM pg_temp.`+stage+` WHERE seq = ANY($1::bigint[])`, noted)
	return rest, err
}

// canBeText tells that Postgres can hold as text what has to be text.
func canBeText(m *message.Message) bool {
	if !isText([]byte(m.Subject)) {
		return false
	}
	for key, values := range m.Header {
		if !isText([]byte(key)) {
			return false
		}
		for _, v := range values {
			if !isText([]byte(v)) {
				return false
			}
		}
	}
	return true
}

// noteRepeats notes those staged messages that repeat an earlier row as its
// duplicates, and returns the others. What is compared are bytes, whatever the
// columns' collations hold for equal. The LIMITs change no result; they have
// Postgres pick the messages first and then look each up by its id. It knows
// nothing of the stage, and would go through all the sequences again for every
// match, read the whole table, or compile the statement for rows by the million.
func (c *careful) noteRepeats(ctx context.Context, ms []*message.Message) ([]*message.Message, error) {
	if len(ms) == 0 {
		return nil, nil
	}
	seqs, ids := make([]int64, len(ms)), make([]string, len(ms))
	for i, m := range ms {
		seqs[i], ids[i] = int64(m.Seq), m.ID()
	}
	noted, rest, err := c.part(ctx, ms, `INSERT INTO landfall.duplicates (stream_id, seq, of_seq)
		SELECT s.stream_id, s.seq, r.seq
		FROM (SELECT * FROM pg_temp.`+stage+` JOIN unnest($1::bigint[], $2::text[]) AS one (seq, id) USING (seq) LIMIT cardinality($1::bigint[])) AS s
		CROSS JOIN LATERAL (SELECT * FROM `+c.table.Sanitize()+` AS m WHERE m.stream_id = s.stream_id AND m.msg_id = s.id LIMIT 1) AS r
		WHERE r.seq < s.seq
			AND convert_to(r.msg_id, 'UTF8') = s.msg_id
			AND convert_to(r.subject, 'UTF8') = s.subject
			AND coalesce(convert_to(r.content, 'UTF8'), r.content_bytes) = coalesce(s.content, s.content_bytes)
		RETURNING seq`, seqs, ids)
	if err != nil {
		return nil, c.bookkeeping("note duplicates", err)
	}
	c.out.Duplicates += len(noted)
	return rest, nil
}

// part runs a statement that returns sequences, and parts the messages in those
// that it names and the others.
func (c *careful) part(ctx context.Context, ms []*message.Message, sql string, args ...any) (named, others []*message.Message, err error) {
	rows, err := c.conn.Query(ctx, sql, args...)
	if err != nil {
		return nil, nil, err
	}
	is := make(map[uint64]bool, len(ms))
	var seq int64
	if _, err := pgx.ForEachRow(rows, []any{&seq}, func() error { is[uint64(seq)] = true; return nil }); err != nil {
		return nil, nil, err
	}
	for _, m := range ms {
		if is[m.Seq] {
			named = append(named, m)
		} else {
			others = append(others, m)
		}
	}
	return named, others, nil
}

// rowsByID returns the sequences of the rows that hold the messages' ids, or
// what the column's collation holds for equal: no other row can hold those then.
func (c *careful) rowsByID(ctx context.Context, ms []*message.Message) (map[string]uint64, error) {
	ids := make([]string, len(ms))
	for i, m := range ms {
		ids[i] = m.ID()
	}
	rows, err := c.conn.Query(ctx, `SELECT asked.id, m.seq FROM unnest($2::text[]) AS asked (id)
		CROSS JOIN LATERAL (SELECT seq FROM `+c.table.Sanitize()+` WHERE stream_id = $1 AND msg_id = asked.id LIMIT 1) AS m`, c.cur.StreamID, ids)
	if err != nil {
		return nil, err
	}
	found := make(map[string]uint64, len(ms))
	var id string
	var seq int64
	_, err = pgx.ForEachRow(rows, []any{&id, &seq}, func() error { found[id] = uint64(seq); return nil })
	return found, err
}
