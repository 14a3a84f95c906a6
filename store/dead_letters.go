package store

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"landfall/message"
)

// ResolutionStored is that of a dead letter which has become a row.
const ResolutionStored = "stored"

// DeadLetterFilter chooses dead letters; the zero value all that wait.
type DeadLetterFilter struct {
	Stream   string    // "": of any
	Reason   string    // contained in the reason, or the SQLSTATE
	Since    time.Time // when they failed, at the earliest
	Until    time.Time // and at the latest; zero: ever
	Resolved bool      // those that are resolved, too
	Seqs     []uint64  // of these sequences; none: any
	After    Letter    // only those behind it in the order of DeadLetters
	Limit    int       // 0: no limit
}

// Letter is the place of a dead letter.
type Letter struct {
	StreamID int64
	Seq      uint64
}

// chosen is the condition of a filter on landfall.dead_letters AS d and
// landfall.streams AS s, with the parameters from $1 that it takes.
const chosen = `s.cluster = $1 AND ($2 = '' OR s.name = $2) AND ($3 = '' OR d.sqlstate = $3 OR strpos(d.reason, $3) > 0)
			AND d.failed_at >= $4 AND ($5 OR d.resolved_at IS NULL) AND (cardinality($6::bigint[]) = 0 OR d.seq = ANY($6::bigint[]))
			AND (d.stream_id, d.seq) > ($7, $8) AND d.failed_at <= coalesce($9, 'infinity'::timestamptz)`

func (s *Store) chosen(f *DeadLetterFilter) []any {
	seqs := make([]int64, len(f.Seqs))
	for i, seq := range f.Seqs {
		seqs[i] = int64(seq)
	}
	var until *time.Time
	if !f.Until.IsZero() {
		until = &f.Until
	}
	return []any{s.cluster, f.Stream, f.Reason, f.Since, f.Resolved, seqs, f.After.StreamID, int64(f.After.Seq), until}
}

// Now is the time as Postgres has it, by which letters fail.
func (s *Store) Now(ctx context.Context) (now time.Time, err error) {
	if err = s.asking.QueryRow(ctx, `SELECT clock_timestamp()`).Scan(&now); err != nil {
		return now, explain("ask for the time", err)
	}
	return now, nil
}

// CountDeadLetters is how many a filter chooses, whatever its limit.
func (s *Store) CountDeadLetters(ctx context.Context, f DeadLetterFilter) (n int, err error) {
	err = s.asking.QueryRow(ctx, `SELECT count(*) FROM landfall.dead_letters AS d JOIN landfall.streams AS s ON s.id = d.stream_id WHERE `+chosen, s.chosen(&f)...).Scan(&n)
	if err != nil {
		return 0, explain("count the dead letters", err)
	}
	return n, nil
}

// DeadLetters calls each for the cluster's dead letters, by incarnation and
// sequence.
func (s *Store) DeadLetters(ctx context.Context, f DeadLetterFilter, each func(*message.DeadLetter) error) error {
	limit := any(nil)
	if f.Limit > 0 {
		limit = f.Limit
	}
	rows, err := s.asking.Query(ctx, `SELECT s.name, d.stream_id, d.seq, coalesce(d.subject, ''), d.headers, coalesce(d.payload, ''),
			coalesce(d.published_at, 0), coalesce(d.sqlstate, ''), coalesce(d.reason, ''), d.failed_at, d.resolved_at, coalesce(d.resolution, '')
		FROM landfall.dead_letters AS d JOIN landfall.streams AS s ON s.id = d.stream_id
		WHERE `+chosen+` ORDER BY d.stream_id, d.seq LIMIT $10`, append(s.chosen(&f), limit)...)
	if err != nil {
		return explain("read the dead letters", err)
	}
	defer rows.Close()
	for rows.Next() {
		d := &message.DeadLetter{}
		var seq, published int64
		var subject, headers []byte
		var resolved *time.Time
		if err := rows.Scan(&d.Stream, &d.StreamID, &seq, &subject, &headers, &d.Message.Data, &published, &d.SQLState, &d.Reason, &d.FailedAt, &resolved, &d.Resolution); err != nil {
			return explain("read the dead letters", err)
		}
		d.Message.Seq, d.Message.Subject, d.Message.Header, d.Message.Time = uint64(seq), string(subject), readWireHeaders(headers), time.Unix(0, published)
		if resolved != nil {
			d.ResolvedAt = *resolved
		}
		if err := each(d); err != nil {
			return err
		}
	}
	if err := rows.Err(); err != nil {
		return explain("read the dead letters", err)
	}
	return nil
}

// readWireHeaders is what wireHeaders wrote.
func readWireHeaders(wire []byte) map[string][]string {
	lines := strings.Split(string(wire), "\r\n")
	if len(lines) < 3 {
		return nil
	}
	h := map[string][]string{}
	for _, line := range lines[1 : len(lines)-2] {
		key, value, _ := strings.Cut(line, ": ")
		h[key] = append(h[key], value)
	}
	return h
}

