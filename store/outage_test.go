package store

import (
	"context"
	"errors"
	"net"
	"net/url"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"landfall/message"
)

// An outage is neither the data's nor the set-up's fault, and passes.
func TestOutages(t *testing.T) {
	t.Parallel()
	t.Run("connection refused", func(t *testing.T) {
		t.Parallel()
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		l.Close()
		d := &database{TB: t, url: "postgres://app:app@" + l.Addr().String() + "/app"}
		store := d.node("n1")
		s := store.Stream("S")
		_, err = s.Write(t.Context(), message.Cursor{}, batchOf(s, run(message.Cursor{}, 1)))
		outageOnly(t, err)
		_, _, err = s.Find(t.Context(), "00000000-0000-0000-0000-000000000000")
		outageOnly(t, err)
		outageOnly(t, store.Ping(t.Context()))
	})
	t.Run("read-only", func(t *testing.T) {
		t.Parallel()
		d := newDatabase(t)
		_, cur := d.stream()
		d.exec(`DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET default_transaction_read_only = on', current_database()); END $$`)
		s := d.node("n2").Stream("S")
		_, err := s.Write(t.Context(), cur, batchOf(s, run(cur, 1)))
		outageOnly(t, err)
		wantState(t, err, "25006")
		_, _, err = s.Find(t.Context(), cur.Incarnation)
		outageOnly(t, err)
		if seq, err := s.Read(t.Context(), cur); err != nil || seq != 0 {
			t.Error(seq, err)
		}
		// Sessions made meanwhile must not stay read-only when it is over.
		d.exec(`DO $$ BEGIN EXECUTE format('ALTER DATABASE %I RESET default_transaction_read_only', current_database()); END $$`)
		for range 2 {
			_, err = s.Write(t.Context(), cur, batchOf(s, run(cur, 1)))
			if err == nil {
				break
			}
			wantState(t, err, "25006") // once: the session that only read
		}
		if err != nil {
			t.Error("still read-only:", err)
		}
	})
	t.Run("first of two hosts is away", func(t *testing.T) {
		t.Parallel()
		d := newDatabase(t)
		c := d.config()
		c.Postgres.URL = d.edited(func(u *url.URL) { u.Host = "127.0.0.1:1," + u.Host })
		s := d.open(c, "n1").Stream("S")
		cur := d.enter(s)
		d.write(s, cur, run(cur, 3))
	})
	t.Run("table locked", func(t *testing.T) {
		t.Parallel()
		d := newDatabase(t)
		s, cur := d.stream()
		tx, err := d.pool.Begin(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := tx.Exec(t.Context(), `LOCK messages`); err != nil {
			t.Fatal(err)
		}
		_, err = s.Write(t.Context(), cur, batchOf(s, run(cur, 1)))
		outageOnly(t, err)
		wantState(t, err, lockNotAvailable)
		if err := tx.Rollback(t.Context()); err != nil {
			t.Fatal(err)
		}
		d.write(s, cur, run(cur, 1))
	})
	t.Run("too many connections", func(t *testing.T) {
		t.Parallel()
		d := newDatabase(t)
		_, cur := d.stream()
		d.exec(`DO $$ BEGIN EXECUTE format('ALTER DATABASE %I CONNECTION LIMIT 0', current_database()); CREATE USER crowded PASSWORD 'app'; END $$`)
		d.afterwards(`DROP USER crowded`)
		c := d.config()
		c.Postgres.URL = d.edited(func(u *url.URL) { u.User = url.UserPassword("crowded", "app") })
		s := d.open(c, "n1").Stream("S")
		_, err := s.Write(t.Context(), cur, batchOf(s, run(cur, 1)))
		outageOnly(t, err)
		wantState(t, err, "53300")
	})
}

func wantState(t testing.TB, err error, code string) {
	t.Helper()
	var pg *pgconn.PgError
	if !errors.As(err, &pg) || pg.Code != code {
		t.Errorf("not SQLSTATE %s: %v", code, err)
	}
}

// A cancelled statement is a batch too large, wherever it happens.
func TestCancelledStatement(t *testing.T) {
	t.Parallel()
	for name, place := range map[string]string{"before the rows": beforeRows, "in COMMIT": inCommit} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			bothWays(t, func(t *testing.T, d *database) {
				g := d.newGate("", place)
				s, cur := d.stream()
				for _, text := range []string{"fine", "not \x00 fine"} {
					ms := run(cur, 3, func(i int, m *message.Message) {
						if i == 1 {
							m.Header["X"] = []string{text}
						}
					})
					g.shut()
					_, result := started(t, func() error {
						_, err := s.Write(t.Context(), cur, batchOf(s, ms))
						return err
					})
					d.exec(`SELECT pg_cancel_backend($1)`, g.awaitOne())
					if err := result(); !errors.Is(err, message.ErrTooSlow) {
						t.Errorf("%q: %v", text, err)
					}
					g.lift()
					cur = d.write(s, cur, ms).Cursor
				}
				d.world(cur.StreamID)
			})
		})
	}
}

// A batch with so many bad rows that finding them takes longer than a batch
// may is a batch too large: waiting and sending it again would never end.
func TestTooManyBadRowsForTheTime(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	d.exec(`CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$
		BEGIN
			PERFORM pg_sleep(0.05);
			RAISE 'no customer %', NEW.seq;
		END $$;
		CREATE TRIGGER refuse BEFORE INSERT ON messages FOR EACH ROW EXECUTE FUNCTION refuse()`)
	s, cur := d.stream()
	ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
	defer cancel()
	_, err := s.Write(ctx, cur, batchOf(s, run(cur, 16)))
	if !errors.Is(err, message.ErrTooSlow) {
		t.Error(err)
	}
	out := d.write(s, cur, run(cur, 1))
	if out.DeadLetters != 1 {
		t.Errorf("a small batch: %+v", out)
	}
}
