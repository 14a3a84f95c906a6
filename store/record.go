package store

import (
	"context"
	"errors"

	"github.com/jackc/pgx/v5"

	"landfall/message"
)

// recordDeadLetter sets a message aside with its reason. Every column that
// comes from the message is bytes, so that this cannot fail for what is in it.
func (c *careful) recordDeadLetter(ctx context.Context, m *message.Message, sqlstate, reason string) error {
	_, err := c.conn.Exec(ctx, `INSERT INTO landfall.dead_letters
			(stream_id, seq, subject, headers, payload, msg_id, published_at, sqlstate, reason)
			VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)`,
		c.cur.StreamID, int64(m.Seq), []byte(m.Subject), wireHeaders(m.Header), nonNil(m.Data), idBytes(m.ID()),
		m.Time.UnixNano(), sqlstate, reason)
	if err == nil {
		c.out.DeadLetters++
	}
	return c.bookkeeping("write a dead letter", err)
}

// recordDuplicate notes that a message repeats an earlier one.
func (c *careful) recordDuplicate(ctx context.Context, seq, of uint64) error {
	_, err := c.conn.Exec(ctx, `INSERT INTO landfall.duplicates (stream_id, seq, of_seq) VALUES ($1, $2, $3)`,
		c.cur.StreamID, int64(seq), int64(of))
	if err == nil {
		c.out.Duplicates++
	}
	return c.bookkeeping("note a duplicate", err)
}

// earlierDeadLetter returns the sequence of a dead letter that the message
// repeats: the same id with the same subject and body; 0 if there is none.
func (c *careful) earlierDeadLetter(ctx context.Context, m *message.Message) (uint64, error) {
	if m.ID() == "" {
		return 0, nil
	}
	var seq int64
	err := c.conn.QueryRow(ctx, `SELECT seq FROM landfall.dead_letters
			WHERE stream_id = $1 AND sha256(msg_id) = sha256($2) AND subject = $3 AND payload = $4 AND seq < $5
			ORDER BY seq LIMIT 1`,
		c.cur.StreamID, []byte(m.ID()), []byte(m.Subject), nonNil(m.Data), int64(m.Seq)).Scan(&seq)
	if errors.Is(err, pgx.ErrNoRows) {
		return 0, nil
	}
	return uint64(seq), c.bookkeeping("look for an earlier dead letter", err)
}

// setAside makes a dead letter of the message, or a duplicate if it repeats
// one that is there already.
func (c *careful) setAside(ctx context.Context, m *message.Message, sqlstate, reason string) error {
	of, err := c.earlierDeadLetter(ctx, m)
	switch {
	case err != nil:
		return err
	case of > 0:
		return c.recordDuplicate(ctx, m.Seq, of)
	}
	return c.recordDeadLetter(ctx, m, sqlstate, reason)
}

// bookkeeping keeps a failure in landfall's own tables from being taken for
// the message's: it is the set-up, or an outage.
func (c *careful) bookkeeping(doing string, err error) error {
	if err != nil && classify(err) == data {
		return &message.SetupError{Reason: doing, Advice: "the tables of schema landfall are not as the migrations left them", Err: err}
	}
	return err
}

// nonNil keeps an empty body from becoming NULL.
func nonNil(b []byte) []byte {
	if b == nil {
		return []byte{}
	}
	return b
}
