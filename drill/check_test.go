package drill

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/jackc/pgx/v5"

	"landfall/pgserver/pgtest"
)

// The columns that the checker reads, without the constraints that keep
// Landfall from breaking its promise: here it is broken.
const looseSchema = `
	CREATE SCHEMA landfall;
	CREATE TABLE public.messages (stream_id bigint, seq bigint, subject text, content text, content_bytes bytea, msg_id text);
	CREATE TABLE landfall.dead_letters (stream_id bigint, seq bigint, msg_id bytea, sqlstate text, reason text, resolved_at timestamptz);
	CREATE TABLE landfall.duplicates (stream_id bigint, seq bigint, of_seq bigint);
	CREATE TABLE landfall.gaps (stream_id bigint, from_seq bigint, to_seq bigint);`

// sent is the run that every case below starts from: two acknowledged text
// messages, an acknowledged binary one, one refused and one unknown.
func sent(t *testing.T) *Ledger {
	l := newLedger(t)
	b := book(t, l, "p")
	for i, m := range []struct {
		id, body string
		outcome  Outcome
	}{{"m-1", "one", Acked}, {"m-2", "", Acked}, {"m-3", "\x00\xff", Acked}, {"m-4", "four", Refused}, {"m-5", "five", Unknown}} {
		r := b.Offer(Message{ID: m.id, Subject: "messages.x", Body: []byte(m.body)}, at(i))
		told := Told{Outcome: m.outcome, At: at(i + 1)}
		if m.outcome == Acked {
			told.Stream, told.Seq = Stream, uint64(i+1)
		}
		b.Tell(r, told)
	}
	return l
}

const stored = `INSERT INTO public.messages VALUES
	(1, 1, 'messages.x', 'one', NULL, 'm-1'),
	(1, 2, 'messages.x', '', NULL, 'm-2'),
	(1, 3, 'messages.x', NULL, '\x00ff', 'm-3');`

func TestCheckBites(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name  string
		sql   string
		want  Verdict // Offered, Acked, Refused, Unknown and the gap are the same for all
		holds bool
	}{
		{"as promised", "", Verdict{Stored: 3}, true},
		{"unknown and stored", `INSERT INTO messages VALUES (1, 4, 'messages.x', 'five', NULL, 'm-5')`,
			Verdict{Stored: 4}, true},
		{"unknown and stored twice", `INSERT INTO messages VALUES (1, 4, 'messages.x', 'five', NULL, 'm-5'), (1, 5, 'messages.x', 'five', NULL, 'm-5')`,
			Verdict{Stored: 4, Duplicated: 1}, false},
		{"lost", `DELETE FROM messages WHERE msg_id = 'm-2'`,
			Verdict{Stored: 2, Lost: 1}, false},
		{"stored again", `INSERT INTO messages VALUES (2, 1, 'messages.x', 'one', NULL, 'm-1')`,
			Verdict{Stored: 3, Duplicated: 1}, false},
		{"stored three times", `INSERT INTO messages SELECT m.* FROM messages m, generate_series(1, 2) WHERE m.msg_id = 'm-3'`,
			Verdict{Stored: 3, Duplicated: 2}, false},
		{"nobody sent it", `INSERT INTO messages VALUES (1, 9, 'messages.x', 'nine', NULL, 'm-9')`,
			Verdict{Stored: 3, Unexplained: 1}, false},
		{"nobody sent it, without an id", `INSERT INTO messages VALUES (1, 9, 'messages.x', 'one', NULL, NULL)`,
			Verdict{Stored: 3, Unexplained: 1}, false},
		{"refused and stored", `INSERT INTO messages VALUES (1, 4, 'messages.x', 'four', NULL, 'm-4')`,
			Verdict{Stored: 3, Unexplained: 1}, false},
		{"another body", `UPDATE messages SET content = 'One' WHERE msg_id = 'm-1'`,
			Verdict{Stored: 2, Lost: 1, Unexplained: 1}, false},
		{"another body, in bytes", `UPDATE messages SET content_bytes = '\x00fe' WHERE msg_id = 'm-3'`,
			Verdict{Stored: 2, Lost: 1, Unexplained: 1}, false},
		{"no body", `UPDATE messages SET content = NULL WHERE msg_id = 'm-1'`,
			Verdict{Stored: 2, Lost: 1, Unexplained: 1}, false},
		{"another subject", `UPDATE messages SET subject = 'messages.y' WHERE msg_id = 'm-1'`,
			Verdict{Stored: 2, Lost: 1, Unexplained: 1}, false},
		{"bodies exchanged", `UPDATE messages SET content = CASE content WHEN 'one' THEN '' ELSE 'one' END WHERE content IS NOT NULL`,
			Verdict{Stored: 1, Lost: 2, Unexplained: 2}, false},
		{"a dead letter instead", `DELETE FROM messages WHERE msg_id = 'm-1';
			INSERT INTO landfall.dead_letters VALUES (1, 1, 'm-1', '22000', 'because', NULL)`,
			Verdict{Stored: 2, Lost: 1, DeadLetters: 1}, false},
		{"a dead letter besides", `INSERT INTO landfall.dead_letters VALUES (1, 1, 'm-1', '22000', 'because', NULL)`,
			Verdict{Stored: 3, Duplicated: 1, DeadLetters: 1}, false},
		{"a dead letter that was retried", `INSERT INTO landfall.dead_letters VALUES (1, 1, 'm-1', '22000', 'because', now())`,
			Verdict{Stored: 3}, true},
		{"a dead letter that nobody sent", `INSERT INTO landfall.dead_letters VALUES (1, 9, NULL, '22000', 'because', NULL)`,
			Verdict{Stored: 3, Unexplained: 1, DeadLetters: 1}, false},
		{"a repeat that was recorded", `INSERT INTO landfall.duplicates VALUES (1, 4, 1)`,
			Verdict{Stored: 3, Repeats: 1}, true},
		{"a gap that was recorded", `INSERT INTO landfall.gaps VALUES (1, 4, 5)`,
			Verdict{Stored: 3, Gaps: 1}, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			url := pgtest.Database(t)
			execute(t, url, looseSchema+stored+tc.sql)
			got, err := Check(within(t, 20*time.Second), url, sent(t))
			if err != nil {
				t.Fatal(err)
			}
			want := tc.want
			want.Offered, want.Acked, want.Refused, want.Unknown = 5, 3, 1, 1
			want.LongestGap = 2 * time.Millisecond
			if diff := cmp.Diff(want, got, cmpopts.IgnoreFields(Verdict{}, "Findings")); diff != "" {
				t.Errorf("(-want +got)\n%s\n%v", diff, got.Findings)
			}
			if got.Holds() != tc.holds || (len(got.Findings) > 0) != (!tc.holds && got.Gaps == 0) {
				t.Errorf("holds %v with findings %v", got.Holds(), got.Findings)
			}
		})
	}
}

