package pgproxy_test

import (
	"context"
	"errors"
	"net"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"go.uber.org/goleak"

	"landfall/drill/pgproxy"
	"landfall/pgserver/pgtest"
)

func TestMain(m *testing.M) { pgtest.Main(m) }

// bench is a Postgres with two tables, and a way to it.
type bench struct {
	t        testing.TB
	proxy    *pgproxy.Proxy
	target   string // where Postgres is
	url      string // through the proxy
	straight *pgx.Conn
}

func newBench(t testing.TB) *bench {
	t.Helper()
	b := &bench{t: t}
	url := pgtest.Database(t)
	cfg, err := pgx.ParseConfig(url)
	b.must(err)
	b.target = net.JoinHostPort(cfg.Host, strconv.Itoa(int(cfg.Port)))
	b.proxy, err = pgproxy.Listen(t.Context(), "127.0.0.1:0", b.target)
	b.must(err)
	t.Cleanup(func() { b.must(b.proxy.Close()) })
	b.url = b.proxy.URL(url)
	b.straight, err = pgx.Connect(t.Context(), url)
	b.must(err)
	t.Cleanup(func() { b.straight.Close(context.Background()) })
	b.exec(`CREATE TABLE messages (seq bigint PRIMARY KEY, body text)`)
	b.exec(`CREATE TABLE streams (id bigint PRIMARY KEY, last_seq bigint)`)
	b.exec(`INSERT INTO streams VALUES (1, 0)`)
	return b
}

func (b *bench) must(err error) {
	b.t.Helper()
	if err != nil {
		b.t.Fatal(err)
	}
}

func (b *bench) exec(sql string) {
	b.t.Helper()
	_, err := b.straight.Exec(b.t.Context(), sql)
	b.must(err)
}

// connect connects through the proxy.
func (b *bench) connect() *pgx.Conn {
	b.t.Helper()
	conn, err := b.tryConnect(10 * time.Second)
	b.must(err)
	return conn
}

func (b *bench) tryConnect(patience time.Duration) (*pgx.Conn, error) {
	ctx, cancel := context.WithTimeout(b.t.Context(), patience)
	defer cancel()
	conn, err := pgx.Connect(ctx, b.url)
	if err == nil {
		b.t.Cleanup(func() { conn.Close(context.Background()) })
	}
	return conn, err
}

// rows are those that the database has, seen by others, once whoever wrote
// them has ended.
func (b *bench) rows() (n, cursor int) {
	b.t.Helper()
	tx, err := b.straight.Begin(b.t.Context())
	b.must(err)
	defer tx.Rollback(context.Background()) //nolint:errcheck // it only reads
	// A transaction whose connection was cut still has the lock, for a moment.
	_, err = tx.Exec(b.t.Context(), `SET LOCAL lock_timeout = '10s'`)
	b.must(err)
	b.must(tx.QueryRow(b.t.Context(), `SELECT last_seq FROM streams WHERE id = 1 FOR UPDATE`).Scan(&cursor))
	b.must(tx.QueryRow(b.t.Context(), `SELECT count(*) FROM messages`).Scan(&n))
	return n, cursor
}

const (
	selectFence  = `SELECT last_seq FROM streams WHERE id = $1 FOR UPDATE`
	updateCursor = `UPDATE streams SET last_seq = last_seq + $2 WHERE id = $1`
)

func isFence(sql string) bool  { return strings.Contains(sql, "FOR UPDATE") }
func isCopy(sql string) bool   { return strings.HasPrefix(strings.ToUpper(sql), "COPY") }
func isCommit(sql string) bool { return strings.EqualFold(sql, "commit") }

const perBatch = 10

func someRows(from int) pgx.CopyFromSource {
	return pgx.CopyFromSlice(perBatch, func(i int) ([]any, error) { return []any{int64(from + i), "body"}, nil })
}

// store writes a batch of rows as a sink does: pipelined, with statements that
// are prepared once.
func store(ctx context.Context, conn *pgx.Conn, from int) error {
	batch := &pgx.Batch{}
	batch.Queue("BEGIN")
	batch.Queue(selectFence, 1)
	if err := conn.SendBatch(ctx, batch).Close(); err != nil {
		return err
	}
	if _, err := conn.CopyFrom(ctx, pgx.Identifier{"messages"}, []string{"seq", "body"}, someRows(from)); err != nil {
		return err
	}
	batch = &pgx.Batch{}
	batch.Queue(updateCursor, 1, perBatch)
	batch.Queue("COMMIT")
	return conn.SendBatch(ctx, batch).Close()
}

