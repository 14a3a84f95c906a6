package store

import (
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"landfall/message"
)

// ledger is what becomes of messages, taken one by one: the rule that every
// way of storing batches has to keep.
type ledger struct {
	Rows       map[uint64]message.Message
	Dead       map[uint64]string // SQLSTATE, and the reason where it is ours
	Duplicates map[uint64]uint64
	dead       []message.Message
}

func newLedger() *ledger {
	return &ledger{Rows: map[uint64]message.Message{}, Dead: map[uint64]string{}, Duplicates: map[uint64]uint64{}}
}

func (l *ledger) take(m message.Message, state string) {
	if state == "" {
		row, found := l.named(m.ID())
		switch {
		case !found:
			l.Rows[m.Seq] = asStored(m)
			return
		case row.Subject == m.Subject && string(row.Data) == string(m.Data):
			l.Duplicates[m.Seq] = row.Seq
			return
		}
		state = fmt.Sprintf("23505 message id %q already names another message: sequence %d of the stream", m.ID(), row.Seq)
	}
	for _, d := range l.dead {
		if m.ID() != "" && d.ID() == m.ID() && d.Subject == m.Subject && string(d.Data) == string(m.Data) {
			l.Duplicates[m.Seq] = d.Seq
			return
		}
	}
	l.dead = append(l.dead, m)
	l.Dead[m.Seq] = state
}

func (l *ledger) named(id string) (message.Message, bool) {
	for _, row := range l.Rows {
		if id != "" && row.ID() == id {
			return row, true
		}
	}
	return message.Message{}, false
}

// ledger is read back from the tables.
func (w world) ledger() *ledger {
	l := newLedger()
	l.Rows, l.Duplicates = w.Rows, w.Duplicates
	for seq, d := range w.Dead {
		l.Dead[seq] = d.SQLState
		if d.SQLState == "23505" {
			l.Dead[seq] += " " + d.Reason
		}
	}
	return l
}

// sent is a message, and the SQLSTATE with which Postgres refuses it, if any.
type sent struct {
	message.Message
	state string
}

// sending draws messages of few ids, subjects and bodies, so that most have
// met before, whole or in part.
func sending(t *rapid.T) []sent {
	n := rapid.IntRange(1, 30).Draw(t, "messages")
	all := make([]sent, n)
	refused := 0 // by the check: so many in a row would be the set-up's fault
	for i := range all {
		m := &all[i]
		m.Seq, m.Time = uint64(i+1), moment(uint64(i+1))
		m.Subject = rapid.SampledFrom([]string{"s", "s", "s", "S"}).Draw(t, "subject")
		m.Data = []byte(rapid.SampledFrom([]string{"x", "x", "x", "X", "", "\x00", "\x00x", `\x00`}).Draw(t, "body"))
		if id := rapid.SampledFrom([]string{"", "a", "b", "c", "d", "A", fmt.Sprint(i)}).Draw(t, "id"); id != "" {
			m.Header = map[string][]string{message.IDHeader: {id}}
		}
		switch rapid.IntRange(0, 19).Draw(t, "poison") {
		case 0:
			m.Subject, m.state = "\xff", "22021"
		case 1:
			if m.Header == nil {
				m.Header = map[string][]string{}
			}
			m.Header["X"], m.state = []string{"\x00"}, "22P05"
		case 2, 3:
			if refused++; refused < streakLimit {
				m.Data, m.state = []byte("bad"), "23514"
			}
		}
	}
	return all
}

// However messages come together in batches, the tables are those of taking
// them one by one.
func TestBatchesAreAsOneByOne(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	d.exec(refuseBad)
	node := d.node("n1")
	rapid.Check(t, func(t *rapid.T) {
		all := sending(t)
		want := newLedger()
		for _, m := range all {
			want.take(m.Message, m.state)
		}
		sizes := map[string]func() int{
			"alone":   func() int { return 1 },
			"batches": func() int { return rapid.IntRange(1, 12).Draw(t, "batch") },
			"at once": func() int { return len(all) },
		}
		for _, name := range []string{"alone", "batches", "at once"} {
			s := node.Stream("S")
			cur := d.enter(s)
			var total message.Outcome
			for rest := all; len(rest) > 0; {
				part := rest[:min(sizes[name](), len(rest))]
				rest = rest[len(part):]
				ms := make([]message.Message, len(part))
				for i := range part {
					ms[i] = part[i].Message
				}
				out, err := s.Write(d.Context(), cur, batchOf(s, ms))
				if err != nil {
					t.Fatalf("%s: %v", name, err)
				}
				cur = out.Cursor
				total.Rows += out.Rows
				total.DeadLetters += out.DeadLetters
				total.Duplicates += out.Duplicates
			}
			if diff := cmp.Diff(want, d.world(cur.StreamID).ledger(), cmp.FilterPath(unexported, cmp.Ignore())); diff != "" {
				t.Fatalf("%s: %s", name, diff)
			}
			if total.Rows != len(want.Rows) || total.DeadLetters != len(want.Dead) || total.Duplicates != len(want.Duplicates) {
				t.Fatalf("%s: %+v", name, total)
			}
		}
	})
}

