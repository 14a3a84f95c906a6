package store

import (
	"context"
	"errors"
	"fmt"
	"net/url"
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

// bothWays runs a test twice: where small batches are inserted in one round
// trip, and where they go by COPY like others, because no statement is to be
// prepared.
func bothWays(t *testing.T, test func(*testing.T, *database)) {
	for name, query := range map[string]string{"INSERT": "", "COPY": "default_query_exec_mode=cache_describe"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := newDatabase(t)
			if query != "" {
				d.url += map[bool]string{true: "&", false: "?"}[strings.Contains(d.url, "?")] + query
			}
			test(t, d)
		})
	}
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

// begin enters an incarnation, again as long as others move the stream meanwhile.
func begin(ctx context.Context, s *Stream, incarnation string, start uint64, last message.Cursor) (message.Cursor, error) {
	for {
		newest, err := s.Newest(ctx)
		if err != nil {
			return newest, err
		}
		cur, err := s.Begin(ctx, newest, incarnation, start, last)
		if !errors.Is(err, message.ErrMoved) {
			return cur, err
		}
	}
}

// enter begins a new incarnation of the stream, at its first sequence.
func (d *database) enter(s *Stream) message.Cursor {
	d.Helper()
	cur, err := begin(d.Context(), s, uuid.NewString(), 1, message.Cursor{})
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
