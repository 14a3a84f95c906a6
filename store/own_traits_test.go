package store

import (
	"fmt"
	"net/url"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"landfall/cluster"
	"landfall/message"
)

// eachMode runs a test in every mode with batches of different sizes.
func eachMode(t *testing.T, sizes []int, f func(t *testing.T, d *database, mode cluster.Mode, size int)) {
	t.Helper()
	for _, mode := range ownModes() {
		for _, size := range sizes {
			t.Run(fmt.Sprint(mode, size), func(t *testing.T) {
				t.Parallel()
				f(t, newDatabase(t), mode, size)
			})
		}
	}
}

// writeIn stores the documents in batches of a size; err is that of the one
// that fails, if one does.
func (d *database) writeIn(s *Stream, cur message.Cursor, size int, bodies ...string) (total message.Outcome, err error) {
	d.Helper()
	total.Cursor = cur
	for len(bodies) > 0 {
		n := min(size, len(bodies))
		out, err := s.Write(d.Context(), total.Cursor, batchOf(s, documents(total.Cursor, bodies[:n]...)))
		if err != nil {
			return total, err
		}
		out.Rows, out.DeadLetters, out.Duplicates = out.Rows+total.Rows, out.DeadLetters+total.DeadLetters, out.Duplicates+total.Duplicates
		total, bodies = out, bodies[n:]
	}
	return total, nil
}

// A missing partition is no message's fault, be it one or all that need it: the
// stream waits, and goes on when it is there.
func TestOwnMissingPartition(t *testing.T) {
	t.Parallel()
	shared := newDatabase(t)
	for name, places := range map[string]string{"first": "xoooo", "middle": "ooxoo", "last": "oooox", "several": "oxxox", "all": strings.Repeat("x", 30), "with a bad one": "oboox"} {
		for _, mode := range ownModes() {
			t.Run(fmt.Sprint(name, "/", mode), func(t *testing.T) {
				t.Parallel()
				d := shared.within(t)
				table := strings.ReplaceAll(fmt.Sprintf("own_%s_%s", name, mode), " ", "_")
				d.exec(fmt.Sprintf(`CREATE TABLE %[1]s (id int, day date, v int CHECK (v %% 2 = 0), PRIMARY KEY (id, day)) PARTITION BY RANGE (day);
					CREATE TABLE %[1]s_2026 PARTITION OF %[1]s FOR VALUES FROM ('2026-01-01') TO ('2027-01-01')`, table))
				own := ownTable(table, mode)
				if mode != cluster.Append {
					own.Key = []string{"day", "id"}
				}
				s, cur := d.ownStreamOf(table, own)
				var bodies, want []string
				for i, kind := range places {
					year, v := 2026, 2
					switch kind {
					case 'x':
						year = 2027
					case 'b':
						v = 3
					}
					bodies = append(bodies, fmt.Sprintf(`{"id": %d, "day": "%d-05-06", "v": %d}`, i, year, v))
					if kind != 'b' {
						want = append(want, fmt.Sprint(i))
					}
				}
				for range 2 {
					_, err := s.Write(t.Context(), cur, batchOf(s, documents(cur, bodies...)))
					wantSetup(t, err, "no partition of relation", "2027-05-06", "create the partition", "DEFAULT")
					if n := one[int64](d, `SELECT count(*) FROM `+table); n != 0 || len(d.deadLetters(cur.StreamID)) > 0 {
						t.Errorf("%d rows, %v", n, d.reasons(cur))
					}
				}
				d.exec(fmt.Sprintf(`CREATE TABLE %[1]s_rest PARTITION OF %[1]s DEFAULT`, table))
				d.write(s, cur, documents(cur, bodies...))
				if diff := cmp.Diff(want, d.table(`SELECT id::text FROM `+table+` AS t ORDER BY t.id`)); diff != "" {
					t.Error(diff)
				}
			})
		}
	}
}

// A rule is refused, whatever the mode: some of the statements would obey it.
func TestOwnRule(t *testing.T) {
	t.Parallel()
	eachMode(t, []int{1}, func(t *testing.T, d *database, mode cluster.Mode, size int) {
		d.exec(`CREATE TABLE own (id int UNIQUE); CREATE RULE elsewhere AS ON INSERT TO own DO INSTEAD NOTHING`)
		s, cur := d.ownStream(ownTable("own", mode))
		_, err := d.writeIn(s, cur, size, `{"id": 1}`)
		wantSetup(t, err, "rule elsewhere", "drop it")
		d.exec(`DROP RULE elsewhere ON own`)
		if _, err := d.writeIn(s, cur, size, `{"id": 1}`); err != nil {
			t.Error(err)
		}
	})
}

// A view that Postgres can insert into will do.
func TestOwnView(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	d.exec(`CREATE TABLE own (id int UNIQUE, v int); CREATE VIEW shown AS SELECT id, v FROM own WHERE v > 0 WITH CHECK OPTION`)
	s, cur := d.ownStream(ownTable("shown", cluster.Append))
	cur = d.write(s, cur, documents(cur, `{"id": 1, "v": 1}`, `{"id": 2, "v": -1}`, `{"id": 3, "v": 3}`)).Cursor
	if diff := cmp.Diff([]string{"1", "3"}, d.table(`SELECT id::text FROM own ORDER BY id`)); diff != "" {
		t.Error(diff)
	}
	if got := d.deadLetters(cur.StreamID)[2]; got.SQLState != "44000" || !strings.Contains(got.Reason, "check option") {
		t.Errorf("%+v", got)
	}
}

// What a policy refuses are single rows, however its SQLSTATE reads; a right
// that is missing is still the set-up.
func TestOwnPolicy(t *testing.T) {
	t.Parallel()
	eachMode(t, []int{1, 100}, func(t *testing.T, d *database, mode cluster.Mode, size int) {
		name := one[string](d, `SELECT current_database()`)
		role := name + "_user"
		d.exec(`CREATE TABLE own (id int UNIQUE, tenant text);
			CREATE USER ` + role + ` PASSWORD 'secret';
			GRANT USAGE ON SCHEMA landfall TO ` + role + `;
			GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA landfall TO ` + role + `;
			GRANT SELECT, INSERT, UPDATE ON own TO ` + role + `;
			ALTER TABLE own ENABLE ROW LEVEL SECURITY;
			CREATE POLICY ours ON own USING (tenant = 'ours')`)
		d.afterwards(`DROP OWNED BY `+role, `DROP USER `+role)
		as := *d
		as.url = d.edited(func(u *url.URL) { u.User = url.UserPassword(role, "secret") })
		s, cur := as.ownStream(ownTable("own", mode))
		out, err := d.writeIn(s, cur, size, `{"id": 1, "tenant": "ours"}`, `{"id": 2, "tenant": "theirs"}`, `{"id": 3, "tenant": "ours"}`)
		if err != nil || out.Rows != 2 || out.DeadLetters != 1 {
			t.Fatalf("%+v %v", out, err)
		}
		if got := d.deadLetters(cur.StreamID)[2]; got.SQLState != "42501" || !strings.Contains(got.Reason, "row-level security policy") {
			t.Errorf("%+v", got)
		}
		d.exec(`REVOKE INSERT ON own FROM ` + role)
		_, err = d.writeIn(s, out.Cursor, size, `{"id": 4, "tenant": "ours"}`)
		wantSetup(t, err, "permission denied")
	})
}