func TestCheckOfManyRows(t *testing.T) {
	t.Parallel()
	const n = 20000
	url := pgtest.Database(t)
	execute(t, url, looseSchema+fmt.Sprintf(`INSERT INTO messages
		SELECT 1, n, 'messages.x', 'body ' || n, NULL, 'm-' || n FROM generate_series(1, %d) n WHERE n <> 777`, n))
	l := newLedger(t)
	b := book(t, l, "p")
	for i := 1; i <= n; i++ {
		r := b.Offer(Message{ID: fmt.Sprintf("m-%d", i), Subject: "messages.x", Body: fmt.Appendf(nil, "body %d", i)}, at(i))
		b.Tell(r, Told{Outcome: Acked, At: at(i), Stream: Stream, Seq: uint64(i)})
	}
	v, err := Check(within(t, 20*time.Second), url, l)
	if err != nil {
		t.Fatal(err)
	}
	if v.Acked != n || v.Stored != n-1 || v.Lost != 1 || v.Holds() {
		t.Errorf("verdict %+v", v)
	}
}

func TestProof(t *testing.T) {
	t.Parallel()
	good := Verdict{Offered: 20000, Acked: 20000, Stored: 20000, LongestGap: 1130 * time.Millisecond}
	bad := good
	bad.Stored, bad.Unexplained = 19999, 2
	for _, tc := range []struct {
		v     Verdict
		proof string
		holds bool
	}{
		{good, "acked 20000 · stored 20000 · lost 0 · duplicated 0 · longest publish gap 1.1s", true},
		{bad, "acked 20000 · stored 19999 · lost 0 · duplicated 0 · unexplained 2 · longest publish gap 1.1s", false},
		{Verdict{}, "acked 0 · stored 0 · lost 0 · duplicated 0 · longest publish gap 0.0s", false},
	} {
		if got := tc.v.Proof(); got != tc.proof || tc.v.Holds() != tc.holds {
			t.Errorf("%q holds %v, want %q %v", got, tc.v.Holds(), tc.proof, tc.holds)
		}
	}
}

func execute(t *testing.T, url, sql string) {
	t.Helper()
	ctx := within(t, 20*time.Second)
	conn, err := pgx.Connect(ctx, url)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(ctx)
	if _, err := conn.Exec(ctx, sql, pgx.QueryExecModeSimpleProtocol); err != nil {
		t.Fatal(err)
	}
}
