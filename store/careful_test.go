package store

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"landfall/message"
)

// poison is a kind of message that Postgres refuses.
type poison struct {
	name   string
	set    string                   // what the user did to the database
	change func(m *message.Message) // makes an ordinary message bad
	state  string                   // SQLSTATE of its dead letter
	reason string                   // part of the reason
}

// raise is a trigger function that refuses bodies that begin with "bad".
const raise = `CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$
	BEGIN
		IF NEW.content LIKE 'bad%' THEN RAISE 'no customer %', NEW.seq; END IF;
		RETURN NEW;
	END $$;`

func badBody(m *message.Message) { m.Data = fmt.Appendf(nil, "bad %d", m.Seq) }

func poisons() []poison {
	header := func(k, v string) func(*message.Message) {
		return func(m *message.Message) { m.Header[k] = []string{"fine", v} }
	}
	id := func(id string) func(*message.Message) {
		return func(m *message.Message) { m.Header[message.IDHeader] = []string{id + fmt.Sprint(m.Seq)} }
	}
	subject := func(s string) func(*message.Message) { return func(m *message.Message) { m.Subject = s } }
	return []poison{
		{name: "NUL in a header", change: header("X", "a\x00b"), state: "22P05", reason: "Unicode escape"},
		{name: "NUL in a header's name", change: header("X\x00", "a"), state: "22P05", reason: "Unicode escape"},
		{name: "header not UTF-8", change: header("X", "a\xffb"), state: "22021", reason: "0xff"},
		{name: "subject not UTF-8", change: subject("orders.\xfe"), state: "22021", reason: "0xfe"},
		{name: "NUL in the subject", change: subject("orders\x00"), state: "22021", reason: "0x00"},
		{name: "id not UTF-8", change: id("\xff"), state: "22021", reason: "0xff"},
		{name: "NUL in the id", change: id("\x00"), state: "22021", reason: "0x00"},
		{name: "id too long for an index", change: id(incompressible(6 << 10)), state: "54000", reason: "index row"},
		{name: "check", set: `ALTER TABLE messages ADD CONSTRAINT no_bad CHECK (content NOT LIKE 'bad%')`,
			change: badBody, state: "23514", reason: "no_bad"},
		{name: "trigger", set: raise + `CREATE TRIGGER refuse BEFORE INSERT ON messages FOR EACH ROW EXECUTE FUNCTION refuse()`,
			change: badBody, state: "P0001", reason: "no customer"},
		{name: "deferred trigger", set: raise + `CREATE CONSTRAINT TRIGGER refuse AFTER INSERT ON messages
				DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION refuse()`,
			change: badBody, state: "P0001", reason: "no customer"},
		{name: "type", set: `ALTER TABLE messages ALTER subject TYPE varchar(12)`,
			change: subject("orders.of.yesterday"), state: "22001", reason: "too long"},
		{name: "column that must be set", set: `ALTER TABLE messages ADD customer text;
			CREATE FUNCTION fill() RETURNS trigger LANGUAGE plpgsql AS $$
			BEGIN
				NEW.customer := CASE WHEN NEW.content NOT LIKE 'bad%' THEN 'somebody' END;
				RETURN NEW;
			END $$;
			CREATE TRIGGER fill BEFORE INSERT ON messages FOR EACH ROW EXECUTE FUNCTION fill();
			ALTER TABLE messages ALTER customer SET NOT NULL`,
			change: badBody, state: "23502", reason: "customer"},
		// Another key's violation is no repeat of a message.
		{name: "another unique index", set: `CREATE UNIQUE INDEX one_taken ON messages (content) WHERE content = 'taken';
				INSERT INTO messages (stream_id, seq, subject, content, msg_id, published_at) VALUES (-1, 1, '', 'taken', 'x', now())`,
			change: func(m *message.Message) { m.Data = []byte("taken") }, state: "23505", reason: "one_taken"},
	}
}

// Wherever bad messages are in a batch, all others become rows, the bad ones
// dead letters that hold every byte of them.
func TestBadMessagesBecomeDeadLetters(t *testing.T) {
	t.Parallel()
	const n = 9
	positions := map[string][]int{
		"first": {0}, "middle": {4}, "last": {n - 1}, "several": {1, 2, 6}, "ends": {0, n - 1},
		"all but one": {0, 1, 2, 3, 4, 6, 7, 8}, "all": {0, 1, 2, 3, 4, 5, 6, 7, 8},
	}
	shared := newDatabase(t)
	for _, p := range poisons() {
		t.Run(p.name, func(t *testing.T) {
			t.Parallel()
			d := shared
			if p.set != "" {
				d = newDatabase(t)
				d.exec(p.set)
			}
			d = d.within(t)
			node := d.node("n1")
			for name, bad := range positions {
				t.Run(name, func(t *testing.T) {
					p.verify(d.within(t), node, n, bad)
				})
			}
			t.Run("alone", func(t *testing.T) {
				p.verify(d.within(t), node, 1, []int{0})
			})
		})
	}
}

