package drill

import (
	"context"
	"encoding/binary"
	"math"

	"github.com/jackc/pgx/v5"
)

// binaryRows asks for rows as the types' own bytes, so that nothing is made of
// them for each of millions.
func binaryRows(columns int) pgx.QueryResultFormats {
	formats := make(pgx.QueryResultFormats, columns)
	for i := range formats {
		formats[i] = pgx.BinaryFormatCode
	}
	return formats
}

// readMessages goes through all rows of the messages table.
func (a *audit) readMessages(ctx context.Context, tx pgx.Tx) error {
	rows, err := tx.Query(ctx, `SELECT stream_id::bigint, seq::bigint, convert_to(coalesce(msg_id, ''), 'UTF8'), convert_to(subject, 'UTF8'),
		coalesce(content_bytes, convert_to(content, 'UTF8')) FROM public.messages`, binaryRows(5))
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		v := rows.RawValues()
		a.row(bigint(v[0]), bigint(v[1]), v[2], v[3], v[4])
	}
	return rows.Err()
}

// bigint is one in Postgres' binary form.
func bigint(b []byte) int64 {
	if len(b) != 8 {
		return math.MinInt64 // NULL, in a table that is not Landfall's
	}
	return int64(binary.BigEndian.Uint64(b))
}

// row judges one row of the messages table.
func (a *audit) row(stream, seq int64, id, subject, body []byte) {
	where := a.take(stream, seq, seq, true, "a row")
	i, known := a.promises.find(id)
	if !known {
		a.v.Unexplained++
		a.v.find(kindUnexplained, "row %d/%d: nobody sent a message with id %q", stream, seq, id)
		return
	}
	p := &a.promises.list[i]
	switch {
	case p.outcome == Refused:
		a.v.Unexplained++
		a.v.find(kindUnexplained, "row %d/%d: message %s was refused, and is stored", stream, seq, id)
	case a.promises.names[p.subject] != string(subject):
		a.v.Unexplained++
		a.v.find(kindUnexplained, "row %d/%d: message %s was sent to %q, and is stored under %q", stream, seq, id, a.promises.names[p.subject], subject)
	case body == nil || p.body != HashOf(body):
		a.v.Unexplained++
		a.v.find(kindUnexplained, "row %d/%d: message %s is stored with another body", stream, seq, id)
	case p.bad:
		a.v.Unexplained++
		a.v.find(kindUnexplained, "row %d/%d: message %s was made so that Postgres refuses it, and is stored", stream, seq, id)
		p.found(where, &p.rows)
	case p.found(where, &p.rows) > 1:
		a.v.Duplicated++
		a.v.find(kindDuplicated, "row %d/%d: message %s is stored again", stream, seq, id)
	}
}

// found notes a row or dead letter, and tells how many of them there are now.
func (p *promise) found(where place, count *uint8) int {
	if p.place == 0 {
		p.place = where
	}
	if *count < math.MaxUint8 {
		*count++
	}
	return int(*count)
}

// readDeadLetters goes through the dead letters that were not stored later.
// Those that somebody has looked at and resolved have a place in the stream's
// account, and are otherwise done with.
func (a *audit) readDeadLetters(ctx context.Context, tx pgx.Tx) error {
	rows, err := tx.Query(ctx, `SELECT stream_id, seq, coalesce(msg_id, ''), coalesce(subject, ''), payload,
		resolved_at IS NULL, coalesce(sqlstate, '') || ' ' || coalesce(reason, '')
		FROM landfall.dead_letters WHERE resolution IS DISTINCT FROM 'stored' AND `+a.ours())
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var l letter
		var unresolved bool
		if err := rows.Scan(&l.stream, &l.seq, &l.id, &l.subject, &l.payload, &unresolved, &l.reason); err != nil {
			return err
		}
		where := a.take(l.stream, l.seq, l.seq, true, "a dead letter")
		if unresolved {
			a.v.DeadLetters++
			a.letter(l, where)
		}
	}
	return rows.Err()
}

// letter is a dead letter.
type letter struct {
	stream, seq          int64
	id, subject, payload []byte
	reason               string
}

// letter judges one dead letter. Only what the drill made bad has a right to
// be one: a good message that is acknowledged is lost that way to the reader
// of the table, and one that is a row as well is there twice.
func (a *audit) letter(l letter, where place) {
	i, known := a.promises.find(l.id)
	if !known {
		a.v.Unexplained++
		a.v.find(kindUnexplained, "dead letter %d/%d: nobody sent a message with id %q", l.stream, l.seq, l.id)
		return
	}
	p := &a.promises.list[i]
	if p.letters == 0 && !p.bad && len(a.promises.reasons) < maxReasons {
		a.promises.reasons[i] = l.reason
	}
	switch {
	case p.rows > 0:
		a.v.Duplicated++
		a.v.find(kindDuplicated, "dead letter %d/%d: message %s is also a row", l.stream, l.seq, l.id)
	case p.outcome == Refused:
		a.v.Unexplained++
		a.v.find(kindUnexplained, "dead letter %d/%d: message %s was refused", l.stream, l.seq, l.id)
	case p.bad && (a.promises.names[p.subject] != string(l.subject) || p.body != HashOf(l.payload)):
		a.v.Unexplained++
		a.v.find(kindUnexplained, "dead letter %d/%d: message %s has another subject or body there", l.stream, l.seq, l.id)
	case p.found(where, &p.letters) > 1:
		a.v.Duplicated++
		a.v.find(kindDuplicated, "dead letter %d/%d: message %s is a dead letter again", l.stream, l.seq, l.id)
	case !p.bad && p.outcome == Unknown:
		a.v.Unexplained++
		a.v.find(kindUnexplained, "dead letter %d/%d: nothing is wrong with message %s: %s", l.stream, l.seq, l.id, l.reason)
	}
}

// maxReasons bounds the memory for a run in which everything went wrong.
const maxReasons = 1000
