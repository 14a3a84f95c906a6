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

// merge stores the messages whose id is not there yet, in one statement. The
// others repeat an id: with the same subject and body they are duplicates,
// with another they are dead letters that say so.
func (c *careful) merge(ctx context.Context, ms []message.Message) error {
	table := c.table.Sanitize()
	if _, err := c.copyInto(ctx, pgx.Identifier{"pg_temp", stage}, ms); err != nil {
		return err
	}
	rows, err := c.conn.Query(ctx, `INSERT INTO `+table+` (`+columnList+`)
		SELECT `+columnList+` FROM pg_temp.`+stage+` ORDER BY seq
		ON CONFLICT (stream_id, msg_id) DO NOTHING RETURNING seq`)
	if err != nil {
		return err
	}
	stored, err := pgx.CollectRows(rows, pgx.RowTo[int64])
	if err != nil {
		return err
	}
	if _, err := c.conn.Exec(ctx, `DELETE FROM pg_temp.`+stage); err != nil {
		return err
	}
	if err := c.settleRepeats(ctx, without(ms, stored)); err != nil {
		return err
	}
	c.out.Rows += len(stored)
	if len(stored) > 0 {
		c.streak.good()
	}
	return nil
}

// makeStage makes the stage, for the rest of the transaction. A savepoint that
// is rolled back leaves it empty.
func (c *careful) makeStage(ctx context.Context) error {
	_, err := c.conn.Exec(ctx, `CREATE TEMPORARY TABLE `+stage+` ON COMMIT DROP AS SELECT `+columnList+` FROM `+c.table.Sanitize()+` WITH NO DATA`)
	return err
}

// without returns the messages whose sequences are not among seqs.
func without(ms []message.Message, seqs []int64) []*message.Message {
	in := make(map[uint64]bool, len(seqs))
	for _, s := range seqs {
		in[uint64(s)] = true
	}
	var rest []*message.Message
	for i := range ms {
		if !in[ms[i].Seq] {
			rest = append(rest, &ms[i])
		}
	}
	return rest
}

// settleRepeats records what became of messages whose id has a row already.
// A reused id with another body is certainly the data, so it never counts
// towards a pause.
func (c *careful) settleRepeats(ctx context.Context, repeats []*message.Message) error {
	if len(repeats) == 0 {
		return nil
	}
	first, err := c.rowsByID(ctx, repeats)
	if err != nil {
		return err
	}
	for _, m := range repeats {
		row, ok := first[m.ID()]
		switch {
		case !ok:
			return c.discarded()
		case row.same(m):
			err = c.recordDuplicate(ctx, m.Seq, row.seq)
		default:
			err = c.setAside(ctx, m, uniqueViolation,
				fmt.Sprintf("message id %q already names another message: sequence %d of the stream", readable(m.ID()), row.seq))
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// storedRow is what a repeat is compared with.
type storedRow struct {
	seq     uint64
	subject string
	body    []byte
}

func (r storedRow) same(m *message.Message) bool {
	return r.subject == m.Subject && string(r.body) == string(m.Data)
}

// rowsByID reads the rows that hold the messages' ids.
func (c *careful) rowsByID(ctx context.Context, ms []*message.Message) (map[string]storedRow, error) {
	ids := make([]string, len(ms))
	for i, m := range ms {
		ids[i] = m.ID()
	}
	rows, err := c.conn.Query(ctx, `SELECT msg_id, seq, subject, coalesce(convert_to(content, 'UTF8'), content_bytes)
		FROM `+c.table.Sanitize()+` WHERE stream_id = $1 AND msg_id = ANY($2)`, c.cur.StreamID, ids)
	if err != nil {
		return nil, err
	}
	found := make(map[string]storedRow, len(ms))
	var id, subject string
	var seq int64
	var body []byte
	_, err = pgx.ForEachRow(rows, []any{&id, &seq, &subject, &body}, func() error {
		found[id] = storedRow{uint64(seq), subject, append([]byte(nil), body...)}
		return nil
	})
	return found, err
}
