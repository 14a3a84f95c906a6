package store

import (
	"cmp"
	"context"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"landfall/cluster"
	"landfall/message"
	"landfall/migrations"
	"landfall/pgserver/pgtest"
)

func TestMain(m *testing.M) { pgtest.Main(m) }

// patience is how long a condition may take to come true before a test says
// that it never will.
const patience = 30 * time.Second

// database is one test's own database, migrated, and the test's own sessions
// in it, which are no sessions of Landfall's.
type database struct {
	testing.TB
	url  string
	pool *pgxpool.Pool
}

func newDatabase(t testing.TB) *database {
	t.Helper()
	return migrated(t, pgtest.Database(t))
}

// migrated makes the tables in the database at url.
func migrated(t testing.TB, url string) *database {
	t.Helper()
	if err := migrations.Up(t.Context(), url, migrations.Options{}); err != nil {
		t.Fatal(err)
	}
	pool, err := pgxpool.New(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pool.Close)
	return &database{TB: t, url: url, pool: pool}
}

// exec runs statements, several at once if there are no arguments.
func (d *database) exec(sql string, args ...any) {
	d.Helper()
	if len(args) == 0 {
		args = []any{pgx.QueryExecModeSimpleProtocol}
	}
	if _, err := d.pool.Exec(d.Context(), sql, args...); err != nil {
		d.Fatalf("%s: %v", sql, err)
	}
}

// one reads a single value.
func one[T any](d *database, sql string, args ...any) T {
	d.Helper()
	var v T
	if err := d.pool.QueryRow(d.Context(), sql, args...).Scan(&v); err != nil {
		d.Fatalf("%s: %v", sql, err)
	}
	return v
}

// config of a cluster that stores in the database.
func (d *database) config() *cluster.Config {
	return &cluster.Config{
		Name:          "testers",
		MessagesTable: "public.messages",
		Postgres:      cluster.Postgres{URL: d.url},
		Streams:       []cluster.Stream{{Name: "S"}},
	}
}

// node opens the store as the named node does.
func (d *database) node(name string) *Store {
	d.Helper()
	return d.open(d.config(), name)
}

func (d *database) open(c *cluster.Config, node string) *Store {
	d.Helper()
	s, err := Open(c, node)
	if err != nil {
		d.Fatal(err)
	}
	d.Cleanup(s.Close)
	return s
}

// enter begins a new incarnation of the stream, at its first sequence.
func (d *database) enter(s *Stream) message.Cursor {
	d.Helper()
	cur, err := s.Begin(d.Context(), uuid.NewString(), 1, message.Cursor{})
	if err != nil {
		d.Fatal(err)
	}
	return cur
}

// stream is a new stream on a node of its own.
func (d *database) stream() (*Stream, message.Cursor) {
	d.Helper()
	s := d.node("n1").Stream("S")
	return s, d.enter(s)
}

// moment is when the stream's leader stored the message seq. Nanoseconds, so
// that tests see what is cut off.
func moment(seq uint64) time.Time {
	return time.Date(2026, 3, 1, 12, 0, 0, 123_456_789, time.UTC).Add(time.Duration(seq) * time.Millisecond)
}

// ordinary is message seq as most are: text under an id.
func ordinary(seq uint64) message.Message {
	return message.Message{
		Seq:     seq,
		Subject: "orders.new",
		Header:  map[string][]string{message.IDHeader: {fmt.Sprintf("id-%d", seq)}},
		Data:    fmt.Appendf(nil, "order %d", seq),
		Time:    moment(seq),
	}
}

// run is n ordinary messages behind the cursor, changed by the edits.
func run(cur message.Cursor, n int, edits ...func(i int, m *message.Message)) []message.Message {
	ms := make([]message.Message, n)
	for i := range ms {
		ms[i] = ordinary(cur.Seq + 1 + uint64(i))
		for _, edit := range edits {
			edit(i, &ms[i])
		}
	}
	return ms
}