// storeSimply is the same in single steps, some of which pgx takes with the
// simple protocol.
func storeSimply(ctx context.Context, conn *pgx.Conn, from int) error {
	tx, err := conn.Begin(ctx)
	if err != nil {
		return err
	}
	var last int
	if err := tx.QueryRow(ctx, selectFence, 1).Scan(&last); err != nil {
		return err
	}
	if _, err := tx.CopyFrom(ctx, pgx.Identifier{"messages"}, []string{"seq", "body"}, someRows(from)); err != nil {
		return err
	}
	if _, err := tx.Exec(ctx, updateCursor, 1, perBatch); err != nil {
		return err
	}
	return tx.Commit(ctx)
}

// What the program hears, and what Postgres has afterwards, at each point.
func TestPoints(t *testing.T) {
	t.Parallel()
	fence, copying := pgproxy.Point{Statement: isFence}, pgproxy.Point{Statement: isCopy}
	commit := pgproxy.Point{Statement: isCommit, After: isCopy}
	at := func(p pgproxy.Point, m pgproxy.Moment) pgproxy.Point { p.Moment = m; return p }
	for _, tc := range []struct {
		name   string
		point  pgproxy.Point
		stored bool
	}{
		{"fence sent", at(fence, pgproxy.Sent), false},
		{"fence answered", at(fence, pgproxy.Answered), false},
		{"COPY sent", at(copying, pgproxy.Sent), false},
		{"in COPY", at(copying, pgproxy.Flowing), false},
		{"COPY answered", at(copying, pgproxy.Answered), false},
		{"COMMIT sent", at(commit, pgproxy.Sent), false},
		{"COMMIT answered", at(commit, pgproxy.Answered), true},
	} {
		for how, write := range map[string]func(context.Context, *pgx.Conn, int) error{"pipelined": store, "simple": storeSimply} {
			t.Run(tc.name+", "+how, func(t *testing.T) {
				t.Parallel()
				b := newBench(t)
				conn, other := b.connect(), b.connect()
				b.must(write(t.Context(), conn, 0)) // so that statements are prepared
				trap := b.proxy.CutAt(tc.point, 2)
				b.must(write(t.Context(), conn, 100))

				err := write(t.Context(), conn, 200)
				if err == nil || !conn.IsClosed() {
					t.Errorf("the program heard %v", err)
				}
				if pg := (*pgconn.PgError)(nil); errors.As(err, &pg) {
					t.Errorf("the program heard of Postgres itself: %v", err)
				}
				b.sprung(trap)
				want := 2 * perBatch
				if tc.stored {
					want += perBatch
				}
				if n, cursor := b.rows(); n != want || cursor != want {
					t.Errorf("%d rows, the cursor at %d; want %d of both", n, cursor, want)
				}
				// Nobody else was hit, and it is over.
				b.must(write(t.Context(), other, 300))
				if trap.Disarm() {
					t.Error("a trap that has sprung was disarmed")
				}
			})
		}
	}
}

func (b *bench) sprung(trap *pgproxy.Trap) {
	b.t.Helper()
	select {
	case <-trap.Sprung():
	case <-time.After(10 * time.Second):
		b.t.Fatal("the trap has not sprung")
	}
}

// An answer that is held comes in the end; what was asked is done long before.
func TestHeldAnswer(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	conn := b.connect()
	const held = 500 * time.Millisecond
	trap := b.proxy.HoldAt(pgproxy.Point{Statement: isCommit, Moment: pgproxy.Answered}, 1, held)
	done := make(chan error, 1)
	began := time.Now()
	go func() { done <- store(context.Background(), conn, 0) }()
	for n := 0; n == 0; {
		b.must(b.straight.QueryRow(t.Context(), `SELECT count(*) FROM messages`).Scan(&n))
		if time.Since(began) > held {
			t.Fatal("the rows are not there before the answer")
		}
	}
	select {
	case err := <-done:
		t.Fatalf("answered %v after %s", err, time.Since(began))
	default:
	}
	b.must(<-done)
	if took := time.Since(began); took < held {
		t.Errorf("answered after %s", took)
	}
	b.sprung(trap)
}

