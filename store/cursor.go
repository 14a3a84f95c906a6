package store

import (
	"context"
	"errors"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"landfall/message"
)

// Find reads the cursor of the stream's incarnation behind its row lock, so
// that a transaction whose outcome nobody heard of has ended, one way or the
// other. found is false if Postgres does not know the incarnation.
func (s *Stream) Find(ctx context.Context, incarnation string) (cur message.Cursor, found bool, err error) {
	err = s.inTransaction(ctx, "read the cursor", func(ctx context.Context, conn *pgxpool.Conn) error {
		cur, err = s.scanCursor(ctx, conn, incarnation)
		return err
	})
	s.countWaits(ctx, err)
	if errors.Is(err, pgx.ErrNoRows) {
		return message.Cursor{}, false, nil
	}
	s.id = cur.StreamID
	return cur, err == nil, err
}

func (s *Stream) scanCursor(ctx context.Context, conn *pgxpool.Conn, incarnation string) (message.Cursor, error) {
	cur := message.Cursor{Incarnation: incarnation}
	var seq int64
	var ns *int64
	var id []byte
	err := conn.QueryRow(ctx, `SELECT id, last_seq, last_time, last_msg_id FROM landfall.streams
			WHERE cluster = $1 AND name = $2 AND incarnation = $3::text::uuid FOR UPDATE`,
		s.cluster, s.name, incarnation).Scan(&cur.StreamID, &seq, &ns, &id)
	cur.Seq = uint64(seq)
	if ns != nil {
		cur.Last = message.Fingerprint{Time: time.Unix(0, *ns), ID: string(id)}
	}
	return cur, err
}

// Begin makes the row of a new incarnation, whose messages from start on are
// this row's matter and which stands at last. Messages from start to last are
// in no table: they become a gap. If another node was first, its row stays.
//
// What Postgres has of the incarnations before was found out with newest as the
// latest of them (the zero cursor if there was none). If it is not, or stands
// elsewhere, a batch was stored or Postgres was restored meanwhile: the error is
// message.ErrMoved.
func (s *Stream) Begin(ctx context.Context, newest message.Cursor, incarnation string, start uint64, last message.Cursor) (message.Cursor, error) {
	err := s.inTransaction(ctx, "enter the stream", func(ctx context.Context, conn *pgxpool.Conn) error {
		now, err := s.lockNewest(ctx, conn)
		if err != nil || now.Incarnation == incarnation {
			return err
		}
		if now != newest {
			return message.ErrMoved
		}
		var id int64
		err = conn.QueryRow(ctx, `INSERT INTO landfall.streams
				(cluster, name, incarnation, start_seq, last_seq, last_time, last_msg_id)
				VALUES ($1, $2, $3::text::uuid, $4, $5, $6, $7)
				ON CONFLICT (cluster, name, incarnation) DO NOTHING RETURNING id`,
			s.cluster, s.name, incarnation, int64(start), int64(last.Seq), nanoseconds(last.Last.Time), idBytes(last.Last.ID)).Scan(&id)
		if errors.Is(err, pgx.ErrNoRows) {
			return nil
		}
		if err != nil || last.Seq < start {
			return err
		}
		return insertGap(ctx, conn, id, start, last.Seq)
	})
	if err != nil {
		return message.Cursor{}, err
	}
	cur, found, err := s.Find(ctx, incarnation)
	if err == nil && !found {
		err = message.ErrMoved
	}
	return cur, err
}

// RecordGap notes that the messages behind cur up to sequence to are gone
// from every replica, and moves the cursor past them.
func (s *Stream) RecordGap(ctx context.Context, cur message.Cursor, to uint64) (message.Cursor, error) {
	next := message.Cursor{StreamID: cur.StreamID, Incarnation: cur.Incarnation, Seq: to}
	err := s.inTransaction(ctx, "record a gap", func(ctx context.Context, conn *pgxpool.Conn) error {
		var seq int64
		err := conn.QueryRow(ctx, `SELECT last_seq FROM landfall.streams WHERE id = $1 AND incarnation::text = $2 FOR UPDATE`,
			cur.StreamID, cur.Incarnation).Scan(&seq)
		if errors.Is(err, pgx.ErrNoRows) || err == nil && uint64(seq) != cur.Seq {
			return message.ErrMoved
		}
		if err != nil {
			return err
		}
		if err := insertGap(ctx, conn, cur.StreamID, cur.Seq+1, to); err != nil {
			return err
		}
		_, err = conn.Exec(ctx, `UPDATE landfall.streams
			SET last_seq = $2, last_time = NULL, last_msg_id = NULL, updated_at = now() WHERE id = $1`, cur.StreamID, int64(to))
		return err
	})
	return next, err
}

func insertGap(ctx context.Context, conn *pgxpool.Conn, id int64, from, to uint64) error {
	_, err := conn.Exec(ctx, `INSERT INTO landfall.gaps (stream_id, from_seq, to_seq) VALUES ($1, $2, $3)`, id, int64(from), int64(to))
	return err
}

// Read returns where the cursor stands, without waiting for anybody. A row
// that is gone (Postgres was restored to before it) is message.ErrMoved.
func (s *Stream) Read(ctx context.Context, cur message.Cursor) (uint64, error) {
	ctx, cancel := context.WithTimeout(ctx, callDeadline)
	defer cancel()
	var seq int64
	err := s.pool.QueryRow(ctx, `SELECT last_seq FROM landfall.streams WHERE id = $1 AND incarnation::text = $2`,
		cur.StreamID, cur.Incarnation).Scan(&seq)
	switch {
	case errors.Is(err, pgx.ErrNoRows):
		return 0, message.ErrMoved
	case err != nil:
		return 0, explain("read the cursor", err)
	}
	return uint64(seq), nil
}

// inTransaction runs f between BEGIN with our settings and COMMIT.
func (s *Stream) inTransaction(ctx context.Context, doing string, f func(context.Context, *pgxpool.Conn) error) error {
	ctx, cancel := context.WithTimeout(ctx, callDeadline)
	defer cancel()
	conn, err := s.pool.Acquire(ctx)
	if err != nil {
		return explain("connect to Postgres", err)
	}
	defer conn.Release()
	if err := conn.SendBatch(ctx, beginWith()).Close(); err != nil {
		return s.abort(ctx, conn, "begin", err)
	}
	if err := f(ctx, conn); err != nil {
		return s.abort(ctx, conn, doing, err)
	}
	return s.finish(ctx, conn, &pgx.Batch{})
}

// nanoseconds is a time as landfall.streams holds it; nil if it is not known.
func nanoseconds(t time.Time) *int64 {
	if t.IsZero() {
		return nil
	}
	ns := t.UnixNano()
	return &ns
}
