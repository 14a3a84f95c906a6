package store

import (
	"errors"
	"testing"

	"landfall/message"
)

// outageOnly checks that an error is nobody's fault but Postgres'.
func outageOnly(t testing.TB, err error) {
	t.Helper()
	var set *message.SetupError
	if err == nil || errors.As(err, &set) || errors.Is(err, message.ErrMoved) || errors.Is(err, message.ErrTooSlow) {
		t.Errorf("not an outage: %v", err)
	}
}

// sameCursor compares instants, not their locations.
func sameCursor(a, b message.Cursor) bool {
	return a.StreamID == b.StreamID && a.Incarnation == b.Incarnation && a.Seq == b.Seq && a.Last.Equal(b.Last)
}

// A session that dies leaves all or nothing, and Find tells which.
func TestSessionKilled(t *testing.T) {
	t.Parallel()
	poison := func(i int, m *message.Message) {
		if i == 1 {
			m.Header["X"] = []string{"\x00"}
		}
	}
	fine := func(int, *message.Message) {}
	for name, c := range map[string]struct {
		place string
		edit  func(int, *message.Message)
	}{
		"before the rows":            {beforeRows, fine},
		"in COMMIT":                  {inCommit, fine},
		"in the careful transaction": {inCommit, poison},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			bothWays(t, func(t *testing.T, d *database) {
				g := d.newGate("", c.place)
				s, cur := d.stream()
				cur = d.write(s, cur, run(cur, 2)).Cursor
				g.shut()
				_, result := started(t, func() error {
					_, err := s.Write(t.Context(), cur, batchOf(s, run(cur, 3, c.edit)))
					return err
				})
				d.terminate(g.awaitOne())
				outageOnly(t, result())
				g.lift()
				again, found, err := s.Find(t.Context(), cur.Incarnation)
				if err != nil || !found || !sameCursor(again, cur) {
					t.Fatalf("%+v, want %+v: %v", again, cur, err)
				}
				if w := d.world(cur.StreamID); len(w.Rows) != 2 || len(w.Dead) != 0 {
					t.Errorf("%+v", w)
				}
				d.write(s, again, run(again, 3, c.edit))
				d.world(cur.StreamID)
			})
		})
	}
}

// The line is cut while Postgres commits. Find, over another line, waits until
// the transaction has ended and says how.
func TestCommitOfUnknownOutcome(t *testing.T) {
	t.Parallel()
	for name, commits := range map[string]bool{"it commits": true, "it is rolled back": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			bothWays(t, func(t *testing.T, d *database) {
				g := d.newGate("", inCommit)
				l := d.newLine()
				c := d.config()
				c.Postgres.URL = l.url
				s := d.open(c, "n1").Stream("S")
				cur := d.enter(s)
				g.shut()
				_, write := started(t, func() error {
					_, err := s.Write(t.Context(), cur, batchOf(s, run(cur, 3)))
					return err
				})
				pid := g.awaitOne()
				l.cut()
				outageOnly(t, write())
				if !d.lives(pid) {
					t.Fatal("the session ended with its line, so nothing is shown")
				}

				other := d.node("n2").Stream("S")
				var again message.Cursor
				ended, find := started(t, func() (err error) {
					again, _, err = other.Find(t.Context(), cur.Incarnation)
					return err
				})
				if !d.blockedBy(pid, ended) {
					t.Error("Find did not wait for the transaction")
				}
				want := message.Cursor{StreamID: cur.StreamID, Incarnation: cur.Incarnation}
				if commits {
					g.lift()
					m := ordinary(3)
					want.Seq, want.Last = 3, m.Fingerprint()
				} else {
					d.terminate(pid)
					g.lift()
				}
				if err := find(); err != nil {
					t.Fatal(err)
				}
				if !sameCursor(again, want) {
					t.Errorf("%+v, want %+v", again, want)
				}
				d.write(other, again, run(again, 2))
				d.world(cur.StreamID)
			})
		})
	}
}

// Commits are durable whatever the database's default is.
func TestSettingsOfTransactions(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	d.exec(`CREATE TABLE seen (name text, setting text);
		CREATE FUNCTION look() RETURNS trigger LANGUAGE plpgsql AS $$
		BEGIN
			INSERT INTO seen SELECT name, current_setting(name) FROM unnest(ARRAY['synchronous_commit', 'application_name',
				'statement_timeout', 'lock_timeout', 'idle_in_transaction_session_timeout']) name;
			RETURN NULL;
		END $$;
		CREATE TRIGGER look AFTER INSERT ON messages EXECUTE FUNCTION look();
		DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET synchronous_commit = off', current_database()); END $$`)
	s, cur := d.stream()
	d.write(s, cur, run(cur, 1))
	for name, want := range map[string]string{
		"synchronous_commit": "on", "application_name": "landfall testers/n1",
		"statement_timeout": "30s", "lock_timeout": "3s", "idle_in_transaction_session_timeout": "30s",
	} {
		if got := one[string](d, `SELECT setting FROM seen WHERE name = $1`, name); got != want {
			t.Errorf("%s is %q, want %q", name, got, want)
		}
	}
}
