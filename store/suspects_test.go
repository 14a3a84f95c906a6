package store

import (
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"

	"landfall/message"
)

// oddTable is one whose columns and checks do not make it easy to look for
// suspects.
const oddTable = `CREATE TABLE own (id int UNIQUE, "order" varchar(3) NOT NULL, "na'me x" text NOT NULL DEFAULT 'x', "SELECT" numeric(4,1) CHECK ("SELECT" > 0),
		made timestamptz NOT NULL DEFAULT clock_timestamp(), number bigint DEFAULT nextval('numbers'), twice int GENERATED ALWAYS AS (id * 2) STORED,
		CHECK (length("order") < 3 OR "na'me x" IN ('x', 'y')), CHECK (twice < 1000), CHECK (own IS NOT NULL))`

func oddBodies() (bodies []string, suspects []string) {
	for i := range 30 {
		body := fmt.Sprintf(`{"id": %d, "order": "abc", "SELECT": 1.5}`, i)
		switch i {
		case 3:
			body = `{"id": 3, "order": "long", "SELECT": 1}`
		case 5:
			body = `{"id": 5, "SELECT": 1}`
		case 8:
			body = `{"id": 8, "order": "abc", "na'me x": "z", "SELECT": 1}`
		case 9:
			body = `{"id": 9, "order": "abc", "na'me x": null, "SELECT": 1}`
		case 21:
			body = `{"id": 21, "order": "abc", "SELECT": 0}`
		case 22:
			body = `{"id": 22, "order": "abc", "SELECT": 1000}`
		case 23:
			body = `{"id": "x", "order": "abc", "SELECT": 1}`
		default:
			bodies = append(bodies, body)
			continue
		}
		bodies, suspects = append(bodies, body), append(suspects, fmt.Sprint(i))
	}
	return bodies, suspects
}

// Suspects are all the rows that are bad by themselves, as far as their columns
// and checks can be looked at, and no others.
func TestSuspects(t *testing.T) {
	t.Parallel()
	for _, mode := range ownModes() {
		t.Run(string(mode), func(t *testing.T) {
			t.Parallel()
			d := newDatabase(t)
			d.exec(`CREATE SEQUENCE numbers; ` + oddTable)
			s, cur := d.ownStream(ownTable("own", mode))
			bodies, want := oddBodies()
			out := d.write(s, cur, documents(cur, append(bodies, `{"id": 500, "order": "abc", "SELECT": 1}`)...))
			if out.DeadLetters != len(want)+1 {
				t.Errorf("%+v, %v", out, d.reasons(cur))
			}
			b := batchOf(s, documents(cur, bodies...))
			conn, err := s.pool.Acquire(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Release()
			w := &ownWrite{careful: &careful{Stream: s, conn: conn, cur: cur}, plan: s.own.plan.Load()}
			if err := w.load(b); err != nil {
				t.Fatal(err)
			}
			if _, err := conn.Exec(t.Context(), "BEGIN"); err != nil {
				t.Fatal(err)
			}
			if _, err := w.stage(t.Context(), b); err != nil {
				t.Fatal(err)
			}
			if err := w.plan.suspects().find(t.Context(), conn); err != nil {
				t.Fatal(err)
			}
			var got []string
			if err := conn.QueryRow(t.Context(), `SELECT array_agg(number::text ORDER BY number) FROM pg_temp.`+suspectStage).Scan(&got); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Error(diff)
			}
			if _, err := conn.Exec(t.Context(), "ROLLBACK"); err != nil {
				t.Fatal(err)
			}
		})
	}
}

// A suspect is no bad row before it is tried: a check that is gone since it was
// read refuses nothing, and the order stays.
func TestSuspectsThatAreGood(t *testing.T) {
	t.Parallel()
	for _, mode := range ownModes() {
		t.Run(string(mode), func(t *testing.T) {
			t.Parallel()
			d := newDatabase(t)
			d.exec(`CREATE TABLE own (n bigint GENERATED ALWAYS AS IDENTITY, id int UNIQUE, v int CONSTRAINT small CHECK (v < 9))`)
			s, cur := d.ownStream(ownTable("own", mode))
			cur = d.write(s, cur, documents(cur, `{"id": -1}`)).Cursor
			var bodies, want []string
			for i := range 40 {
				bodies = append(bodies, fmt.Sprintf(`{"id": %d, "v": %d}`, i, i%3*9))
				if i == 20 {
					bodies[i] = `{"id": 20, "v": "x"}`
				} else {
					want = append(want, fmt.Sprint(i))
				}
			}
			d.exec(`ALTER TABLE own DROP CONSTRAINT small`)
			if out := d.write(s, cur, documents(cur, bodies...)); out.DeadLetters != 1 {
				t.Errorf("%+v", out)
			}
			if diff := cmp.Diff(want, d.table(`SELECT id::text FROM own WHERE id >= 0 ORDER BY n`)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// So it is with the messages table, whose checks and types are the users'.
func TestSuspectMessages(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	d.exec(refuseBad + `; ALTER TABLE messages ALTER subject TYPE varchar(12), ADD customer text DEFAULT 'x' CHECK (customer = 'x')`)
	s, cur := d.stream()
	var want []uint64
	ms := run(cur, 50, func(i int, m *message.Message) {
		switch i {
		case 0, 7:
			badBody(m)
		case 8:
			m.Subject = "orders.of.yesterday"
		case 9:
			m.Subject = "\xff"
		case 49:
			m.Header["X"] = []string{"\x00"}
		default:
			return
		}
		want = append(want, m.Seq)
	})
	out := d.write(s, cur, ms)
	w := d.world(cur.StreamID)
	if diff := cmp.Diff(want, sequences(w.Dead)); diff != "" || out.Rows != 45 {
		t.Error(diff, out)
	}
}
