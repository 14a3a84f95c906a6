package drill

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"landfall/pgserver/pgtest"
)

// changesSent is the run that every case below starts from: a publisher changes
// two keys, one of them up to a change of unknown outcome; one change is
// refused, and one of each bad kind sent. Then the stream loses its tail, and a
// third key is changed.
func changesSent(t *testing.T) *Ledger {
	t.Helper()
	l := newLedger(t)
	b := book(t, l, "p")
	for i, c := range []struct {
		m    Message
		told Told
	}{
		{change("a", 1), Told{Outcome: Acked, Seq: 1}},
		{change("a", 2), Told{Outcome: Acked, Seq: 2}},
		{change("b", 1), Told{Outcome: Acked, Seq: 3}},
		{unreadable("b", 2), Told{Outcome: Acked, Seq: 4}},
		{change("a", 3), Told{Outcome: Acked, Seq: 5}},
		{change("b", 3), Told{Outcome: Unknown}},
		{change("b", 4), Told{Outcome: Refused}},
		{forbidden("f", 1), Told{Outcome: Acked, Seq: 6}},
		{change("c", 1), Told{Outcome: Acked, Seq: 5}},
	} {
		r := b.Offer(c.m, at(10*i))
		c.told.At, c.told.Stream = at(10*i+5), ChangesStream
		b.Tell(r, c.told)
	}
	return l
}

// changesStored is Postgres as it should be then. Each change was published
// three milliseconds after it was offered.
const changesStored = `
	INSERT INTO landfall.streams VALUES (1, 'CHANGES', '` + firstLife + `', 1, 6), (2, 'CHANGES', '` + secondLife + `', 5, 5), (3, 'MESSAGES', '` + thirdLife + `', 1, 9);
	INSERT INTO landfall.dead_letters VALUES
		(1, 4, 'b.2', 'changes.b', '{"id":"b", "version":"v2"}', '22P02', 'refused', NULL, NULL),
		(1, 6, 'f.1', 'changes.f', '{"id":"f", "version":-1}', '23514', 'refused', NULL, NULL),
		(3, 4, 'somebody else''s', 'messages', 'x', '', '', NULL, NULL);
	CREATE FUNCTION put(key text, v int, seq int, after int) RETURNS void LANGUAGE sql AS $$
		INSERT INTO drill.changes VALUES (key, v, ('{"id":"' || key || '", "version":' || v || ', "note":"' || repeat('landfall ', v % 20) || '"}')::json,
			key || '.' || v, seq, '` + changesBegan + `'::timestamptz + after * interval '1 millisecond')
		ON CONFLICT (id) DO UPDATE SET (version, doc, msg_id, seq, published) = (SELECT EXCLUDED.version, EXCLUDED.doc, EXCLUDED.msg_id, EXCLUDED.seq, EXCLUDED.published) $$;
	SELECT put('a', 3, 5, 43), put('b', 1, 3, 23), put('c', 1, 5, 83);`

const changesBegan = `2026-01-01 00:00:00Z`

func changesAsPromised() ChangesVerdict {
	return ChangesVerdict{Keys: 3, Verdict: Verdict{Offered: 9, Acked: 7, Refused: 1, Unknown: 1, Stored: 3, SetAside: 2, DeadLetters: 2}}
}

