package store

import (
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"landfall/cluster"
	"landfall/message"
)

// What is wrong with the set-up is said, with what to do; nothing is stored
// and nothing given up.
func TestFaultsOfTheSetup(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		config func(d *database, c *cluster.Config)
		broken string
		says   []string
	}{
		"wrong password": {
			config: func(d *database, c *cluster.Config) {
				c.Postgres.URL = d.edited(func(u *url.URL) { u.User = url.UserPassword(u.User.Username(), "wrong") })
			},
			says: []string{"connect to Postgres", "user and password in postgres.url"},
		},
		"missing database": {
			config: func(d *database, c *cluster.Config) {
				c.Postgres.URL = d.edited(func(u *url.URL) { u.Path = "/nowhere" })
			},
			says: []string{"nowhere", "create the database"},
		},
		"another messages table": {
			config: func(_ *database, c *cluster.Config) { c.MessagesTable = "public.nothing" },
			says:   []string{"nothing", "messages_table"},
		},
		"missing messages table": {broken: `DROP TABLE messages`, says: []string{"app migrate up"}},
		"missing schema":         {broken: `DROP SCHEMA landfall CASCADE`, says: []string{"app migrate up"}},
		"missing column":         {broken: `ALTER TABLE messages DROP headers`, says: []string{"headers", "undo the change"}},
		"renamed column":         {broken: `ALTER TABLE messages RENAME headers TO h`, says: []string{"headers", "undo the change"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := newDatabase(t)
			_, cur := d.stream()
			if c.broken != "" {
				d.exec(c.broken)
			}
			config := d.config()
			if c.config != nil {
				c.config(d, config)
			}
			s := d.open(config, "n1").Stream("S")
			_, err := s.Write(t.Context(), cur, batchOf(s, run(cur, 3)))
			wantSetup(t, err, c.says...)
			if c.broken == "" {
				if w := d.world(cur.StreamID); w.Cursor != 0 || len(w.Rows)+len(w.Dead) > 0 {
					t.Errorf("%+v", w)
				}
			}
		})
	}
}

// The rights that the advice names are enough for everything, and none of
// them can be missing.
func TestRights(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	name := one[string](d, `SELECT current_database()`)
	role := name + "_user"
	d.exec(`CREATE USER ` + role + ` PASSWORD 'secret';
		REVOKE TEMPORARY ON DATABASE ` + name + ` FROM PUBLIC;
		GRANT TEMPORARY ON DATABASE ` + name + ` TO ` + role + `;
		GRANT USAGE ON SCHEMA landfall TO ` + role + `;
		GRANT SELECT, INSERT, UPDATE ON ALL TABLES IN SCHEMA landfall TO ` + role + `;
		GRANT DELETE ON landfall.marks, landfall.batches TO ` + role + `;
		GRANT SELECT, INSERT ON messages TO ` + role)
	d.afterwards(`DROP OWNED BY `+role, `DROP USER `+role)
	c := d.config()
	c.Postgres.URL = d.edited(func(u *url.URL) { u.User = url.UserPassword(role, "secret") })
	s := d.open(c, "n1").Stream("S")
	cur := d.enter(s)
	everything := func(cur message.Cursor) []message.Message {
		return run(cur, 5, func(i int, m *message.Message) {
			switch i {
			case 1:
				m.Subject = "\xff"
			case 2, 3:
				*m = under(m.Seq, "again", "x")
			}
		})
	}
	cur = d.write(s, cur, everything(cur)).Cursor
	cur, err := s.RecordGap(t.Context(), cur, cur.Seq+2)
	if err == nil {
		_, _, _, err = s.RowAtOrBelow(t.Context(), cur.Seq)
	}
	if err == nil {
		err = s.Trim(t.Context(), cur, 0, noTrim)
	}
	if err != nil {
		t.Fatal(err)
	}
	d.world(cur.StreamID)
	for _, right := range []string{
		"TEMPORARY ON DATABASE " + name, "INSERT ON landfall.dead_letters", "INSERT ON landfall.duplicates",
		"SELECT ON messages", "INSERT ON messages", "UPDATE ON landfall.streams", "USAGE ON SCHEMA landfall",
	} {
		d.exec(`REVOKE ` + right + ` FROM ` + role)
		_, err := s.Write(t.Context(), cur, batchOf(s, everything(cur)))
		wantSetup(t, err, "permission denied", "grant the role")
		d.exec(`GRANT ` + right + ` TO ` + role)
	}
	d.exec(`REVOKE DELETE ON landfall.marks FROM ` + role)
	wantSetup(t, s.Trim(t.Context(), cur, 0, noTrim), "DELETE on landfall.marks")
	d.write(s, cur, everything(cur))
	d.world(cur.StreamID)
}

// afterwards runs statements when the test has ended.
func (d *database) afterwards(statements ...string) {
	d.Helper()
	d.Cleanup(func() {
		ctx, cancel := background(d)
		defer cancel()
		for _, sql := range statements {
			if _, err := d.pool.Exec(ctx, sql); err != nil {
				d.Error(err)
			}
		}
	})
}