// verify writes n messages behind two others, those at bad poisoned.
func (p poison) verify(d *database, node *Store, n int, bad []int) {
	s := node.Stream("S")
	cur := d.enter(s)
	cur = d.write(s, cur, run(cur, 2)).Cursor
	ms := run(cur, n, func(i int, m *message.Message) {
		if slices.Contains(bad, i) {
			p.change(m)
		}
	})
	out := d.write(s, cur, ms)
	want := message.Outcome{Cursor: out.Cursor, Rows: n - len(bad), DeadLetters: len(bad), Careful: true}
	if out != want {
		d.Errorf("%+v, want %+v", out, want)
	}
	w := d.world(cur.StreamID)
	for i, m := range ms {
		if !slices.Contains(bad, i) {
			if diff := cmp.Diff(asStored(m), w.Rows[m.Seq]); diff != "" {
				d.Error(diff)
			}
			continue
		}
		l, ok := w.Dead[m.Seq]
		if diff := cmp.Diff(m, l.Message); !ok || diff != "" {
			d.Errorf("dead letter %d: %s", m.Seq, diff)
		}
		if l.SQLState != p.state || !strings.Contains(l.Reason, p.reason) || l.Resolved || !l.Fresh {
			d.Errorf("dead letter %d: %s %q, want %s %q", m.Seq, l.SQLState, l.Reason, p.state, p.reason)
		}
	}
	// And on it goes, on the fast path.
	if out := d.write(s, out.Cursor, run(out.Cursor, 3)); out.Rows != 3 || out.Careful {
		d.Errorf("%+v", out)
	}
}

// within reports to another test, a part of the one that has the database.
func (d *database) within(t testing.TB) *database {
	part := *d
	part.TB = t
	return &part
}

// What violates another key of the table is no repeat, also where repeats
// are about.
func TestAnotherKeyAmongRepeats(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	d.exec(`CREATE UNIQUE INDEX one_taken ON messages (content) WHERE content = 'taken'`)
	s, cur := d.stream()
	ms := []message.Message{under(1, "a", "x"), under(2, "a", "x"), under(3, "b", "taken"), under(4, "c", "taken"), under(5, "b", "taken")}
	d.write(s, cur, ms)
	w := d.world(cur.StreamID)
	if diff := cmp.Diff(map[uint64]uint64{2: 1, 5: 3}, w.Duplicates); diff != "" {
		t.Error(diff)
	}
	if l := w.Dead[4]; len(w.Dead) != 1 || l.SQLState != "23505" || !strings.Contains(l.Reason, "one_taken") {
		t.Errorf("%+v", w.Dead)
	}
}

// Bad messages of several kinds, repeats and good ones in one large batch.
func TestMixedBatch(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	d.exec(raise + `CREATE TRIGGER refuse BEFORE INSERT ON messages FOR EACH ROW EXECUTE FUNCTION refuse()`)
	s, cur := d.stream()
	cur = d.write(s, cur, run(cur, 10)).Cursor
	is := map[string][]uint64{}
	ms := run(cur, 600, func(i int, m *message.Message) {
		what := "row"
		switch i % 97 {
		case 5:
			badBody(m)
			what = "dead"
		case 20:
			m.Header["X"] = []string{"\x00"}
			what = "dead"
		case 21:
			m.Header[message.IDHeader] = []string{incompressible(6 << 10)}
			what = "dead"
		case 40: // a message of the batch before
			of := ordinary(uint64(1 + i%10))
			m.Subject, m.Data, m.Header = of.Subject, of.Data, of.Header
			what = "duplicate"
		case 41: // one of this batch
			of := ordinary(m.Seq - 2)
			m.Subject, m.Data, m.Header = of.Subject, of.Data, of.Header
			what = "duplicate"
		case 60:
			m.Header[message.IDHeader] = []string{"id-3"}
			what = "dead"
		}
		is[what] = append(is[what], m.Seq)
	})
	began := time.Now()
	out := d.write(s, cur, ms)
	t.Log("took", time.Since(began))
	w := d.world(cur.StreamID)
	got := map[string][]uint64{"row": sequences(w.Rows)[10:], "dead": sequences(w.Dead), "duplicate": sequences(w.Duplicates)}
	if diff := cmp.Diff(is, got); diff != "" {
		t.Error(diff)
	}
	if out.Rows != len(is["row"]) || out.DeadLetters != len(is["dead"]) || out.Duplicates != len(is["duplicate"]) {
		t.Errorf("%+v", out)
	}
	for seq, m := range w.Rows {
		if diff := cmp.Diff(asStored(ordinary(seq)), m); diff != "" {
			t.Error(diff)
		}
	}
}
