package drill

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
)

// Check holds the tables of a database against the ledger of the run that
// filled it. The run must have had the database to itself: every row in it is
// one of the ledger's, or unexplained.
func Check(ctx context.Context, databaseURL string, ledger *Ledger) (Verdict, error) {
	conn, err := pgx.Connect(ctx, databaseURL)
	if err != nil {
		return Verdict{}, fmt.Errorf("check: connect: %w", err)
	}
	defer conn.Close(context.WithoutCancel(ctx))

	// One snapshot, so that a row on its way from one table to another is not
	// missed in both.
	tx, err := conn.BeginTx(ctx, pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly})
	if err != nil {
		return Verdict{}, fmt.Errorf("check: begin: %w", err)
	}
	defer tx.Rollback(context.WithoutCancel(ctx)) //nolint:errcheck // it only reads

	var entries []Entry
	for e, err := range ledger.Entries() {
		if err != nil {
			return Verdict{}, fmt.Errorf("check: %w", err)
		}
		entries = append(entries, e)
	}
	a := newAudit(entries)
	if err := a.readMessages(ctx, tx); err != nil {
		return Verdict{}, fmt.Errorf("check: read messages: %w", err)
	}
	if err := a.readDeadLetters(ctx, tx); err != nil {
		return Verdict{}, fmt.Errorf("check: read dead letters: %w", err)
	}
	for _, count := range []struct {
		sql string
		n   *int
	}{
		{"SELECT count(*) FROM landfall.gaps", &a.v.Gaps},
		{"SELECT count(*) FROM landfall.duplicates", &a.v.Repeats},
	} {
		if err := tx.QueryRow(ctx, count.sql).Scan(count.n); err != nil {
			return Verdict{}, fmt.Errorf("check: %s: %w", count.sql, err)
		}
	}
	return a.verdict(time.Now()), nil
}

// audit is one check under way.
type audit struct {
	entries []Entry
	byID    map[string]int
	rows    []int32        // rows with the message's own body, by entry
	dead    map[int]string // why, by entry
	v       Verdict
}

func newAudit(entries []Entry) *audit {
	a := &audit{
		entries: entries,
		byID:    make(map[string]int, len(entries)),
		rows:    make([]int32, len(entries)),
		dead:    make(map[int]string),
	}
	for i := range entries {
		a.byID[entries[i].ID] = i
	}
	return a
}

func (a *audit) readMessages(ctx context.Context, tx pgx.Tx) error {
	rows, err := tx.Query(ctx, `SELECT coalesce(msg_id, '')::text, subject::text,
		coalesce(content_bytes, convert_to(content, 'UTF8')),
		stream_id || '/' || seq FROM public.messages`)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		// In pgx's binary format text and bytea are their own bytes.
		v := rows.RawValues()
		a.row(v[0], v[1], v[2], v[3])
	}
	return rows.Err()
}

// row judges one row of the messages table.
func (a *audit) row(id, subject, body, place []byte) {
	i, known := a.byID[string(id)]
	if !known {
		a.v.Unexplained++
		a.v.find("row %s: nobody sent a message with id %q", place, id)
		return
	}
	e := &a.entries[i]
	switch {
	case e.Outcome == Refused:
		a.v.Unexplained++
		a.v.find("row %s: message %s was refused, and is stored", place, id)
	case e.Subject != string(subject):
		a.v.Unexplained++
		a.v.find("row %s: message %s was sent to %q, and is stored under %q", place, id, e.Subject, subject)
	case e.Body != HashOf(body):
		a.v.Unexplained++
		a.v.find("row %s: message %s is stored with another body", place, id)
	default:
		a.rows[i]++
		if a.rows[i] > 1 {
			a.v.Duplicated++
			a.v.find("row %s: message %s is stored again", place, id)
		}
	}
}

// readDeadLetters notes those that nobody has resolved: an acknowledged
// message that is only there is lost to the reader of the table, and one that
// is also a row is there twice.
func (a *audit) readDeadLetters(ctx context.Context, tx pgx.Tx) error {
	rows, err := tx.Query(ctx, `SELECT coalesce(msg_id, ''::bytea), stream_id || '/' || seq,
		coalesce(sqlstate, '') || ' ' || coalesce(reason, '')
		FROM landfall.dead_letters WHERE resolved_at IS NULL`)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var id []byte
		var place, reason string
		if err := rows.Scan(&id, &place, &reason); err != nil {
			return err
		}
		a.v.DeadLetters++
		i, known := a.byID[string(id)]
		switch {
		case !known:
			a.v.Unexplained++
			a.v.find("dead letter %s: nobody sent a message with id %q", place, id)
		case a.rows[i] > 0:
			a.v.Duplicated++
			a.v.find("dead letter %s: message %s is also a row", place, id)
		default:
			a.dead[i] = reason
		}
	}
	return rows.Err()
}

// verdict counts the entries, once all rows are known.
func (a *audit) verdict(end time.Time) Verdict {
	v := a.v
	v.Offered = len(a.entries)
	for i := range a.entries {
		e := &a.entries[i]
		if a.rows[i] > 0 {
			v.Stored++
		}
		switch e.Outcome {
		case Acked:
			v.Acked++
			if a.rows[i] > 0 {
				continue
			}
			v.Lost++
			if reason, dead := a.dead[i]; dead {
				v.find("message %s (%s/%d) was acknowledged, and is a dead letter: %s", e.ID, e.Stream, e.Seq, reason)
			} else {
				v.find("message %s (%s/%d) was acknowledged, and is not there", e.ID, e.Stream, e.Seq)
			}
		case Refused:
			v.Refused++
		case Unknown:
			v.Unknown++
		}
	}
	v.LongestGap = LongestGap(a.entries, end)
	return v
}
