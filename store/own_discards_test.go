package store

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"landfall/cluster"
)

// Rows that a trigger discards are noticed, in batches of any size: the trigger
// that leaves a row as it is discards none.
func TestOwnDiscardedRows(t *testing.T) {
	t.Parallel()
	eachMode(t, []int{1, 3, 100}, func(t *testing.T, d *database, mode cluster.Mode, size int) {
		d.exec(`CREATE TABLE own (id int UNIQUE, v int CHECK (v <> 13), changed timestamptz);
			CREATE FUNCTION discard() RETURNS trigger LANGUAGE plpgsql AS $$
			BEGIN NEW.changed := now(); IF NEW.v = 7 THEN RETURN NULL; END IF; RETURN NEW; END $$;
			CREATE TRIGGER discard BEFORE INSERT ON own FOR EACH ROW EXECUTE FUNCTION discard()`)
		s, cur := d.ownStream(ownTable("own", mode, column(t, "changed", "$.nothing")))
		bodies := []string{`{"id": 1, "v": 1}`, `{"id": 2, "v": 2}`, `{"id": 3, "v": 13}`, `{"id": 4, "v": 7}`, `{"id": 5, "v": 5}`}
		if mode != cluster.Append {
			bodies = append(bodies, `{"id": 1, "v": 3}`)
		}
		out, err := d.writeIn(s, cur, size, bodies...)
		wantSetup(t, err, "a trigger on", "discards rows", "AFTER trigger")
		if n := one[int64](d, `SELECT count(*) FROM own`); int(out.Cursor.Seq) != 3/size*size || int(n) != min(2, int(out.Cursor.Seq)) {
			t.Errorf("%d rows, cursor at %d", n, out.Cursor.Seq)
		}
		d.exec(`DROP TRIGGER discard ON own`)
		if _, err := d.writeIn(s, out.Cursor, size, bodies[out.Cursor.Seq:]...); err != nil {
			t.Error(err)
		}
	})
}

// A trigger on UPDATE that leaves a row as it is, and one that stamps rows, are
// the users' own business.
func TestOwnRowsLeftAsTheyAre(t *testing.T) {
	t.Parallel()
	eachMode(t, []int{1, 100}, func(t *testing.T, d *database, mode cluster.Mode, size int) {
		if mode == cluster.Append {
			t.Skip("nothing is updated")
		}
		d.exec(`CREATE TABLE own (id int UNIQUE, v int);
			CREATE FUNCTION newer() RETURNS trigger LANGUAGE plpgsql AS $$
			BEGIN IF TG_OP = 'UPDATE' AND NEW.v < OLD.v THEN RETURN NULL; END IF; RETURN NEW; END $$;
			CREATE TRIGGER newer BEFORE INSERT OR UPDATE ON own FOR EACH ROW EXECUTE FUNCTION newer()`)
		s, cur := d.ownStream(ownTable("own", mode))
		out, err := d.writeIn(s, cur, size, `{"id": 1, "v": 5}`, `{"id": 2, "v": 1}`)
		if err == nil {
			out, err = d.writeIn(s, out.Cursor, size, `{"id": 1, "v": 4}`, `{"id": 2, "v": 2}`, `{"id": 3, "v": "x"}`)
		}
		if err != nil || out.DeadLetters != 1 {
			t.Fatal(out, err)
		}
		want := map[cluster.Mode][]string{cluster.Upsert: {"1|5", "2|2"}, cluster.KeepFirst: {"1|5", "2|1"}}
		if diff := cmp.Diff(want[mode], d.table(`SELECT concat_ws('|', id, v) FROM own ORDER BY id`)); diff != "" {
			t.Error(diff)
		}
	})
}

// A trigger may change the key.
func TestOwnKeyThatATriggerMends(t *testing.T) {
	t.Parallel()
	eachMode(t, []int{1, 2, 100}, func(t *testing.T, d *database, mode cluster.Mode, size int) {
		if mode == cluster.Append {
			t.Skip("there is no key")
		}
		d.exec(`CREATE TABLE own (id text UNIQUE, v int CHECK (v < 9));
			CREATE FUNCTION mend() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN NEW.id := lower(NEW.id); RETURN NEW; END $$;
			CREATE TRIGGER mend BEFORE INSERT ON own FOR EACH ROW EXECUTE FUNCTION mend()`)
		s, cur := d.ownStream(ownTable("own", mode))
		bodies := []string{`{"id": "A", "v": 1}`, `{"id": "B", "v": 2}`, `{"id": "A", "v": 3}`, `{"id": "a", "v": 4}`, `{"id": "B", "v": 9}`, `{"id": "B", "v": 5}`}
		out, err := d.writeIn(s, cur, size, bodies...)
		if err == nil {
			out, err = d.writeIn(s, out.Cursor, size, bodies[:4]...)
		}
		if err != nil || out.Rows != 4 {
			t.Fatal(out, err)
		}
		want := map[cluster.Mode][]string{cluster.Upsert: {"a|4", "b|2"}, cluster.KeepFirst: {"a|1", "b|2"}}
		if diff := cmp.Diff(want[mode], d.table(`SELECT concat_ws('|', id, v) FROM own ORDER BY id`)); diff != "" {
			t.Error(diff)
		}
	})
}

// A row may go on to another table, where a trigger behind its INSERT sees to it.
func TestOwnRowsMovedOn(t *testing.T) {
	t.Parallel()
	eachMode(t, []int{1, 100}, func(t *testing.T, d *database, mode cluster.Mode, size int) {
		d.exec(`CREATE TABLE own (id int UNIQUE, v int); CREATE TABLE archive (id int, v int);
			CREATE FUNCTION archive() RETURNS trigger LANGUAGE plpgsql AS $$
			BEGIN INSERT INTO archive VALUES (NEW.id, NEW.v); DELETE FROM own WHERE id = NEW.id; RETURN NULL; END $$;
			CREATE TRIGGER archive AFTER INSERT ON own FOR EACH ROW EXECUTE FUNCTION archive();
			CREATE FUNCTION stamp() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NEW; END $$;
			CREATE TRIGGER stamp BEFORE INSERT ON own FOR EACH ROW EXECUTE FUNCTION stamp()`)
		s, cur := d.ownStream(ownTable("own", mode))
		if _, err := d.writeIn(s, cur, size, `{"id": 1, "v": 1}`, `{"id": 2, "v": "x"}`, `{"id": 3, "v": 3}`); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff([]string{"1", "3"}, d.table(`SELECT v::text FROM archive ORDER BY id`)); diff != "" {
			t.Error(diff)
		}
	})
}