// A COMMIT that is none of a batch's does not spring a trap for one, and a
// trap that is taken away does nothing.
func TestTrapsThatDoNotSpring(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	conn := b.connect()
	b.must(store(t.Context(), conn, 0))
	trap := b.proxy.CutAt(pgproxy.Point{Statement: isCommit, After: isCopy, Moment: pgproxy.Answered}, 1)
	tx, err := conn.Begin(t.Context())
	b.must(err)
	_, err = tx.Exec(t.Context(), `SELECT last_seq FROM streams WHERE id = 1 FOR UPDATE`)
	b.must(err)
	b.must(tx.Commit(t.Context()))
	if !trap.Disarm() {
		t.Error("the trap sprang")
	}
	b.must(store(t.Context(), conn, 100))
}

// After errors in the middle of a pipeline it is still known which answer
// belongs to what.
func TestAnswersAfterErrors(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	conn := b.connect()
	for range 3 {
		batch := &pgx.Batch{}
		batch.Queue("BEGIN")
		batch.Queue(`SELECT 1 / $1::int`, 0)
		batch.Queue(`SELECT $1::int`, 2)
		batch.Queue("COMMIT")
		if err := conn.SendBatch(t.Context(), batch).Close(); err == nil {
			t.Fatal("divided by zero")
		}
		_, err := conn.Exec(t.Context(), `ROLLBACK; SELECT 1; SELECT 1 / 0`)
		if err == nil {
			t.Fatal("divided by zero")
		}
		if err := conn.QueryRow(t.Context(), `SELECT from nowhere`).Scan(); err == nil {
			t.Fatal("selected from nowhere")
		}
	}
	trap := b.proxy.CutAt(pgproxy.Point{Statement: isCommit, After: isCopy, Moment: pgproxy.Answered}, 1)
	if err := store(t.Context(), conn, 0); err == nil {
		t.Error("the answer came")
	}
	b.sprung(trap)
	if n, _ := b.rows(); n != perBatch {
		t.Errorf("%d rows", n)
	}
}

func TestCut(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	conn := b.connect()
	b.proxy.Cut()
	if err := conn.Ping(t.Context()); !errors.Is(err, syscall.ECONNRESET) && !errors.Is(err, syscall.EPIPE) {
		t.Errorf("on a connection that was cut: %v", err)
	}
	if _, err := b.tryConnect(10 * time.Second); !errors.Is(err, syscall.ECONNRESET) && !errors.Is(err, syscall.EPIPE) {
		t.Errorf("a new connection: %v", err)
	}
	b.proxy.Mend()
	b.must(store(t.Context(), b.connect(), 0))
	b.proxy.Mend()
}

func TestReset(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	first, second := b.connect(), b.connect()
	b.proxy.Reset()
	for _, conn := range []*pgx.Conn{first, second} {
		if err := conn.Ping(t.Context()); err == nil {
			t.Error("a connection that was reset lives")
		}
	}
	b.must(store(t.Context(), b.connect(), 0))
}

// What is said while nothing is carried arrives afterwards, though who said it
// has given up; and a connection that was not used in between goes on.
func TestBlackhole(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	idle, conn := b.connect(), b.connect()
	tx, err := conn.Begin(t.Context())
	b.must(err)
	_, err = tx.Exec(t.Context(), `INSERT INTO messages VALUES (1, 'late')`)
	b.must(err)

	b.proxy.Blackhole()
	b.proxy.Blackhole()
	short, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	if err := tx.Commit(short); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("the COMMIT: %v", err)
	}
	if _, err := b.tryConnect(200 * time.Millisecond); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a new connection: %v", err)
	}
	// For Postgres the session that waits for its COMMIT is still there.
	var sessions, rows int
	b.must(b.straight.QueryRow(t.Context(), `SELECT count(*), (SELECT count(*) FROM messages) FROM pg_stat_activity
		WHERE datname = current_database() AND state = 'idle in transaction'`).Scan(&sessions, &rows))
	if sessions != 1 || rows != 0 {
		t.Errorf("%d sessions in a transaction, %d rows", sessions, rows)
	}
	b.proxy.Mend()
	b.must(idle.Ping(t.Context()))
	for began := time.Now(); rows == 0; {
		b.must(b.straight.QueryRow(t.Context(), `SELECT count(*) FROM messages`).Scan(&rows))
		if time.Since(began) > 10*time.Second {
			t.Fatal("the COMMIT has not come")
		}
	}
	b.must(store(t.Context(), b.connect(), 100))
}

