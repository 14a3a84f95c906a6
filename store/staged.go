package store

import (
	"context"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"

	"landfall/message"
)

// stage is the temporary table that rows are stored from where COPY does not
// do: the columns that Encode writes, all that comes from the message as bytes,
// so that staging cannot fail for what is in it. skippedStage has the sequences
// that a merging walk skipped.
const (
	stage        = "landfall_stage"
	skippedStage = "landfall_skipped"

	// stagedValues are what the columns of columnList are made of. In front
	// of jsonb's binary form stands the number of its version.
	stagedValues = `s.stream_id, s.seq, convert_from(s.subject, 'UTF8'), convert_from(s.content, 'UTF8'), s.content_bytes,
			convert_from(substring(s.headers FROM 2), 'UTF8')::jsonb, convert_from(s.msg_id, 'UTF8'), s.published_at`
)

// makeStage makes the stage, for the rest of the transaction, and fills it:
// behind a transaction pooler nothing else of ours outlives a transaction.
func (c *careful) makeStage(ctx context.Context, rows []byte) error {
	if _, err := c.conn.Exec(ctx, `CREATE TEMPORARY TABLE `+stage+` (stream_id bigint, seq bigint, subject bytea, content bytea, content_bytes bytea,
			headers bytea, msg_id bytea, published_at timestamptz) ON COMMIT DROP`); err != nil {
		return err
	}
	sql := `CREATE TEMPORARY TABLE ` + skippedStage + ` (seq bigint) ON COMMIT DROP`
	if c.keep > 0 {
		// A row that is found by one statement must be there for the next.
		sql += fmt.Sprintf(`; SELECT FROM landfall.expired WHERE stream_id = %d FOR SHARE`, c.cur.StreamID)
	}
	if _, err := c.conn.Exec(ctx, sql); err != nil {
		return err
	}
	_, err := c.copyRows(ctx, c.conn, pgx.Identifier{"pg_temp", stage}, rows)
	return err
}

// walk stores the staged messages, at first a part of them at once. A violation of the
// primary key no message can be blamed for, and any other unique violation
// says, before it is known, that ids collide.
func (c *careful) walk(ms []*message.Message, part int64) *walk {
	into := `INSERT INTO ` + c.table.Sanitize() + ` (` + columnList + `) SELECT ` + stagedValues + ` FROM pg_temp.` + stage + ` AS s WHERE s.seq `
	w := &walk{
		stage: stage, column: "seq", first: int64(ms[0].Seq), last: int64(ms[len(ms)-1].Seq),
		some:      into + `BETWEEN landfall_at AND landfall_to ORDER BY s.seq`,
		one:       into + `= landfall_at`,
		blameless: notData() + ` OR landfall_code = '` + uniqueViolation + `'`,
	}
	w.tries, w.suspects = (w.last-w.first+1)/part, c.suspected
	if !c.merging {
		return w
	}
	const skip, skipOne = ` ON CONFLICT (stream_id, msg_id) DO NOTHING`, `INSERT INTO pg_temp.` + skippedStage + ` SELECT s.seq FROM pg_temp.` + stage + ` AS s WHERE s.seq `
	w.some = `WITH landfall_new AS (` + w.some + skip + ` RETURNING seq) ` +
		skipOne + `BETWEEN landfall_at AND landfall_to AND NOT EXISTS (SELECT FROM landfall_new AS n WHERE n.seq = s.seq)`
	w.one += skip + `; IF NOT FOUND THEN ` + skipOne + `= landfall_at; END IF`
	w.blameless += ` AND landfall_rule = ` + literal(c.pkey)
	return w
}

// findSuspects finds those among the staged rows, unless that is not worth it,
// or a trigger may mend what looks bad.
func (c *careful) findSuspects(ctx context.Context, rows int) error {
	if c.merging || rows < fewSuspects {
		return nil
	}
	var trigger bool
	if err := c.conn.QueryRow(ctx, `SELECT EXISTS (SELECT FROM pg_trigger WHERE tgrelid = to_regclass($1) AND tgenabled <> 'D' AND tgtype & 7 = 7)`,
		c.table.Sanitize()).Scan(&trigger); err != nil || trigger {
		return err
	}
	checks, _, err := readRefuses(ctx, c.conn, c.table, strings.Split(columnList, ", "))
	if err != nil {
		return err
	}
	c.suspected = true
	s := suspects{table: c.table.Sanitize(), stage: stage, number: "seq", refuses: checks, columns: []suspectColumn{
		{"stream_id", "landfall_row.stream_id"},
		{"seq", "landfall_row.seq"},
		{"subject", "convert_from(landfall_row.subject, 'UTF8')"},
		{"content", "convert_from(landfall_row.content, 'UTF8')"},
		{"content_bytes", "landfall_row.content_bytes"},
		{"headers", "convert_from(substring(landfall_row.headers FROM 2), 'UTF8')::jsonb"},
		{"msg_id", "convert_from(landfall_row.msg_id, 'UTF8')"},
		{"published_at", "landfall_row.published_at"},
	}}
	return s.find(ctx, c.conn)
}