// batchOf encodes the messages as the sink does.
func batchOf(s *Stream, ms []message.Message) *message.Batch {
	b := &message.Batch{Messages: ms}
	for i := range ms {
		b.Rows = s.Encode(b.Rows, &ms[i])
		b.Size += ms[i].Size()
	}
	return b
}

// write stores the messages and must succeed.
func (d *database) write(s *Stream, cur message.Cursor, ms []message.Message) message.Outcome {
	d.Helper()
	out, err := s.Write(d.Context(), cur, batchOf(s, ms))
	if err != nil {
		d.Fatal(err)
	}
	if last := &ms[len(ms)-1]; out.Cursor.Seq != last.Seq || !out.Cursor.Last.Equal(last.Fingerprint()) {
		d.Fatalf("the cursor is %+v after message %d", out.Cursor, last.Seq)
	}
	if got := out.Rows + out.DeadLetters + out.Duplicates; got != len(ms) {
		d.Fatalf("of %d messages %d became rows, %d dead letters, %d duplicates", len(ms), out.Rows, out.DeadLetters, out.Duplicates)
	}
	return out
}

// deadLetter is a row of landfall.dead_letters.
type deadLetter struct {
	Message         message.Message
	Headers         []byte // as NATS sends them
	SQLState        string
	Reason          string
	Resolved, Fresh bool
}

// world is all that Postgres has of one incarnation.
type world struct {
	Cursor     uint64
	Rows       map[uint64]message.Message
	Dead       map[uint64]deadLetter
	Duplicates map[uint64]uint64
	Gaps       [][2]uint64
}

// world reads everything there is of the incarnation, and checks what holds
// always: each sequence up to the cursor is exactly one of row, dead letter,
// duplicate and gap, and nothing is behind the cursor.
func (d *database) world(streamID int64) world {
	d.Helper()
	w := world{
		Cursor:     uint64(one[int64](d, `SELECT last_seq FROM landfall.streams WHERE id = $1`, streamID)),
		Rows:       d.rows(streamID),
		Dead:       d.deadLetters(streamID),
		Duplicates: map[uint64]uint64{},
	}
	var a, b int64
	d.each(`SELECT seq, of_seq FROM landfall.duplicates WHERE stream_id = $1`, streamID, []any{&a, &b}, func() {
		w.Duplicates[uint64(a)] = uint64(b)
	})
	d.each(`SELECT from_seq, to_seq FROM landfall.gaps WHERE stream_id = $1 ORDER BY 1`, streamID, []any{&a, &b}, func() {
		w.Gaps = append(w.Gaps, [2]uint64{uint64(a), uint64(b)})
	})
	w.check(d)
	return w
}

func (w *world) check(t testing.TB) {
	t.Helper()
	is := map[uint64][]string{}
	for seq := range w.Rows {
		is[seq] = append(is[seq], "row")
	}
	for seq := range w.Dead {
		is[seq] = append(is[seq], "dead letter")
	}
	for seq := range w.Duplicates {
		is[seq] = append(is[seq], "duplicate")
	}
	for _, g := range w.Gaps {
		for seq := g[0]; seq <= g[1]; seq++ {
			is[seq] = append(is[seq], "gap")
		}
	}
	for seq := uint64(1); seq <= w.Cursor; seq++ {
		if len(is[seq]) != 1 {
			t.Errorf("sequence %d is %q", seq, is[seq])
		}
		delete(is, seq)
	}
	for seq, what := range is {
		t.Errorf("sequence %d is %q, behind the cursor at %d", seq, what, w.Cursor)
	}
}

// sequences of a world's part, in order.
func sequences[V any](m map[uint64]V) []uint64 {
	var s []uint64
	for seq := range m {
		s = append(s, seq)
	}
	slices.SortFunc(s, cmp.Compare[uint64])
	return s
}