// Rows that vanish on their way are not lost: nothing is stored until the
// trigger is gone.
func TestDiscardedRows(t *testing.T) {
	t.Parallel()
	for name, when := range map[string]string{"all": `true`, "some": `NEW.seq = 2`} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			bothWays(t, func(t *testing.T, d *database) {
				d.exec(`CREATE FUNCTION discard() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NULL; END $$;
				CREATE TRIGGER discard BEFORE INSERT ON messages FOR EACH ROW WHEN (` + when + `) EXECUTE FUNCTION discard()`)
				s, cur := d.stream()
				poisoned := run(cur, 3, func(i int, m *message.Message) {
					if i == 0 {
						m.Subject = "\xff"
					}
				})
				repeating := []message.Message{under(1, "a", "x"), under(2, "b", "x"), under(3, "b", "x")}
				for _, ms := range [][]message.Message{run(cur, 3), poisoned, repeating} {
					_, err := s.Write(t.Context(), cur, batchOf(s, ms))
					wantSetup(t, err, "discards rows", "remove it")
					if w := d.world(cur.StreamID); w.Cursor != 0 {
						t.Errorf("%+v", w)
					}
				}
				d.exec(`DROP TRIGGER discard ON messages`)
				d.write(s, cur, poisoned)
				d.world(cur.StreamID)
			})
		})
	}
}

// A cursor that was set back by hand meets the rows it had passed. They are no
// bad data.
func TestRowsBehindTheCursor(t *testing.T) {
	t.Parallel()
	bothWays(t, func(t *testing.T, d *database) {
		s, cur := d.stream()
		start := cur
		cur = d.write(s, cur, run(cur, 5)).Cursor
		d.exec(`UPDATE landfall.streams SET last_seq = 0`)
		anonymous := run(start, 3, func(_ int, m *message.Message) { m.Header = nil })
		repeating := run(start, 7, func(i int, m *message.Message) {
			if i > 4 {
				*m = under(m.Seq, "again", "x")
			}
		})
		for _, ms := range [][]message.Message{run(start, 3), run(start, 1), anonymous, repeating} {
			_, err := s.Write(t.Context(), start, batchOf(s, ms))
			wantSetup(t, err, "already there", "app verify")
		}
		if n := one[int64](d, `SELECT (SELECT count(*) FROM landfall.dead_letters) + (SELECT count(*) FROM landfall.duplicates)`); n != 0 {
			t.Errorf("%d messages were given up", n)
		}
		d.exec(`UPDATE landfall.streams SET last_seq = 5`)
		d.write(s, cur, run(cur, 3))
		d.world(cur.StreamID)
	})
}

// Nor do dead letters and duplicates behind the cursor become something else.
func TestDeadLettersBehindTheCursor(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	s, cur := d.stream()
	ms := []message.Message{under(1, "bad", "\x00"), under(2, "a", "x"), under(3, "a", "x"), under(4, "a", "y")}
	ms[0].Subject = "\xff"
	cur = d.write(s, cur, ms).Cursor
	before := d.world(cur.StreamID)
	for from := range uint64(len(ms)) {
		back := cur
		back.Seq = from
		d.exec(`UPDATE landfall.streams SET last_seq = $1`, int64(from))
		for _, part := range [][]message.Message{ms[from:], ms[from : from+1]} {
			_, err := s.Write(t.Context(), back, batchOf(s, part))
			wantSetup(t, err)
		}
	}
	d.exec(`UPDATE landfall.streams SET last_seq = 4`)
	if diff := cmp.Diff(before, d.world(cur.StreamID)); diff != "" {
		t.Error(diff)
	}
}

// Trouble with Landfall's own tables is not taken for bad data either.
func TestBrokenBookkeeping(t *testing.T) {
	t.Parallel()
	for table, second := range map[string]message.Message{
		"dead_letters": under(2, "\xff", "x"),
		"duplicates":   under(2, "a", "x"),
	} {
		t.Run(table, func(t *testing.T) {
			t.Parallel()
			d := newDatabase(t)
			d.exec(`ALTER TABLE landfall.` + table + ` ADD CONSTRAINT broken CHECK (false)`)
			s, cur := d.stream()
			ms := []message.Message{under(1, "a", "x"), second, under(3, "c", "x")}
			_, err := s.Write(t.Context(), cur, batchOf(s, ms))
			wantSetup(t, err, "broken", "schema landfall")
			if w := d.world(cur.StreamID); w.Cursor != 0 {
				t.Errorf("%+v", w)
			}
			d.exec(`ALTER TABLE landfall.` + table + ` DROP CONSTRAINT broken`)
			d.write(s, cur, ms)
			d.world(cur.StreamID)
		})
	}
}

func TestOpen(t *testing.T) {
	t.Parallel()
	c := &cluster.Config{Name: strings.Repeat("x", 80), Postgres: cluster.Postgres{URL: "postgres://127.0.0.1:1/x?connect_timeout=7"}, MessagesTable: "messages"}
	s, err := Open(c, "n1")
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	cc := s.pool.Config().ConnConfig
	if name := cc.RuntimeParams["application_name"]; len(name) != 63 || !strings.HasPrefix(name, "landfall ") {
		t.Errorf("application_name %q", name)
	}
	if cc.ConnectTimeout != 7*time.Second {
		t.Errorf("connect_timeout is %v", cc.ConnectTimeout)
	}
	if s.table.Sanitize() != `"public"."messages"` {
		t.Error(s.table)
	}
	if cc.ValidateConnect != nil {
		t.Error("a single host is asked whether it takes writes")
	}
	c.Postgres.URL = "postgres://127.0.0.1:1,127.0.0.1:2/x"
	several, err := Open(c, "n1")
	if err != nil {
		t.Fatal(err)
	}
	defer several.Close()
	if several.pool.Config().ConnConfig.ValidateConnect == nil {
		t.Error("of several hosts any will do, even one that takes no writes")
	}
	c.Postgres.URL = "postgres://:::"
	if _, err := Open(c, "n1"); err == nil || !strings.Contains(err.Error(), "postgres.url") {
		t.Error(err)
	}
}
