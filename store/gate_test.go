package store

import (
	"io"
	"net"
	"net/url"
	"strconv"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5"
	"golang.org/x/sync/errgroup"
)

// gate is a place in the database where sessions stop until the test lets
// them on.
type gate struct {
	*database
	conn *pgx.Conn // holds the gate shut
}

// The places where a gate can stand.
const (
	beforeRows = `CREATE TRIGGER gate BEFORE INSERT ON messages EXECUTE FUNCTION gate()`
	inCommit   = `CREATE CONSTRAINT TRIGGER gate AFTER INSERT ON messages DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION gate()`
)

const gateKey = 4711 // of the advisory lock

// newGate puts a gate at the place, open. Only sessions of the named node go
// through it; all do if node is "".
func (d *database) newGate(node, place string) *gate {
	d.Helper()
	d.exec(`CREATE FUNCTION gate() RETURNS trigger LANGUAGE plpgsql SET lock_timeout = 0 AS $$
		BEGIN
			IF starts_with(current_setting('application_name'), 'landfall ') AND current_setting('application_name') LIKE '%` + node + `' THEN
				PERFORM pg_advisory_xact_lock_shared(` + strconv.Itoa(gateKey) + `);
			END IF;
			RETURN NULL;
		END $$`)
	d.exec(place)
	conn, err := pgx.Connect(d.Context(), d.url)
	if err != nil {
		d.Fatal(err)
	}
	d.Cleanup(func() {
		ctx, cancel := background(d)
		defer cancel()
		_ = conn.Close(ctx)
	})
	return &gate{d, conn}
}

func (g *gate) do(sql string) {
	g.Helper()
	if _, err := g.conn.Exec(g.Context(), sql, gateKey); err != nil {
		g.Fatal(err)
	}
}

func (g *gate) shut() { g.Helper(); g.do(`SELECT pg_advisory_lock($1)`) }
func (g *gate) lift() { g.Helper(); g.do(`SELECT pg_advisory_unlock($1)`) }

// awaitOne waits until a session stands at the gate, and returns its pid.
func (g *gate) awaitOne() (pid int32) {
	g.Helper()
	eventually(g, "a session at the gate", func() bool {
		pid = one[int32](g.database, `SELECT coalesce(max(pid), 0) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted
			AND database = (SELECT oid FROM pg_database WHERE datname = current_database())`)
		return pid != 0
	})
	return pid
}

// terminate ends a session and waits until it is gone.
func (d *database) terminate(pid int32) {
	d.Helper()
	d.exec(`SELECT pg_terminate_backend($1)`, pid)
	eventually(d, "the session ends", func() bool { return !d.lives(pid) })
}

func (d *database) lives(pid int32) bool {
	d.Helper()
	return one[bool](d, `SELECT EXISTS (SELECT FROM pg_stat_activity WHERE pid = $1)`, pid)
}

// blockedBy waits until a session waits for the one given, unless ended is
// closed before.
func (d *database) blockedBy(pid int32, ended <-chan struct{}) (blocked bool) {
	d.Helper()
	eventually(d, "a session waits for another, or ends", func() bool {
		blocked = one[bool](d, `SELECT EXISTS (SELECT FROM pg_stat_activity WHERE datname = current_database()
			AND $1 = ANY (pg_blocking_pids(pid)))`, pid)
		select {
		case <-ended:
			return true
		default:
			return blocked
		}
	})
	return blocked
}

// line is a network line to Postgres that can be cut. Postgres does not learn
// of it: a session that was at work goes on.
type line struct {
	url      string
	listener net.Listener
	mu       sync.Mutex
	client   []net.Conn
	server   []net.Conn
}

func (d *database) newLine() *line {
	d.Helper()
	l := &line{}
	var far string
	l.url = d.edited(func(u *url.URL) {
		var err error
		if l.listener, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
			d.Fatal(err)
		}
		far, u.Host = u.Host, l.listener.Addr().String()
	})
	var g errgroup.Group
	g.Go(func() error {
		for {
			near, err := l.listener.Accept()
			if err != nil {
				return nil
			}
			away, err := net.Dial("tcp", far)
			if err != nil {
				near.Close()
				continue
			}
			l.mu.Lock()
			l.client, l.server = append(l.client, near), append(l.server, away)
			l.mu.Unlock()
			g.Go(func() error { _, _ = io.Copy(away, near); return nil })
			g.Go(func() error { _, _ = io.Copy(near, away); return nil })
		}
	})
	d.Cleanup(func() {
		l.cut()
		for _, c := range l.server {
			c.Close()
		}
		_ = g.Wait()
	})
	return l
}

// cut ends the line for the client, for good.
func (l *line) cut() {
	l.listener.Close()
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, c := range l.client {
		c.Close()
	}
}

// started runs f beside the test, which has to wait for its end.
func started(t testing.TB, f func() error) (ended <-chan struct{}, result func() error) {
	done := make(chan struct{})
	var err error
	go func() {
		defer close(done)
		err = f()
	}()
	t.Cleanup(func() { <-done })
	return done, func() error { <-done; return err }
}