func (d *database) each(sql string, streamID int64, into []any, f func()) {
	d.Helper()
	rows, err := d.pool.Query(d.Context(), sql, streamID)
	if err == nil {
		_, err = pgx.ForEachRow(rows, into, func() error { f(); return nil })
	}
	if err != nil {
		d.Fatalf("%s: %v", sql, err)
	}
}

// rows reads the messages back out of their rows.
func (d *database) rows(streamID int64) map[uint64]message.Message {
	d.Helper()
	found := map[uint64]message.Message{}
	var seq int64
	var subject string
	var content, id *string
	var bytes []byte
	var headers map[string][]string
	var at time.Time
	d.each(`SELECT seq, subject, content, content_bytes, headers, msg_id, published_at FROM public.messages WHERE stream_id = $1`,
		streamID, []any{&seq, &subject, &content, &bytes, &headers, &id, &at}, func() {
			m := message.Message{Seq: uint64(seq), Subject: subject, Header: headers, Data: slices.Clone(bytes), Time: at.UTC()}
			if (content == nil) == (bytes == nil) {
				d.Errorf("sequence %d: not exactly one of content and content_bytes is set", seq)
			}
			if content != nil {
				m.Data = []byte(*content)
			}
			if id != nil && len(m.Header[message.IDHeader]) == 0 {
				if m.Header == nil {
					m.Header = map[string][]string{}
				}
				m.Header[message.IDHeader] = []string{*id}
			}
			if id != nil && m.ID() != *id {
				d.Errorf("sequence %d: msg_id is %q, the header says %q", seq, *id, m.ID())
			}
			found[m.Seq] = m
			headers = nil
		})
	return found
}

func (d *database) deadLetters(streamID int64) map[uint64]deadLetter {
	d.Helper()
	found := map[uint64]deadLetter{}
	var seq, ns int64
	var subject, headers, payload, id []byte
	var state, reason string
	var resolved, fresh bool
	d.each(`SELECT seq, subject, headers, payload, msg_id, published_at, sqlstate, reason,
			resolved_at IS NOT NULL OR resolution IS NOT NULL, failed_at BETWEEN now() - interval '1 minute' AND now()
			FROM landfall.dead_letters WHERE stream_id = $1`,
		streamID, []any{&seq, &subject, &headers, &payload, &id, &ns, &state, &reason, &resolved, &fresh}, func() {
			m := message.Message{Seq: uint64(seq), Subject: string(subject), Data: slices.Clone(payload), Time: time.Unix(0, ns).UTC()}
			m.Header = d.parseHeaders(headers)
			if m.ID() != string(id) {
				d.Errorf("dead letter %d: msg_id is %q, the header says %q", seq, id, m.ID())
			}
			found[m.Seq] = deadLetter{Message: m, Headers: slices.Clone(headers), SQLState: state, Reason: reason, Resolved: resolved, Fresh: fresh}
		})
	return found
}

// eventually waits for a condition.
func eventually(t testing.TB, what string, holds func() bool) {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	deadline := time.NewTimer(patience)
	defer deadline.Stop()
	for !holds() {
		select {
		case <-tick.C:
		case <-deadline.C:
			t.Fatalf("waited %v in vain: %s", patience, what)
		}
	}
}

// edited is the database's URL with something else in it.
func (d *database) edited(edit func(*url.URL)) string {
	d.Helper()
	u, err := url.Parse(d.url)
	if err != nil {
		d.Fatal(err)
	}
	edit(u)
	return u.String()
}

// background is for what has to happen after the test's context has ended.
func background(t testing.TB) (context.Context, context.CancelFunc) {
	t.Helper()
	return context.WithTimeout(context.WithoutCancel(t.Context()), patience)
}

// incompressible is n characters that Postgres cannot squeeze into an index
// entry.
func incompressible(n int) string {
	var b strings.Builder
	for b.Len() < n {
		b.WriteString(uuid.NewString())
	}
	return b.String()[:n]
}