func unexported(p cmp.Path) bool { return p.Last().String() == ".dead" }

// Where everything is sent again COPY is not tried any more, until a batch
// has no repeats.
func TestRepeatsOfWholeBatches(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	d.exec(`CREATE SEQUENCE tries;
		CREATE FUNCTION try() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM nextval('tries'); RETURN NULL; END $$;
		CREATE TRIGGER try BEFORE INSERT ON messages FOR EACH STATEMENT EXECUTE FUNCTION try()`)
	s, cur := d.stream()
	tries := func() int64 { return one[int64](d, `SELECT CASE WHEN is_called THEN last_value ELSE 0 END FROM tries`) }
	again := func(_ int, m *message.Message) {
		of := ordinary((m.Seq-1)%10 + 1)
		m.Subject, m.Data, m.Header = of.Subject, of.Data, of.Header
	}
	one := func(i int, m *message.Message) {
		if i == 3 {
			again(i, m)
		}
	}
	fresh := func(int, *message.Message) {}
	for i, c := range []struct {
		edit       func(int, *message.Message)
		duplicates int
		careful    bool
		tries      int64 // statements that went for the messages table
	}{
		{fresh, 0, false, 1},
		{again, 10, true, 2}, // COPY, then the merge
		{again, 10, true, 0},
		{again, 10, true, 0},
		{one, 1, true, 1},
		{fresh, 0, true, 1},
		{fresh, 0, false, 1},
		{one, 1, true, 2},
		{fresh, 0, true, 1},
		{fresh, 0, false, 1},
	} {
		before := tries()
		out := d.write(s, cur, run(cur, 10, c.edit))
		if out.Duplicates != c.duplicates || out.DeadLetters != 0 || out.Careful != c.careful {
			t.Errorf("batch %d: %+v", i, out)
		}
		if n := tries() - before; n != c.tries {
			t.Errorf("batch %d: %d statements, want %d", i, n, c.tries)
		}
		cur = out.Cursor
	}
	d.world(cur.StreamID)
}

// What is no repeat is not taken for one because repeats are about: rows
// behind a cursor that was set back, and rows that a trigger discards.
func TestFaultsAmongRepeats(t *testing.T) {
	t.Parallel()
	repeats := []message.Message{under(1, "a", "x"), under(2, "a", "x"), under(3, "b", "x"), under(4, "c", "x")}
	for name, c := range map[string]struct {
		broken, mended string
		at             uint64 // where the cursor is then
		ms             []message.Message
		says           []string
	}{
		"cursor set back": {
			broken: `UPDATE landfall.streams SET last_seq = 2`, mended: `UPDATE landfall.streams SET last_seq = 4`,
			at: 2, ms: repeats[2:], says: []string{"already there", "app verify"},
		},
		"discarded row": {
			broken: `CREATE FUNCTION discard() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NULL; END $$;
				CREATE TRIGGER discard BEFORE INSERT ON messages FOR EACH ROW WHEN (NEW.seq = 5) EXECUTE FUNCTION discard()`,
			mended: `DROP TRIGGER discard ON messages`,
			at:     4, ms: []message.Message{under(5, "d", "x"), under(6, "d", "x")}, says: []string{"discards rows"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := newDatabase(t)
			s, cur := d.stream()
			cur = d.write(s, cur, repeats).Cursor
			d.exec(c.broken)
			at := cur
			at.Seq = c.at
			for range 2 { // with repeats just before, and without
				_, err := s.Write(t.Context(), at, batchOf(s, c.ms))
				wantSetup(t, err, c.says...)
			}
			d.exec(c.mended)
			w := d.world(cur.StreamID)
			if diff := cmp.Diff(map[uint64]uint64{2: 1}, w.Duplicates); diff != "" || len(w.Rows) != 3 || len(w.Dead) != 0 {
				t.Errorf("%+v", w)
			}
			d.write(s, cur, []message.Message{under(5, "d", "x"), under(6, "d", "x"), under(7, "a", "x")})
			d.world(cur.StreamID)
		})
	}
}

// Where the column holds two ids for one, the second is set aside like any that
// names another message, whatever the bodies: they are two messages.
func TestIDsThatCollate(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	d.exec(`CREATE COLLATION caseless (provider = icu, locale = 'und-u-ks-level2', deterministic = false);
		ALTER TABLE messages ALTER msg_id TYPE text COLLATE caseless`)
	s, cur := d.stream()
	for range 2 { // with repeats just before, and without
		seq := cur.Seq
		out := d.write(s, cur, []message.Message{under(seq+1, fmt.Sprint("a", seq), "x"), under(seq+2, fmt.Sprint("A", seq), "x"), under(seq+3, fmt.Sprint("a", seq), "x")})
		if out.Rows != 1 || out.DeadLetters != 1 || out.Duplicates != 1 {
			t.Errorf("%+v", out)
		}
		cur = out.Cursor
	}
	d.world(cur.StreamID)
}