// ErrResolved says that a dead letter is resolved already, or that there is none.
var ErrResolved = errors.New("no dead letter waits there")

// StillRefused says that a dead letter cannot be stored yet.
type StillRefused struct{ Reason string }

func (e *StillRefused) Error() string { return e.Reason }

// Retry stores a dead letter of this stream in its place, once, whoever tries:
// behind the fence of its incarnation, and with its own row locked. body is
// stored instead of its own if it is not nil. Errors: ErrResolved,
// *StillRefused, *message.SetupError, or an outage.
func (s *Stream) Retry(ctx context.Context, streamID int64, seq uint64, body []byte) error {
	ctx, cancel := context.WithTimeout(ctx, writeDeadline)
	defer cancel()
	if s.own != nil {
		if _, err := s.own.refresh(ctx, s.pool, false); err != nil {
			return explain("prepare "+s.own.table.String(), err)
		}
	}
	return s.inTransaction(ctx, "store a dead letter", func(ctx context.Context, conn *pgxpool.Conn) error {
		// The fence, so that nobody stores beside this.
		if _, err := conn.Exec(ctx, `SELECT FROM landfall.streams WHERE id = $1 FOR UPDATE`, streamID); err != nil {
			return err
		}
		m, err := lockDeadLetter(ctx, conn, streamID, seq)
		if err != nil {
			return err
		}
		if body != nil {
			m.Data = body
		}
		if _, err := conn.Exec(ctx, "SET CONSTRAINTS ALL IMMEDIATE"); err != nil {
			return err
		}
		if err := s.storeAgain(ctx, conn, streamID, m); err != nil {
			return err
		}
		_, err = conn.Exec(ctx, `UPDATE landfall.dead_letters SET resolved_at = now(), resolution = $3 WHERE stream_id = $1 AND seq = $2`,
			streamID, int64(seq), ResolutionStored)
		return err
	})
}

// lockDeadLetter locks a dead letter that waits, and reads it.
func lockDeadLetter(ctx context.Context, conn *pgxpool.Conn, streamID int64, seq uint64) (*message.Message, error) {
	m := &message.Message{Seq: seq}
	var subject, headers []byte
	var published int64
	err := conn.QueryRow(ctx, `SELECT coalesce(subject, ''), headers, coalesce(payload, ''), coalesce(published_at, 0) FROM landfall.dead_letters
			WHERE stream_id = $1 AND seq = $2 AND resolved_at IS NULL FOR UPDATE`, streamID, int64(seq)).Scan(&subject, &headers, &m.Data, &published)
	if errors.Is(err, pgx.ErrNoRows) {
		return nil, ErrResolved
	}
	m.Subject, m.Header, m.Time = string(subject), readWireHeaders(headers), time.Unix(0, published)
	return m, err
}

// storeAgain makes a row of a message that was refused.
func (s *Stream) storeAgain(ctx context.Context, conn *pgxpool.Conn, streamID int64, m *message.Message) error {
	c := &careful{Stream: s, conn: conn, cur: message.Cursor{StreamID: streamID}}
	var err error
	if s.own == nil {
		var n int64
		if n, err = s.copyRows(ctx, conn, s.table, appendRow(nil, streamID, m)); err == nil && n != 1 {
			err = s.discarded()
		}
	} else {
		w := &ownWrite{careful: c, plan: s.own.plan.Load()}
		if err = w.load(&message.Batch{Messages: []message.Message{*m}, Rows: unplanned(nil)}); err != nil {
			return err
		}
		if r, refused := w.refused[0]; refused {
			return &StillRefused{r.reason}
		}
		err = w.put(ctx, &message.Batch{Messages: []message.Message{*m}})
	}
	var pg *pgconn.PgError
	if err != nil && classify(err) == data && errors.As(err, &pg) {
		return &StillRefused{reasonOf(pg)}
	}
	if err != nil {
		return fmt.Errorf("store message %d: %w", m.Seq, err)
	}
	return nil
}

// Resolve marks a dead letter as dealt with, by the resolution that do returns,
// which is called with the message while the letter's row is locked. Errors:
// ErrResolved, do's, or an outage.
func (s *Store) Resolve(ctx context.Context, streamID int64, seq uint64, do func(context.Context, *message.Message) (resolution string, err error)) error {
	ctx, cancel := context.WithTimeout(ctx, callDeadline)
	defer cancel()
	st := &Stream{Store: s}
	return st.inTransaction(ctx, "resolve a dead letter", func(ctx context.Context, conn *pgxpool.Conn) error {
		m, err := lockDeadLetter(ctx, conn, streamID, seq)
		if err != nil {
			return err
		}
		resolution, err := do(ctx, m)
		if err != nil {
			return err
		}
		_, err = conn.Exec(ctx, `UPDATE landfall.dead_letters SET resolved_at = now(), resolution = $3 WHERE stream_id = $1 AND seq = $2`,
			streamID, int64(seq), resolution)
		return err
	})
}
