package store

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"landfall/message"
)

// Write stores a batch that starts right behind cur and moves the cursor with
// it, in one transaction. The batch's rows were made by Encode.
//
// Errors: message.ErrMoved if Postgres stands elsewhere, *message.SetupError,
// message.ErrTooSlow, or an outage. After ErrMoved and an outage the cursor
// has to be read again: the COMMIT may have happened though its answer was
// lost. Bad rows are not errors; they become dead letters.
//
// ctx should not end while a batch is in hand, unless waiting any longer is
// worse than an outcome that has to be looked up.
func (s *Stream) Write(ctx context.Context, cur message.Cursor, b *message.Batch) (message.Outcome, error) {
	ctx, cancel := context.WithTimeout(ctx, writeDeadline)
	defer cancel()
	out, err := s.write(ctx, cur, b)
	s.countWaits(ctx, err)
	return out, err
}

func (s *Stream) write(ctx context.Context, cur message.Cursor, b *message.Batch) (message.Outcome, error) {
	conn, err := s.pool.Acquire(ctx)
	if err != nil {
		return message.Outcome{}, explain("connect to Postgres", err)
	}
	defer conn.Release()
	if s.own != nil {
		return s.writeOwn(ctx, conn, cur, b)
	}
	merging := s.repeating
	if !merging {
		out, err := s.writeFast(ctx, conn, cur, b)
		if err == nil {
			s.streak.good()
		}
		if err == nil || classify(err) != data {
			return out, err
		}
		merging = isUniqueViolation(err)
	}
	out, err := s.writeCarefully(ctx, conn, cur, b, merging)
	// A producer that repeats one batch will repeat the next: then COPY would
	// only fail again.
	s.repeating = err == nil && out.Duplicates > 0
	if err != nil && errors.Is(ctx.Err(), context.DeadlineExceeded) {
		// So many bad rows that finding them all takes longer than a batch
		// may: the same batch would fail again, a part of it not.
		err = fmt.Errorf("%w: %w", message.ErrTooSlow, err)
	}
	return out, err
}

// writeFast takes for granted that all rows are good and new.
func (s *Stream) writeFast(ctx context.Context, conn *pgxpool.Conn, cur message.Cursor, b *message.Batch) (message.Outcome, error) {
	if len(b.Messages) > smallBatch || !mayPrepare(conn) {
		return s.copyBatch(ctx, conn, cur, b)
	}
	out, err := s.insertBatch(ctx, conn, cur, b)
	if err == nil || errors.Is(err, message.ErrMoved) || classify(err) == outage || isUniqueViolation(err) {
		return out, err
	}
	return s.copyBatch(ctx, conn, cur, b) // which tells apart what Postgres refuses
}

// copyBatch takes three round trips: fence, COPY, cursor and COMMIT.
func (s *Stream) copyBatch(ctx context.Context, conn *pgxpool.Conn, cur message.Cursor, b *message.Batch) (message.Outcome, error) {
	if err := s.begin(ctx, conn, cur); err != nil {
		return message.Outcome{}, err
	}
	n, err := s.copyRows(ctx, conn, s.table, b.Rows)
	if err != nil {
		return message.Outcome{}, s.abort(ctx, conn, "copy into "+s.table.Sanitize(), err)
	}
	if n != int64(len(b.Messages)) {
		return message.Outcome{}, s.abort(ctx, conn, "", s.discarded())
	}
	next, err := s.commit(ctx, conn, cur, &b.Messages[len(b.Messages)-1])
	return message.Outcome{Cursor: next, Rows: len(b.Messages)}, err
}

// begin opens the transaction behind the fence: the cursor's row is locked,
// so that of two sinks only one goes on, and it must stand where the caller
// believes. It is one round trip.
func (s *Stream) begin(ctx context.Context, conn *pgxpool.Conn, cur message.Cursor) error {
	batch, fence := s.beginFenced(cur)
	if err := fence.passed(conn.SendBatch(ctx, batch).Close()); errors.Is(err, message.ErrMoved) {
		return s.abort(ctx, conn, "", err)
	} else if err != nil {
		return s.abort(ctx, conn, "lock the cursor", err)
	}
	return nil
}

// fence is what the fence of a transaction found.
type fence struct {
	moved bool // the cursor stands elsewhere
}

