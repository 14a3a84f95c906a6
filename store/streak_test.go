package store

import (
	"errors"
	"strings"
	"testing"

	"landfall/message"
)

// wantSetup checks that an error is a set-up's fault and says so.
func wantSetup(t testing.TB, err error, parts ...string) {
	t.Helper()
	var set *message.SetupError
	if !errors.As(err, &set) {
		t.Fatalf("not a set-up's fault: %v", err)
	}
	for _, part := range parts {
		if !strings.Contains(set.Error(), part) {
			t.Errorf("%q does not say %q", set.Error(), part)
		}
	}
}

// setups are faults of the set-up that look like bad data, message by message.
func setups() []poison {
	return []poison{
		{name: "trigger", state: "P0001", reason: "not today",
			set: `CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'not today'; END $$;
				CREATE TRIGGER refuse BEFORE INSERT ON messages FOR EACH ROW EXECUTE FUNCTION refuse()`},
		{name: "deferred trigger", state: "P0001", reason: "not today",
			set: `CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'not today'; END $$;
				CREATE CONSTRAINT TRIGGER refuse AFTER INSERT ON messages DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION refuse()`},
		{name: "column without default", state: "23502", reason: "customer",
			set: `ALTER TABLE messages ADD customer text NOT NULL`},
		{name: "missing partition", state: "23514", reason: "no partition",
			set: `ALTER TABLE messages RENAME TO plain;
				CREATE TABLE messages (LIKE plain INCLUDING ALL) PARTITION BY LIST (stream_id)`},
	}
}

func mend() map[string]string {
	return map[string]string{
		"trigger":                `DROP TRIGGER refuse ON messages`,
		"deferred trigger":       `DROP TRIGGER refuse ON messages`,
		"column without default": `ALTER TABLE messages ALTER customer SET DEFAULT ''`,
		"missing partition":      `CREATE TABLE all_of_them PARTITION OF messages DEFAULT`,
	}
}

// In a batch in which everything fails nothing is given up, and after the
// set-up was mended everything is stored.
func TestSetupFaultInOneBatch(t *testing.T) {
	t.Parallel()
	for _, p := range setups() {
		t.Run(p.name, func(t *testing.T) {
			t.Parallel()
			d := newDatabase(t)
			d.exec(p.set)
			s, cur := d.stream()
			ms := run(cur, 50)
			// The sink comes back with a smaller batch: that is no way around.
			for _, n := range []int{50, 50, 5, 1} {
				_, err := s.Write(t.Context(), cur, batchOf(s, ms[:n]))
				wantSetup(t, err, "20 messages in a row", p.reason)
				if w := d.world(cur.StreamID); w.Cursor != 0 || len(w.Rows)+len(w.Dead) > 0 {
					t.Errorf("%+v", w)
				}
			}
			d.exec(mend()[p.name])
			if out := d.write(s, cur, ms); out.Rows != len(ms) {
				t.Errorf("%+v", out)
			}
			d.world(cur.StreamID)
		})
	}
}

// Over small batches nineteen messages are given up before it is noticed.
func TestSetupFaultOverSmallBatches(t *testing.T) {
	t.Parallel()
	for _, p := range setups() {
		t.Run(p.name, func(t *testing.T) {
			t.Parallel()
			d := newDatabase(t)
			d.exec(p.set)
			s, cur := d.stream()
			for range streakLimit - 1 {
				cur = d.write(s, cur, run(cur, 1)).Cursor
			}
			for range 3 {
				_, err := s.Write(t.Context(), cur, batchOf(s, run(cur, 1)))
				wantSetup(t, err, "20 messages in a row", "sequence 20", p.reason)
			}
			// Nor does a larger batch get any further.
			_, err := s.Write(t.Context(), cur, batchOf(s, run(cur, 5)))
			wantSetup(t, err)
			w := d.world(cur.StreamID)
			if w.Cursor != streakLimit-1 || len(w.Dead) != streakLimit-1 {
				t.Errorf("%+v", w)
			}
			for seq, l := range w.Dead {
				if l.SQLState != p.state {
					t.Errorf("dead letter %d: %s", seq, l.SQLState)
				}
			}
			d.exec(mend()[p.name])
			if out := d.write(s, cur, run(cur, 30)); out.Rows != 30 || out.Careful {
				t.Errorf("%+v", out)
			}
			d.world(cur.StreamID)
		})
	}
}

// refuseBad makes bodies that begin with "bad" fail.
const refuseBad = `ALTER TABLE messages ADD CONSTRAINT no_bad CHECK (content NOT LIKE 'bad%')`

