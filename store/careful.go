package store

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"landfall/message"
)

// careful is the transaction that stores a batch which COPY refused. A walk
// through the rows in Postgres finds the bad ones; where message ids collide,
// it skips rows whose id is there, which are then looked at. What cannot be
// stored becomes a dead letter, what is stored already a duplicate, and the
// cursor moves past all of it in one COMMIT.
type careful struct {
	*Stream
	conn    *pgxpool.Conn
	cur     message.Cursor
	streak  streak // a copy: an attempt that is rolled back has not counted
	merging bool   // message ids collide
	out     message.Outcome

	suspected bool // suspects were looked for
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
	if err := c.place(ctx, b); err != nil {
		return message.Outcome{}, c.abort(ctx, conn, "store the batch carefully", err)
	}
	var err error
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

// place finds the place of each message of the batch.
func (c *careful) place(ctx context.Context, b *message.Batch) error {
	// Deferred constraints would let bad rows pass and fail the COMMIT.
	if _, err := c.conn.Exec(ctx, "SET CONSTRAINTS ALL IMMEDIATE"); err != nil {
		return err
	}
	if err := c.makeStage(ctx, b.Rows); err != nil {
		return err
	}
	rest := make([]*message.Message, len(b.Messages))
	for i := range b.Messages {
		rest[i] = &b.Messages[i]
	}
	var err error
	if c.repeating {
		if rest, err = c.noteEarly(ctx, rest); err != nil || len(rest) == 0 {
			return err
		}
	}
	refused, skipped, err := c.storeStaged(ctx, rest)
	if err != nil {
		return err
	}
	reused, err := c.lookAt(ctx, skipped)
	if err != nil {
		return err
	}
	return c.account(ctx, rest, refused, reused)
}

// storeStaged makes rows of the staged messages. Those that Postgres refused
// come back with what it said, by sequence, and those whose id has a row
// already in order.
func (c *careful) storeStaged(ctx context.Context, ms []*message.Message) (refused map[uint64]*pgconn.PgError, skipped []*message.Message, err error) {
	if err := c.findSuspects(ctx, len(ms)); err != nil {
		return nil, nil, err
	}
	if _, err := c.conn.Exec(ctx, "SAVEPOINT walk"); err != nil {
		return nil, nil, err
	}
	part := int64(1)
	if !c.merging {
		part = 4 // COPY failed with all of them
	}
	done, err := c.walk(ms, part).run(ctx, c.conn)
	if isUniqueViolation(err) && !c.merging {
		// The message ids, most likely. If it is another unique index of the
		// table's, the row is refused once ids are out of the question.
		c.merging = true
		if _, err := c.conn.Exec(ctx, "ROLLBACK TO SAVEPOINT walk"); err != nil {
			return nil, nil, err
		}
		done, err = c.walk(ms, part).run(ctx, c.conn)
	}
	switch {
	case isUniqueViolation(err):
		return nil, nil, c.alreadyThere(err)
	case err != nil:
		return nil, nil, err
	}
	refused = make(map[uint64]*pgconn.PgError, len(done.refused))
	for _, r := range done.refused {
		refused[uint64(r.number)] = r.why
	}
	if !c.merging {
		if int(done.stored)+len(refused) != len(ms) {
			err = c.discarded()
		}
		return refused, nil, err
	}
	skipped, err = c.skipped(ctx, ms)
	return refused, skipped, err
}

// account counts what became of the messages, in order, and makes dead letters
// of the refused and of those that reuse the id of an earlier one (its
// sequence), unless so many were refused alike that it must be the set-up.
func (c *careful) account(ctx context.Context, ms []*message.Message, refused map[uint64]*pgconn.PgError, reused map[uint64]uint64) error {
	var bad []aside
	for _, m := range ms {
		if of, ok := reused[m.Seq]; ok {
			if of > 0 {
				bad = append(bad, aside{m, uniqueViolation, fmt.Sprintf("message id %q already names another message: sequence %d of the stream", readable(m.ID()), of)})
			}
			continue
		}
		why, ok := refused[m.Seq]
		if !ok {
			c.out.Rows++
			c.streak.good()
			continue
		}
		if err := c.blameFor(m, why); err != nil {
			return err
		}
		bad = append(bad, aside{m, why.Code, reasonOf(why)})
	}
	return c.setAsideAll(ctx, bad)
}

// blameFor counts a message as bad, unless so many before it failed alike that
// it must be the set-up.
func (c *careful) blameFor(m *message.Message, refusal *pgconn.PgError) error {
	if onlyData(refusal.Code) || refusal.Code == programLimit && refusal.ConstraintName == c.idKey {
		c.streak.good()
		return nil
	}
	if c.tooMany(m, failureOf(refusal)) {
		return c.alike(m, "look at the table's columns, constraints, triggers and partitions", refusal)
	}
	return nil
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