func TestSlow(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	conn := b.connect()
	const size, rate, delay = 200_000, 1_000_000, 50 * time.Millisecond
	ask := func() time.Duration {
		began := time.Now()
		var answer string
		b.must(conn.QueryRow(t.Context(), `SELECT repeat('x', $1)`, size).Scan(&answer))
		if len(answer) != size {
			t.Errorf("%d bytes", len(answer))
		}
		return time.Since(began)
	}
	ask()
	b.proxy.Slow(rate, delay)
	if took := ask(); took < 2*delay+size*time.Second/rate {
		t.Errorf("took %s", took)
	}
	b.proxy.Mend()
	if took := ask(); took > 2*delay {
		t.Errorf("mended, it took %s", took)
	}
}

// A request to cancel takes the same way.
func TestCancelRequest(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	conn := b.connect()
	done := make(chan error, 1)
	go func() {
		_, err := conn.Exec(context.Background(), `SELECT pg_sleep(60)`)
		done <- err
	}()
	for asleep := false; !asleep; {
		b.must(b.straight.QueryRow(t.Context(), `SELECT EXISTS (SELECT FROM pg_stat_activity
			WHERE datname = current_database() AND wait_event = 'PgSleep')`).Scan(&asleep))
	}
	b.must(conn.PgConn().CancelRequest(t.Context()))
	var pg *pgconn.PgError
	if err := <-done; !errors.As(err, &pg) || pg.Code != "57014" {
		t.Errorf("cancelled: %v", err)
	}
}

// What Postgres says last is heard, and those who are no programs, or come
// while Postgres is away, end nothing but their own connections.
func TestStrangers(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	conn := b.connect()
	for _, said := range []string{"", "GET / HTTP/1.1\r\nHost: postgres\r\n\r\n", "\x00\x00\x00\x04", "\x00\x00\x00\x10half of it"} {
		stranger, err := net.Dial("tcp", b.proxy.Address())
		b.must(err)
		_, err = stranger.Write([]byte(said))
		b.must(err)
		stranger.Close()
	}
	b.must(conn.Ping(t.Context()))
	var pg *pgconn.PgError
	if _, err := pgx.Connect(t.Context(), b.url+"_of_another_name"); !errors.As(err, &pg) || pg.Code != "3D000" {
		t.Errorf("a database that is not there: %v", err)
	}
	_, err := b.straight.Exec(t.Context(), `SELECT pg_terminate_backend($1::int)`, int32(conn.PgConn().PID()))
	b.must(err)
	if err := conn.Ping(t.Context()); !errors.As(err, &pg) || pg.Code != "57P01" {
		t.Errorf("terminated: %v", err)
	}

	nowhere, err := pgproxy.Listen(t.Context(), "127.0.0.1:0", "127.0.0.1:1")
	b.must(err)
	defer nowhere.Close() //nolint:errcheck // closed below
	for range 2 {
		if _, err := pgx.Connect(t.Context(), nowhere.URL(b.url)); err == nil {
			t.Error("connected to nowhere")
		}
	}
	b.must(nowhere.Close())
	b.must(nowhere.Close())
}

// Close leaves nothing behind, whatever state the way is in.
func TestCloseLeavesNothing(t *testing.T) {
	for name, spoil := range map[string]func(*pgproxy.Proxy){
		"whole": func(*pgproxy.Proxy) {}, "cut": (*pgproxy.Proxy).Cut, "black hole": (*pgproxy.Proxy).Blackhole,
		"slow": func(p *pgproxy.Proxy) { p.Slow(1, time.Hour) },
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t)
			before := goleak.IgnoreCurrent()
			p, err := pgproxy.Listen(t.Context(), "127.0.0.1:0", b.target)
			b.must(err)
			conn, err := pgx.Connect(t.Context(), p.URL(b.url))
			b.must(err)
			spoil(p)
			short, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
			defer cancel()
			_ = conn.Ping(short) // it may go well or not
			if late, err := pgx.Connect(short, p.URL(b.url)); err == nil {
				late.Close(t.Context())
			}
			b.must(p.Close())
			conn.Close(t.Context())
			if _, err := net.Dial("tcp", p.Address()); !errors.Is(err, syscall.ECONNREFUSED) {
				t.Errorf("somebody still listens: %v", err)
			}
			goleak.VerifyNone(t, before)
		})
	}
}
