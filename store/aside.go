package store

import (
	"context"
	"crypto/sha256"

	"github.com/jackc/pgx/v5"

	"landfall/message"
)

// aside is a message that is to be a dead letter, and why.
type aside struct {
	m            *message.Message
	code, reason string
}

// setAsideAll makes dead letters of the messages, in their order, with a
// statement for all of them. One that repeats a dead letter, the same id with
// the same subject and body, is its duplicate.
func (c *careful) setAsideAll(ctx context.Context, list []aside) error {
	if len(list) == 0 {
		return nil
	}
	first, err := c.earlierDeadLetters(ctx, list)
	if err != nil {
		return err
	}
	var dead, repeats deadRows
	for i := range list {
		m := list[i].m
		of, repeated := first[repeatOf(m)]
		if m.ID() != "" && repeated {
			repeats.seqs, repeats.ofs = append(repeats.seqs, int64(m.Seq)), append(repeats.ofs, of)
			continue
		}
		first[repeatOf(m)] = int64(m.Seq)
		dead.add(&list[i])
	}
	if _, err := c.conn.Exec(ctx, `INSERT INTO landfall.dead_letters
			(stream_id, seq, subject, headers, payload, msg_id, published_at, sqlstate, reason)
			SELECT $1, d.* FROM unnest($2::bigint[], $3::bytea[], $4::bytea[], $5::bytea[], $6::bytea[], $7::bigint[], $8::text[], $9::text[]) AS d`,
		c.cur.StreamID, dead.seqs, dead.subjects, dead.headers, dead.payloads, dead.ids, dead.times, dead.codes, dead.reasons); err != nil {
		return c.bookkeeping("write dead letters", err)
	}
	c.out.DeadLetters += len(dead.seqs)
	if len(repeats.seqs) == 0 {
		return nil
	}
	if _, err := c.conn.Exec(ctx, `INSERT INTO landfall.duplicates (stream_id, seq, of_seq) SELECT $1, d.* FROM unnest($2::bigint[], $3::bigint[]) AS d`,
		c.cur.StreamID, repeats.seqs, repeats.ofs); err != nil {
		return c.bookkeeping("note duplicates", err)
	}
	c.out.Duplicates += len(repeats.seqs)
	return nil
}

// deadRows are the columns of several dead letters, or of duplicates.
type deadRows struct {
	seqs, ofs, times                 []int64
	subjects, headers, payloads, ids [][]byte
	codes, reasons                   []string
}

func (d *deadRows) add(a *aside) {
	d.seqs = append(d.seqs, int64(a.m.Seq))
	d.subjects = append(d.subjects, []byte(a.m.Subject))
	d.headers = append(d.headers, wireHeaders(a.m.Header))
	d.payloads = append(d.payloads, nonNil(a.m.Data))
	d.ids = append(d.ids, idBytes(a.m.ID()))
	d.times = append(d.times, a.m.Time.UnixNano())
	d.codes = append(d.codes, a.code)
	d.reasons = append(d.reasons, a.reason)
}

// repeat is what two messages have in common of which one repeats the other.
type repeat struct {
	id, subject string
	body        [sha256.Size]byte
}

func repeatOf(m *message.Message) repeat {
	if m.ID() == "" {
		return repeat{}
	}
	return repeat{m.ID(), m.Subject, sha256.Sum256(m.Data)}
}

// earlierDeadLetters are the dead letters that messages of the list repeat.
func (c *careful) earlierDeadLetters(ctx context.Context, list []aside) (map[repeat]int64, error) {
	first := map[repeat]int64{}
	var asked []*message.Message
	var places []int32
	var ids, subjects, bodies [][]byte
	for i := range list {
		if m := list[i].m; m.ID() != "" {
			places = append(places, int32(len(asked)))
			asked = append(asked, m)
			ids, subjects, bodies = append(ids, []byte(m.ID())), append(subjects, []byte(m.Subject)), append(bodies, nonNil(m.Data))
		}
	}
	if len(asked) == 0 {
		return first, nil
	}
	rows, err := c.conn.Query(ctx, `SELECT asked.place, d.seq
		FROM unnest($2::integer[], $3::bytea[], $4::bytea[], $5::bytea[]) AS asked (place, id, subject, payload)
		CROSS JOIN LATERAL (SELECT seq FROM landfall.dead_letters AS d
			WHERE d.stream_id = $1 AND sha256(d.msg_id) = sha256(asked.id) AND d.subject = asked.subject AND d.payload = asked.payload
			ORDER BY seq LIMIT 1) AS d`, c.cur.StreamID, places, ids, subjects, bodies)
	if err != nil {
		return nil, c.bookkeeping("look for earlier dead letters", err)
	}
	var place int32
	var seq int64
	_, err = pgx.ForEachRow(rows, []any{&place, &seq}, func() error {
		first[repeatOf(asked[place])] = seq
		return nil
	})
	return first, c.bookkeeping("look for earlier dead letters", err)
}