// pattern is messages of which those with an x are bad.
func pattern(cur message.Cursor, p string) []message.Message {
	return run(cur, len(p), func(i int, m *message.Message) {
		switch p[i] {
		case 'x':
			badBody(m)
		case 'y':
			m.Header["X"] = []string{"\xff"}
		case 'r':
			*m = under(m.Seq, "again", "x")
		}
	})
}

func TestWhatEndsAStreak(t *testing.T) {
	t.Parallel()
	x := func(n int) string { return strings.Repeat("x", n) }
	shared := newDatabase(t)
	shared.exec(refuseBad)
	for name, c := range map[string]struct {
		batches []string // o: good, x: bad, y: no UTF-8, r: the same message again and again
		setup   bool     // the last batch is the set-up's fault
	}{
		"nineteen":                           {batches: []string{x(19)}},
		"twenty":                             {batches: []string{x(20)}, setup: true},
		"twenty in two batches":              {batches: []string{x(10), x(10)}, setup: true},
		"twenty behind good ones":            {batches: []string{"ooo" + x(20)}, setup: true},
		"twenty before good ones":            {batches: []string{x(20) + "ooo"}, setup: true},
		"a good one in between":              {batches: []string{x(15) + "o" + x(15)}},
		"a good batch in between":            {batches: []string{x(15), "o", x(15)}},
		"a good one at the end of a batch":   {batches: []string{x(19) + "o", x(19)}},
		"a good one at the start of a batch": {batches: []string{x(19), "o" + x(19)}},
		"good ones between, careful":         {batches: []string{x(19), "oox" + x(17) + "ooo", x(19)}},
		"another failure in between":         {batches: []string{x(15) + "y" + x(15)}},
		"two failures in turns":              {batches: []string{strings.Repeat("xy", 25)}},
		"what only the data can cause":       {batches: []string{strings.Repeat("y", 50), x(5) + strings.Repeat("y", 25) + "o"}},
		"repeats do not end it":              {batches: []string{"r", x(10) + "r", "r" + x(10)}, setup: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := shared.within(t)
			s, cur := d.stream()
			for i, p := range c.batches {
				ms := pattern(cur, p)
				out, err := s.Write(t.Context(), cur, batchOf(s, ms))
				if c.setup && i == len(c.batches)-1 {
					wantSetup(t, err)
					break
				}
				if err != nil {
					t.Fatal(err)
				}
				if n := strings.Count(p, "x") + strings.Count(p, "y"); out.DeadLetters != n {
					t.Errorf("batch %d: %+v", i, out)
				}
				cur = out.Cursor
			}
			if w := d.world(cur.StreamID); w.Cursor != cur.Seq {
				t.Errorf("%+v", w)
			}
		})
	}
}

// A message counts once, however often its batch had to be tried.
func TestRolledBackAttemptDoesNotCount(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	d.exec(refuseBad)
	g := d.newGate("", `CREATE TRIGGER gate BEFORE INSERT ON landfall.dead_letters EXECUTE FUNCTION gate()`)
	s, cur := d.stream()
	cur = d.write(s, cur, pattern(cur, "xxxxxxxxxx")).Cursor
	for range 3 {
		g.shut()
		_, result := started(t, func() error {
			_, err := s.Write(t.Context(), cur, batchOf(s, pattern(cur, "xxxxx")))
			return err
		})
		d.terminate(g.awaitOne())
		outageOnly(t, result())
		g.lift()
	}
	cur = d.write(s, cur, pattern(cur, "xxxxxxxxx")).Cursor
	_, err := s.Write(t.Context(), cur, batchOf(s, pattern(cur, "x")))
	wantSetup(t, err)
	if w := d.world(cur.StreamID); len(w.Dead) != 19 {
		t.Errorf("%d dead letters", len(w.Dead))
	}
}

// Nor does it count when another fault of the set-up undoes the batch.
func TestOtherSetupFaultsDoNotCount(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	d.exec(refuseBad + `;
		CREATE FUNCTION discard() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NULL; END $$;
		CREATE TRIGGER discard BEFORE INSERT ON messages FOR EACH ROW WHEN (NEW.content NOT LIKE 'bad%') EXECUTE FUNCTION discard()`)
	s, cur := d.stream()
	ms := pattern(cur, "xxxxxo")
	for range 6 {
		_, err := s.Write(t.Context(), cur, batchOf(s, ms))
		wantSetup(t, err, "discards rows")
	}
	d.exec(`DROP TRIGGER discard ON messages`)
	if out := d.write(s, cur, ms); out.DeadLetters != 5 || out.Rows != 1 {
		t.Errorf("%+v", out)
	}
	d.world(cur.StreamID)
}
