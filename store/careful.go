package store

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"landfall/message"
)

// careful is the transaction that stores a batch which COPY refused: it finds
// the bad rows by bisection under savepoints, in stream order, and sends rows
// whose message id is already there through a merge. What cannot be stored
// becomes a dead letter, what is stored already a duplicate, and the cursor
// moves past all of it in one COMMIT.
type careful struct {
	*Stream
	conn    *pgxpool.Conn
	cur     message.Cursor
	streak  streak // a copy: an attempt that is rolled back has not counted
	merging bool   // message ids collide: merge instead of COPY from here on
	rows    []byte // encoding buffer
	out     message.Outcome
}

// writeCarefully is Write after COPY refused the batch for its data, or where
// it would: merging says that message ids collide.
func (s *Stream) writeCarefully(ctx context.Context, conn *pgxpool.Conn, cur message.Cursor, b *message.Batch, merging bool) (message.Outcome, error) {
	if err := s.lookUpKeys(ctx, conn); err != nil {
		return message.Outcome{}, explain("look up the keys of "+s.table.Sanitize(), err)
	}
	if err := s.begin(ctx, conn, cur); err != nil {
		return message.Outcome{}, err
	}
	c := &careful{Stream: s, conn: conn, cur: cur, streak: s.streak, merging: merging}
	c.out.Careful = true
	// Deferred constraints would let bad rows pass the savepoints and fail
	// the COMMIT.
	_, err := conn.Exec(ctx, "SET CONSTRAINTS ALL IMMEDIATE")
	if err == nil && merging {
		err = c.makeStage(ctx)
	}
	if err == nil {
		err = c.place(ctx, b.Messages)
	}
	if err != nil {
		return message.Outcome{}, c.abort(ctx, conn, "store the batch carefully", err)
	}
	c.out.Cursor, err = c.commit(ctx, conn, cur, &b.Messages[len(b.Messages)-1])
	if err != nil {
		if classify(err) == data {
			err = &message.SetupError{Reason: "Postgres refuses at COMMIT what it took before", Advice: "look for deferred triggers on " + s.table.Sanitize(), Err: err}
		}
		return message.Outcome{}, err
	}
	s.streak = c.streak
	return c.out, nil
}

// place stores the messages in order; those that cannot be stored end alone.
func (c *careful) place(ctx context.Context, ms []message.Message) error {
	refusal, err := c.attempt(ctx, ms)
	if err != nil || refusal == nil {
		return err
	}
	if len(ms) == 1 {
		return c.reject(ctx, &ms[0], refusal)
	}
	mid := len(ms) / 2
	if err := c.place(ctx, ms[:mid]); err != nil {
		return err
	}
	return c.place(ctx, ms[mid:])
}

// attempt tries to store all of the messages under a savepoint. refusal says
// why Postgres took none of them; err ends the whole batch.
func (c *careful) attempt(ctx context.Context, ms []message.Message) (refusal *pgconn.PgError, err error) {
	put := c.copyAll
	if c.merging {
		put = c.merge
	}
	out, streak := c.out, c.streak
	if _, err := c.conn.Exec(ctx, "SAVEPOINT batch"); err != nil {
		return nil, err
	}
	err = put(ctx, ms)
	if err == nil {
		_, err = c.conn.Exec(ctx, "RELEASE SAVEPOINT batch")
		return nil, err
	}
	if classify(err) != data || !errors.As(err, &refusal) {
		return nil, err
	}
	if _, err := c.conn.Exec(ctx, "ROLLBACK TO SAVEPOINT batch; RELEASE SAVEPOINT batch"); err != nil {
		return nil, err
	}
	c.out, c.streak = out, streak
	if refusal.Code == uniqueViolation && refusal.ConstraintName == c.pkey {
		return nil, c.alreadyThere(refusal)
	}
	if refusal.Code == uniqueViolation && !c.merging {
		// The message ids, most likely. If it is another unique index of the
		// table's, the merge is refused for the same reason.
		c.merging = true
		if err := c.makeStage(ctx); err != nil {
			return nil, err
		}
		return c.attempt(ctx, ms)
	}
	return refusal, nil
}

// alreadyThere is the error when a message that is about to be stored has a
// row.
func (c *careful) alreadyThere(err error) error {
	return &message.SetupError{
		Reason: fmt.Sprintf("rows behind the cursor (sequence %d) are already there", c.cur.Seq),
		Advice: "was last_seq in landfall.streams set back by hand? `app verify` shows where the rows end",
		Err:    err,
	}
}

// copyAll copies the messages into the messages table.
func (c *careful) copyAll(ctx context.Context, ms []message.Message) error {
	n, err := c.copyInto(ctx, c.table, ms)
	if err != nil {
		return err
	}
	if n != int64(len(ms)) {
		return c.discarded()
	}
	c.out.Rows += len(ms)
	c.streak.good()
	return nil
}

func (c *careful) copyInto(ctx context.Context, table pgx.Identifier, ms []message.Message) (int64, error) {
	c.rows = c.rows[:0]
	for i := range ms {
		c.rows = appendRow(c.rows, c.cur.StreamID, &ms[i])
	}
	return c.copyRows(ctx, c.conn, table, c.rows)
}

// reject makes a dead letter of a message that failed alone, unless so many
// before it failed alike that it must be the set-up.
func (c *careful) reject(ctx context.Context, m *message.Message, refusal *pgconn.PgError) error {
	if onlyData(refusal.Code) || refusal.Code == programLimit && refusal.ConstraintName == c.idKey {
		c.streak.good()
	} else if c.tooMany(m, failureOf(refusal)) {
		return c.alike(m, "look at the table's columns, constraints, triggers and partitions", refusal)
	}
	return c.setAside(ctx, m, refusal.Code, reasonOf(refusal))
}

// reasonOf is what Postgres said, for people.
func reasonOf(e *pgconn.PgError) string {
	s := e.Message
	if e.Detail != "" {
		s += " (" + e.Detail + ")"
	}
	return readable(s)
}

// lookUpKeys learns the names of the messages table's own two keys: a
// violation of the primary key no message can be blamed for, and an id that is
// too long for its index no set-up.
func (s *Stream) lookUpKeys(ctx context.Context, conn *pgxpool.Conn) error {
	if s.pkey != "" {
		return nil
	}
	return conn.QueryRow(ctx, `SELECT coalesce(max(conname) FILTER (WHERE contype = 'p'), ''),
			coalesce(max(conname) FILTER (WHERE contype = 'u' AND conkey @> ARRAY[(SELECT attnum FROM pg_attribute WHERE attrelid = conrelid AND attname = 'msg_id')]), '')
		FROM pg_constraint WHERE conrelid = $1::text::regclass`, s.table.Sanitize()).Scan(&s.pkey, &s.idKey)
}

// isUniqueViolation tells that a key was there already.
func isUniqueViolation(err error) bool {
	var pg *pgconn.PgError
	return errors.As(err, &pg) && pg.Code == uniqueViolation
}