func TestCheckChanges(t *testing.T) {
	t.Parallel()
	began, err := time.Parse(time.DateTime+"Z", changesBegan)
	if err != nil || !at(0).Equal(began) {
		t.Fatalf("the ledger begins at %s", at(0))
	}
	url := pgtest.Database(t)
	for _, tc := range []struct {
		name, sql string
		want      func(*ChangesVerdict)
		holds     bool
	}{
		{"as promised", ``, func(*ChangesVerdict) {}, true},
		{"unknown, and stored", `UPDATE landfall.streams SET last_seq = 7 WHERE id = 1; SELECT put('b', 3, 7, 53)`, func(*ChangesVerdict) {}, true},
		{"a late copy of an earlier one", `UPDATE landfall.streams SET last_seq = 7 WHERE id = 1; SELECT put('a', 2, 7, 70)`, func(v *ChangesVerdict) { v.Late++ }, true},
		{"a late copy in another incarnation", `UPDATE landfall.streams SET last_seq = 7 WHERE id = 2; SELECT put('a', 3, 6, 90)`, func(*ChangesVerdict) {}, true},

		{"an earlier one", `SELECT put('a', 2, 2, 13)`, func(v *ChangesVerdict) { v.Lost++ }, false},
		{"the first one", `SELECT put('a', 1, 1, 3)`, func(v *ChangesVerdict) { v.Lost++ }, false},
		{"no row", `DELETE FROM drill.changes WHERE id = 'c'`, func(v *ChangesVerdict) { v.Lost++; v.Stored--; v.Keys-- }, false},
		{"a dead letter", `DELETE FROM drill.changes WHERE id = 'c'; INSERT INTO landfall.dead_letters VALUES
			(2, 5, 'c.1', 'changes.c', '{"id":"c", "version":1, "note":"landfall "}', '', '', NULL, NULL)`,
			func(v *ChangesVerdict) { v.Lost += 2; v.Stored--; v.Keys--; v.DeadLetters++ }, false},
		{"a bad one is nowhere", `DELETE FROM landfall.dead_letters WHERE msg_id = 'b.2'`,
			func(v *ChangesVerdict) { v.Lost++; v.SetAside--; v.DeadLetters-- }, false},
		{"a bad one twice", `UPDATE landfall.streams SET last_seq = 7 WHERE id = 1; INSERT INTO landfall.dead_letters VALUES
			(1, 7, 'b.2', 'changes.b', '{"id":"b", "version":"v2"}', '22P02', 'refused', NULL, NULL)`,
			func(v *ChangesVerdict) { v.Duplicated++; v.DeadLetters++ }, false},
		{"a bad one that is a row", `SELECT put('f', 1, 6, 73); UPDATE drill.changes SET version = 1, doc = '{"id":"f", "version":-1}' WHERE id = 'f'`,
			func(v *ChangesVerdict) { v.Unexplained++; v.Keys++; v.Unaccounted++ }, false},
		{"refused, and stored", `UPDATE landfall.streams SET last_seq = 7 WHERE id = 1; SELECT put('b', 4, 7, 63)`,
			func(v *ChangesVerdict) { v.Unexplained++; v.Stored--; v.Lost++ }, false},
		{"nobody sent it", `SELECT put('d', 1, 1, 3)`, func(v *ChangesVerdict) { v.Unexplained++; v.Keys++ }, false},
		{"another document", `UPDATE drill.changes SET doc = '{"id":"c", "version":1}' WHERE id = 'c'`,
			func(v *ChangesVerdict) { v.Unexplained++; v.Stored--; v.Lost++ }, false},
		{"another version", `UPDATE drill.changes SET version = 9 WHERE id = 'c'`, func(v *ChangesVerdict) { v.Unexplained++; v.Stored--; v.Lost++ }, false},
		{"another place", `SELECT put('a', 3, 2, 43)`, func(v *ChangesVerdict) { v.Misplaced++ }, false},
		{"beyond the cursor", `UPDATE landfall.streams SET last_seq = 4 WHERE id = 2; SELECT put('c', 1, 7, 83)`,
			func(v *ChangesVerdict) { v.Unaccounted++; v.Misplaced++ }, false},
		{"a gap", `UPDATE landfall.streams SET last_seq = 7 WHERE id = 1; INSERT INTO landfall.gaps VALUES (1, 7, 7)`, func(v *ChangesVerdict) { v.Gaps++ }, false},
		{"a gap where a dead letter is", `INSERT INTO landfall.gaps VALUES (1, 6, 6)`, func(v *ChangesVerdict) { v.Gaps++; v.Unaccounted++ }, false},
		{"a repeat of a dead letter", `UPDATE landfall.streams SET last_seq = 7 WHERE id = 1; INSERT INTO landfall.duplicates VALUES (1, 7, 4)`,
			func(v *ChangesVerdict) { v.Repeats++ }, true},
		{"a repeat of nothing", `UPDATE landfall.streams SET last_seq = 7 WHERE id = 1; INSERT INTO landfall.duplicates VALUES (1, 7, 3)`,
			func(v *ChangesVerdict) { v.Repeats++; v.Unaccounted++ }, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			execute(t, url, `DROP SCHEMA IF EXISTS landfall, drill, public CASCADE; CREATE SCHEMA public;`+looseSchema+changesSchema+";"+changesStored+tc.sql)
			got, err := CheckChanges(within(t, 20*time.Second), url, changesSent(t))
			if err != nil {
				t.Fatal(err)
			}
			want := changesAsPromised()
			tc.want(&want)
			if diff := cmp.Diff(want, got, cmpopts.IgnoreFields(Verdict{}, "Findings", "LongestGap"), cmpopts.IgnoreUnexported(Verdict{})); diff != "" {
				t.Errorf("(-want +got)\n%s\n%s", diff, strings.Join(got.Findings, "\n"))
			}
			if got.Holds() != tc.holds || (len(got.Findings) > 0) == tc.holds {
				t.Errorf("holds %v with findings %q", got.Holds(), got.Findings)
			}
		})
	}
}
