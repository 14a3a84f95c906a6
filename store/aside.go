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
	var dead deadRows
	var repeats []duplicate
	for i := range list {
		m := list[i].m
		of, repeated := first[repeatOf(m)]
		if m.ID() != "" && repeated {
			repeats = append(repeats, duplicate{int64(m.Seq), of})
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
	return c.noteDuplicates(ctx, repeats)
}

// duplicate is a message that repeats an earlier one.
type duplicate struct {
	seq, of int64 // of is 0 where it is not known which
}

// noteDuplicates notes them, with a statement for all.
func (c *careful) noteDuplicates(ctx context.Context, list []duplicate) error {
	if len(list) == 0 {
		return nil
	}
	seqs, ofs := make([]int64, len(list)), make([]int64, len(list))
	for i, d := range list {
		seqs[i], ofs[i] = d.seq, d.of
	}
	if _, err := c.conn.Exec(ctx, `INSERT INTO landfall.duplicates (stream_id, seq, of_seq) SELECT $1, d.* FROM unnest($2::bigint[], $3::bigint[]) AS d`,
		c.cur.StreamID, seqs, ofs); err != nil {
		return c.bookkeeping("note duplicates", err)
	}
	c.out.Duplicates += len(list)
	return nil
}

// bookkeeping keeps a failure in landfall's own tables from being taken for
// the message's: it is the set-up, or an outage.
func (c *careful) bookkeeping(doing string, err error) error {
	if err != nil && classify(err) == data {
		return &message.SetupError{Reason: doing, Advice: "the tables of schema landfall are not as the migrations left them", Err: err}
	}
	return err
}

// deadRows are the columns of several dead letters. Every one that comes from
// the message is bytes, so that none can fail for what is in it.
type deadRows struct {
	seqs, times                      []int64
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

// nonNil keeps an empty body from becoming NULL.
func nonNil(b []byte) []byte {
	if b == nil {
		return []byte{}
	}
	return b
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
	var seqs []int64
	var ids, subjects, bodies [][]byte
	for i := range list {
		if m := list[i].m; m.ID() != "" {
			places = append(places, int32(len(asked)))
			asked, seqs = append(asked, m), append(seqs, int64(m.Seq))
			ids, subjects, bodies = append(ids, []byte(m.ID())), append(subjects, []byte(m.Subject)), append(bodies, nonNil(m.Data))
		}
	}
	if len(asked) == 0 {
		return first, nil
	}
	rows, err := c.conn.Query(ctx, `SELECT asked.place, d.seq
		FROM unnest($2::integer[], $3::bytea[], $4::bytea[], $5::bytea[], $6::bigint[]) AS asked (place, id, subject, payload, seq)
		CROSS JOIN LATERAL (SELECT seq FROM landfall.dead_letters AS d
			WHERE d.stream_id = $1 AND sha256(d.msg_id) = sha256(asked.id) AND d.subject = asked.subject AND d.payload = asked.payload AND d.seq < asked.seq
			ORDER BY seq LIMIT 1) AS d`, c.cur.StreamID, places, ids, subjects, bodies, seqs)
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