// beginFenced queues the start of a transaction and the fence.
func (s *Stream) beginFenced(cur message.Cursor) (*pgx.Batch, *fence) {
	f := &fence{}
	batch := beginWith()
	batch.Queue(`SELECT last_seq, coalesce(accept_bad_through, 0) FROM landfall.streams WHERE id = $1 AND incarnation::text = $2 FOR UPDATE`, cur.StreamID, cur.Incarnation).
		QueryRow(func(row pgx.Row) error {
			var seq int64
			err := row.Scan(&seq, &s.accepted)
			// No row: Postgres was restored to before the stream was known.
			f.moved = errors.Is(err, pgx.ErrNoRows) || err == nil && uint64(seq) != cur.Seq
			return err
		})
	return batch, f
}

// passed is message.ErrMoved if the cursor stands elsewhere, else err, which is
// how the batch with the fence went.
func (f *fence) passed(err error) error {
	if f.moved {
		return message.ErrMoved
	}
	return err
}

// beginWith queues the start of every transaction of ours.
func beginWith() *pgx.Batch {
	batch := &pgx.Batch{}
	batch.Queue("BEGIN")
	batch.Queue(transactionSettings, milliseconds(statementTimeout), milliseconds(lockTimeout), milliseconds(idleTimeout))
	return batch
}

// commit moves the cursor to the last message and commits, in one round trip.
func (s *Stream) commit(ctx context.Context, conn *pgxpool.Conn, cur message.Cursor, last *message.Message) (message.Cursor, error) {
	next := behind(cur, last)
	return next, s.commitWith(ctx, conn, next, &pgx.Batch{})
}

// behind is the cursor when the message is stored.
func behind(cur message.Cursor, m *message.Message) message.Cursor {
	return message.Cursor{StreamID: cur.StreamID, Incarnation: cur.Incarnation, Seq: m.Seq, Last: m.Fingerprint()}
}

// commitWith moves the cursor to next and commits, behind the batch's
// statements, in one round trip.
func (s *Stream) commitWith(ctx context.Context, conn *pgxpool.Conn, next message.Cursor, batch *pgx.Batch) error {
	queueCursor(batch, next)
	return s.finish(ctx, conn, batch)
}

func queueCursor(batch *pgx.Batch, next message.Cursor) {
	batch.Queue(`UPDATE landfall.streams SET last_seq = $2, last_time = $3, last_msg_id = $4, updated_at = now() WHERE id = $1`,
		next.StreamID, int64(next.Seq), next.Last.Time.UnixNano(), idBytes(next.Last.ID))
}

// finish sends the batch's statements with a COMMIT behind them.
func (s *Stream) finish(ctx context.Context, conn *pgxpool.Conn, batch *pgx.Batch) error {
	if err := sendCommitted(ctx, conn, batch); err != nil {
		return s.abort(ctx, conn, "commit", err)
	}
	return nil
}

// sendCommitted sends the batch's statements with a COMMIT behind them. A
// COMMIT of a transaction that had failed answers ROLLBACK without an error.
func sendCommitted(ctx context.Context, conn *pgxpool.Conn, batch *pgx.Batch) error {
	var tag pgconn.CommandTag
	batch.Queue("COMMIT").Exec(func(t pgconn.CommandTag) error { tag = t; return nil })
	if err := conn.SendBatch(ctx, batch).Close(); err != nil {
		return err
	}
	if tag.String() != "COMMIT" {
		return fmt.Errorf("commit: Postgres answered %s", tag)
	}
	return nil
}

// copyRows sends encoded rows to a table and returns how many it took.
func (s *Stream) copyRows(ctx context.Context, conn *pgxpool.Conn, table pgx.Identifier, rows []byte) (int64, error) {
	body := io.MultiReader(strings.NewReader(copyHeader), bytes.NewReader(rows), strings.NewReader(copyTrailer))
	tag, err := conn.Conn().PgConn().CopyFrom(ctx, body, "COPY "+table.Sanitize()+" ("+columnList+") FROM STDIN BINARY")
	return tag.RowsAffected(), err
}

// abort rolls back, if the connection still lives, and explains the error.
// A connection that is not idle afterwards is closed by the pool.
func (s *Stream) abort(ctx context.Context, conn *pgxpool.Conn, doing string, err error) error {
	if !conn.Conn().IsClosed() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
		defer cancel()
		_, _ = conn.Exec(ctx, "ROLLBACK")
	}
	if doing == "" {
		return err
	}
	return explain(doing, err)
}

// discarded is the error when fewer rows arrived than were sent.
func (s *Stream) discarded() error {
	return &message.SetupError{
		Reason: "a trigger or rule on " + s.table.Sanitize() + " discards rows",
		Advice: "remove it, or let it raise an error: Landfall does not lose messages on purpose",
	}
}

// idBytes is a message id as landfall's own tables hold it: any bytes.
func idBytes(id string) []byte {
	if id == "" {
		return nil
	}
	return []byte(id)
}
