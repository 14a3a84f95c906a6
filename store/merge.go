package store

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"landfall/message"
)

// stage is the temporary table that rows are merged from: the columns of the
// messages table without its constraints.
const stage = "landfall_stage"

// merge stores the messages whose id is not there yet, and notes those that
// repeat an earlier one with the same subject and body as duplicates, a
// statement for all of them. The others reuse an id: dead letters that say so.
func (c *careful) merge(ctx context.Context, ms []message.Message) error {
	if _, err := c.copyInto(ctx, pgx.Identifier{"pg_temp", stage}, ms); err != nil {
		return err
	}
	rest := make([]*message.Message, len(ms))
	for i := range ms {
		rest[i] = &ms[i]
	}
	var err error
	if c.repeating { // all of them, most likely: spare those the INSERT
		if rest, err = c.noteRepeats(ctx, rest); err != nil {
			return err
		}
	}
	if rest, err = c.insertNew(ctx, rest); err != nil {
		return err
	}
	if rest, err = c.noteRepeats(ctx, rest); err != nil {
		return err
	}
	return c.setAsideReused(ctx, rest)
}

// makeStage makes the stage, for the rest of the transaction: its columns are
// always those that the messages table has now, and behind a transaction
// pooler nothing else of ours outlives a transaction either. What has been
// merged stays in it: every statement says which messages it is about.
func (c *careful) makeStage(ctx context.Context) error {
	sql := `CREATE TEMPORARY TABLE ` + stage + ` ON COMMIT DROP AS SELECT ` + columnList + ` FROM ` + c.table.Sanitize() + ` WITH NO DATA`
	if c.keep > 0 {
		// A row that is found by one statement must be there for the next.
		sql += fmt.Sprintf(`; SELECT FROM landfall.expired WHERE stream_id = %d FOR SHARE`, c.cur.StreamID)
	}
	_, err := c.conn.Exec(ctx, sql)
	return err
}

// insertNew makes rows of those staged messages whose id has none, and returns
// the others.
func (c *careful) insertNew(ctx context.Context, ms []*message.Message) ([]*message.Message, error) {
	rest, err := c.settle(ctx, ms, `INSERT INTO `+c.table.Sanitize()+` (`+columnList+`)
		SELECT `+columnList+` FROM pg_temp.`+stage+` JOIN unnest($1::bigint[]) AS one (seq) USING (seq) ORDER BY seq
		ON CONFLICT (stream_id, msg_id) DO NOTHING RETURNING seq`)
	if err != nil {
		return nil, err
	}
	if stored := len(ms) - len(rest); stored > 0 {
		c.out.Rows += stored
		c.streak.good()
	}
	return rest, nil
}

// noteRepeats notes those staged messages that repeat an earlier row as its
// duplicates, and returns the others. What is compared are bytes, whatever the
// columns' collations hold for equal. The LIMITs change no result; they have
// Postgres pick the messages first and then look each up by its id. It knows
// nothing of the stage, and would go through all the sequences again for every
// match, read the whole table, or compile the statement for rows by the million.
func (c *careful) noteRepeats(ctx context.Context, ms []*message.Message) ([]*message.Message, error) {
	rest, err := c.settle(ctx, ms, `INSERT INTO landfall.duplicates (stream_id, seq, of_seq)
		SELECT s.stream_id, s.seq, r.seq
		FROM (SELECT * FROM pg_temp.`+stage+` JOIN unnest($1::bigint[]) AS one (seq) USING (seq) LIMIT cardinality($1::bigint[])) AS s
		CROSS JOIN LATERAL (SELECT * FROM `+c.table.Sanitize()+` AS m WHERE m.stream_id = s.stream_id AND m.msg_id = s.msg_id LIMIT 1) AS r
		WHERE r.seq < s.seq
			AND convert_to(r.msg_id, 'UTF8') = convert_to(s.msg_id, 'UTF8')
			AND convert_to(r.subject, 'UTF8') = convert_to(s.subject, 'UTF8')
			AND coalesce(convert_to(r.content, 'UTF8'), r.content_bytes) = coalesce(convert_to(s.content, 'UTF8'), s.content_bytes)
		RETURNING seq`)
	if err != nil {
		return nil, c.bookkeeping("note duplicates", err)
	}
	c.out.Duplicates += len(ms) - len(rest)
	return rest, nil
}

// settle runs a statement that is given the messages' sequences and returns
// those it settled; settle returns the messages that are left.
func (c *careful) settle(ctx context.Context, ms []*message.Message, sql string) ([]*message.Message, error) {
	if len(ms) == 0 {
		return nil, nil
	}
	seqs := make([]int64, len(ms))
	for i, m := range ms {
		seqs[i] = int64(m.Seq)
	}
	rows, err := c.conn.Query(ctx, sql, seqs)
	if err != nil {
		return nil, err
	}
	settled := make(map[uint64]bool, len(ms))
	var seq int64
	if _, err := pgx.ForEachRow(rows, []any{&seq}, func() error { settled[uint64(seq)] = true; return nil }); err != nil {
		return nil, err
	}
	var rest []*message.Message
	for _, m := range ms {
		if !settled[m.Seq] {
			rest = append(rest, m)
		}
	}
	return rest, nil
}

// setAsideReused makes dead letters of messages whose id has a row with
// another subject or body. A reused id is certainly the data, so it never
// counts towards a pause.
func (c *careful) setAsideReused(ctx context.Context, reused []*message.Message) error {
	if len(reused) == 0 {
		return nil
	}
	first, err := c.rowsByID(ctx, reused)
	if err != nil {
		return err
	}
	for _, m := range reused {
		row, ok := first[m.ID()]
		switch {
		case ok && row == m.Seq:
			return c.alreadyThere(nil)
		case !ok || row > m.Seq:
			return c.discarded()
		}
		err := c.setAside(ctx, m, uniqueViolation,
			fmt.Sprintf("message id %q already names another message: sequence %d of the stream", readable(m.ID()), row))
		if err != nil {
			return err
		}
	}
	return nil
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
