package drill

import (
	"fmt"
	"strings"
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
	CREATE TABLE landfall.streams (id bigint, name text, incarnation uuid, start_seq bigint, last_seq bigint);
	CREATE TABLE landfall.dead_letters (stream_id bigint, seq bigint, msg_id bytea, subject bytea, payload bytea,
		sqlstate text, reason text, resolved_at timestamptz, resolution text);
	CREATE TABLE landfall.duplicates (stream_id bigint, seq bigint, of_seq bigint);
	CREATE TABLE landfall.gaps (stream_id bigint, from_seq bigint, to_seq bigint);`

const (
	firstLife  = "11111111-1111-1111-1111-111111111111"
	secondLife = "22222222-2222-2222-2222-222222222222"
	thirdLife  = "33333333-3333-3333-3333-333333333333"
)

// sent is the run that every case below starts from. One publisher sends
// messages one by one, of which one is refused, one of unknown outcome, one
// bad, one stored under an earlier sequence than acknowledged, one removed by
// the drill; then the stream loses its tail and gives two sequences again.
// Another publisher sends a batch, whose lines end in the wrong order.
func sent(t *testing.T) *Ledger {
	t.Helper()
	l := newLedger(t)
	one, batch := book(t, l, "one"), book(t, l, "batch")
	for i, m := range []struct {
		id, body string
		told     Told
	}{
		{"m-1", "one", Told{Outcome: Acked, Seq: 1}},
		{"m-2", "", Told{Outcome: Acked, Seq: 2}},
		{"m-3", "\x00\xff", Told{Outcome: Acked, Seq: 3}},
		{"m-4", "four", Told{Outcome: Refused}},
		{"m-5", "five", Told{Outcome: Unknown}},
		{"b-1", "bad", Told{Outcome: Acked, Seq: 4}},
		{"d-1", "again", Told{Outcome: Acked, Seq: 7}},
		{"r-1", "removed", Told{Outcome: Acked, Seq: 6}},
		{"n-1", "new", Told{Outcome: Acked, Seq: 6}},
		{"n-2", "repeated", Told{Outcome: Acked, Seq: 3, Duplicate: true}},
		{"b-2", "bad, and unknown", Told{Outcome: Unknown}},
	} {
		r := one.Offer(Message{ID: m.id, Subject: "messages.x", Body: []byte(m.body), Bad: strings.HasPrefix(m.id, "b-")}, at(i))
		m.told.At, m.told.Stream = at(i+1), Stream
		one.Tell(r, m.told)
	}
	x1 := batch.Offer(Message{ID: "x/1", Subject: "messages.x", Body: []byte("x1")}, at(20))
	x2 := batch.Offer(Message{ID: "x/2", Subject: "messages.x", Body: []byte("x2")}, at(20))
	for _, r := range []Ref{x1, x2} {
		batch.Tell(r, Told{Outcome: Acked, At: at(25), Stream: Stream})
	}
	l.Removed(Removal{Incarnation: firstLife, From: 6, To: 6, Why: "on purpose"})
	l.Removed(Removal{Incarnation: secondLife, From: 9, To: 9, Why: "but it had been stored"})
	return l
}

const stored = `
	INSERT INTO landfall.streams VALUES (1, 'MESSAGES', '` + firstLife + `', 1, 7), (2, 'MESSAGES', '` + secondLife + `', 6, 9);
	INSERT INTO public.messages VALUES
		(1, 1, 'messages.x', 'one', NULL, 'm-1'),
		(1, 2, 'messages.x', '', NULL, 'm-2'),
		(1, 3, 'messages.x', NULL, '\x00ff', 'm-3'),
		(1, 5, 'messages.x', 'again', NULL, 'd-1'),
		(2, 6, 'messages.x', 'new', NULL, 'n-1'),
		(2, 7, 'messages.x', 'repeated', NULL, 'n-2'),
		(2, 8, 'messages.x', 'x2', NULL, 'x/2'),
		(2, 9, 'messages.x', 'x1', NULL, 'x/1');
	INSERT INTO landfall.dead_letters VALUES (1, 4, 'b-1', 'messages.x', 'bad', '23514', 'refused', NULL, NULL);
	INSERT INTO landfall.gaps VALUES (1, 6, 6);
	INSERT INTO landfall.duplicates VALUES (1, 7, 5);`

// asPromised is what the checker says of it.
func asPromised() Verdict {
	return Verdict{Offered: 13, Acked: 10, Refused: 1, Unknown: 2, Stored: 8, SetAside: 1, Removed: 1, DeadLetters: 1, Repeats: 1}
}

// spoiling is one thing that goes wrong, and what the checker is to say of it.
type spoiling struct {
	name  string
	sql   string
	want  func(*Verdict)
	holds bool
}

// next is SQL that moves the cursor of the second incarnation, and puts
// something there.
func next(sql string) string { return `UPDATE landfall.streams SET last_seq = 10 WHERE id = 2;` + sql }

func spoilings() []spoiling {
	return []spoiling{
		{"as promised", "", func(*Verdict) {}, true},
		{"unknown and stored", next(`INSERT INTO messages VALUES (2, 10, 'messages.x', 'five', NULL, 'm-5')`),
			func(v *Verdict) { v.Stored++ }, true},
		{"unknown, bad, and a dead letter", next(`INSERT INTO landfall.dead_letters VALUES (2, 10, 'b-2', 'messages.x', 'bad, and unknown')`),
			func(v *Verdict) { v.DeadLetters++; v.SetAside++ }, true},
		{"unknown and stored twice", `UPDATE landfall.streams SET last_seq = 11 WHERE id = 2;
			INSERT INTO messages VALUES (2, 10, 'messages.x', 'five', NULL, 'm-5'), (2, 11, 'messages.x', 'five', NULL, 'm-5')`,
			func(v *Verdict) { v.Stored++; v.Duplicated++ }, false},

		{"lost", `DELETE FROM messages WHERE msg_id = 'm-2'; INSERT INTO landfall.duplicates VALUES (1, 2, 1)`,
			func(v *Verdict) { v.Stored--; v.Lost++; v.Repeats++ }, false},
		{"a line of a batch is lost", `DELETE FROM messages WHERE msg_id = 'x/1'; UPDATE landfall.streams SET last_seq = 8 WHERE id = 2`,
			func(v *Verdict) { v.Stored--; v.Lost++ }, false},
		{"a line of a batch is removed", `DELETE FROM messages WHERE msg_id = 'x/1'; INSERT INTO landfall.gaps VALUES (2, 9, 9)`,
			func(v *Verdict) { v.Stored--; v.Removed++ }, true},
		{"one line of a batch is removed, and both are lost", `DELETE FROM messages WHERE msg_id LIKE 'x/%'; INSERT INTO landfall.gaps VALUES (2, 8, 8), (2, 9, 9)`,
			func(v *Verdict) { v.Stored -= 2; v.Removed++; v.Lost++; v.Gaps++ }, false},
		{"the message that was given a removed one's sequence is lost", `UPDATE messages SET msg_id = 'r-1', content = 'removed' WHERE msg_id = 'n-1'`,
			func(*Verdict) {}, true}, // nobody can tell which of the two was removed
		{"both messages of a removed sequence are lost", `DELETE FROM messages WHERE msg_id = 'n-1'; INSERT INTO landfall.duplicates VALUES (2, 6, 6)`,
			func(v *Verdict) { v.Stored--; v.Lost++; v.Unaccounted++; v.Repeats++ }, false},
		{"removed, and no gap", `DELETE FROM landfall.gaps; INSERT INTO landfall.duplicates VALUES (1, 6, 5)`,
			func(v *Verdict) { v.Removed--; v.Lost++; v.Repeats++ }, false},
		{"removed, and stored all the same", `DELETE FROM landfall.gaps; INSERT INTO messages VALUES (1, 6, 'messages.x', 'removed', NULL, 'r-1')`,
			func(v *Verdict) { v.Removed--; v.Stored++ }, true},
		{"a dead letter instead", `DELETE FROM messages WHERE msg_id = 'm-1';
			INSERT INTO landfall.dead_letters VALUES (1, 1, 'm-1', 'messages.x', 'one', '22000', 'because')`,
			func(v *Verdict) { v.Stored--; v.Lost++; v.DeadLetters++ }, false},
		{"bad, and nowhere", `DELETE FROM landfall.dead_letters; INSERT INTO landfall.duplicates VALUES (1, 4, 3)`,
			func(v *Verdict) { v.SetAside--; v.DeadLetters--; v.Lost++; v.Repeats++ }, false},

		{"stored again", next(`INSERT INTO messages VALUES (2, 10, 'messages.x', 'one', NULL, 'm-1')`),
			func(v *Verdict) { v.Duplicated++ }, false},
		{"stored three times", `UPDATE landfall.streams SET last_seq = 11 WHERE id = 2;
			INSERT INTO messages SELECT 2, 9 + n, subject, content, content_bytes, msg_id FROM messages, generate_series(1, 2) n WHERE msg_id = 'm-3'`,
			func(v *Verdict) { v.Duplicated += 2 }, false},
		{"a dead letter besides", next(`INSERT INTO landfall.dead_letters VALUES (2, 10, 'm-1', 'messages.x', 'one', '22000', 'because')`),
			func(v *Verdict) { v.Duplicated++; v.DeadLetters++ }, false},
		{"a dead letter twice", next(`INSERT INTO landfall.dead_letters SELECT 2, 10, msg_id, subject, payload FROM landfall.dead_letters`),
			func(v *Verdict) { v.Duplicated++; v.DeadLetters++ }, false},

		{"nobody sent it", next(`INSERT INTO messages VALUES (2, 10, 'messages.x', 'nine', NULL, 'm-9')`),
			func(v *Verdict) { v.Unexplained++ }, false},
		{"nobody sent it, without an id", next(`INSERT INTO messages VALUES (2, 10, 'messages.x', 'one', NULL, NULL)`),
			func(v *Verdict) { v.Unexplained++ }, false},
		{"a dead letter that nobody sent", next(`INSERT INTO landfall.dead_letters VALUES (2, 10, NULL, NULL, NULL, '22000', 'because')`),
			func(v *Verdict) { v.Unexplained++; v.DeadLetters++ }, false},
		{"refused and stored", next(`INSERT INTO messages VALUES (2, 10, 'messages.x', 'four', NULL, 'm-4')`),
			func(v *Verdict) { v.Unexplained++ }, false},
		{"refused and a dead letter", next(`INSERT INTO landfall.dead_letters VALUES (2, 10, 'm-4', 'messages.x', 'four')`),
			func(v *Verdict) { v.Unexplained++; v.DeadLetters++ }, false},
		{"unknown, good, and a dead letter", next(`INSERT INTO landfall.dead_letters VALUES (2, 10, 'm-5', 'messages.x', 'five', '57P01', 'an outage')`),
			func(v *Verdict) { v.Unexplained++; v.DeadLetters++ }, false},
		{"another body", `UPDATE messages SET content = 'One' WHERE msg_id = 'm-1'`,
			func(v *Verdict) { v.Stored--; v.Lost++; v.Unexplained++ }, false},
		{"another body, in bytes", `UPDATE messages SET content_bytes = '\x00fe' WHERE msg_id = 'm-3'`,
			func(v *Verdict) { v.Stored--; v.Lost++; v.Unexplained++ }, false},
		{"no body", `UPDATE messages SET content = NULL WHERE msg_id = 'm-2'`,
			func(v *Verdict) { v.Stored--; v.Lost++; v.Unexplained++ }, false},
		{"another subject", `UPDATE messages SET subject = 'messages.y' WHERE msg_id = 'm-1'`,
			func(v *Verdict) { v.Stored--; v.Lost++; v.Unexplained++ }, false},
		{"bodies exchanged", `UPDATE messages SET content = CASE content WHEN 'one' THEN '' ELSE 'one' END WHERE seq < 3`,
			func(v *Verdict) { v.Stored -= 2; v.Lost += 2; v.Unexplained += 2 }, false},
		{"another body in the dead letter", `UPDATE landfall.dead_letters SET payload = 'Bad'`,
			func(v *Verdict) { v.SetAside--; v.Lost++; v.Unexplained++ }, false},
		{"bad, and stored", `DELETE FROM landfall.dead_letters; INSERT INTO messages VALUES (1, 4, 'messages.x', 'bad', NULL, 'b-1')`,
			func(v *Verdict) { v.SetAside--; v.DeadLetters--; v.Stored++; v.Unexplained++ }, false},

		{"a dead letter that was retried", `UPDATE messages SET seq = 3 WHERE msg_id = 'm-3';
			INSERT INTO landfall.dead_letters VALUES (1, 3, 'm-3', 'messages.x', '\x00ff', '22000', 'because', now(), 'stored')`,
			func(*Verdict) {}, true},
		{"a dead letter that was discarded", next(`INSERT INTO landfall.dead_letters VALUES (2, 10, 'm-9', 'messages.x', '', '22000', 'because', now(), 'discarded')`),
			func(*Verdict) {}, true},
		{"a gap", next(`INSERT INTO landfall.gaps VALUES (2, 10, 10)`), func(v *Verdict) { v.Gaps++ }, false},
		{"a gap that is more than was removed", `DELETE FROM messages WHERE stream_id = 1 AND seq = 5; UPDATE landfall.gaps SET from_seq = 5`,
			func(v *Verdict) { v.Gaps++; v.Stored--; v.Lost++; v.Unaccounted++ }, false}, // and a duplicate of nothing
		{"a gap in the other incarnation", `DELETE FROM messages WHERE msg_id = 'n-1'; INSERT INTO landfall.gaps VALUES (2, 6, 6)`,
			func(v *Verdict) { v.Gaps++; v.Stored--; v.Lost++ }, false},

		{"in another order", `UPDATE messages SET seq = 100 WHERE msg_id = 'm-1'; UPDATE messages SET seq = 1, msg_id = 'm-2', content = '' WHERE seq = 2;
			UPDATE messages SET seq = 2 WHERE seq = 100`, func(v *Verdict) { v.Disordered++; v.Misplaced += 2 }, false},
		{"in an earlier incarnation", `INSERT INTO landfall.streams VALUES (0, 'MESSAGES', '` + thirdLife + `', 10, 10);
			UPDATE messages SET stream_id = 0, seq = 10 WHERE msg_id = 'n-2'; INSERT INTO landfall.duplicates VALUES (2, 7, 6)`,
			func(v *Verdict) { v.Disordered++; v.Repeats++ }, false},
		{"where another was acknowledged", `UPDATE messages SET seq = 10 WHERE msg_id = 'n-1'; UPDATE messages SET seq = 11 WHERE msg_id = 'n-2';
			UPDATE landfall.streams SET start_seq = 8, last_seq = 11 WHERE id = 2`, func(v *Verdict) { v.Misplaced++ }, false},
		{"in another stream", `UPDATE landfall.streams SET name = 'OTHER' WHERE id = 2`, func(v *Verdict) { v.Misplaced += 4 }, false},
		{"an earlier copy that is not on record", `DELETE FROM landfall.duplicates; UPDATE landfall.streams SET last_seq = 6 WHERE id = 1`,
			func(v *Verdict) { v.Misplaced++; v.Repeats-- }, false},
		{"an earlier copy, and the later one removed", `DELETE FROM landfall.duplicates; UPDATE landfall.gaps SET from_seq = 7, to_seq = 7;
			INSERT INTO messages VALUES (1, 6, 'messages.x', 'removed', NULL, 'r-1')`,
			func(v *Verdict) { v.Misplaced++; v.Gaps++; v.Repeats--; v.Removed--; v.Stored++ }, false}, // 7 is not what the drill removed

		{"the cursor went back", `UPDATE landfall.streams SET last_seq = 8 WHERE id = 2`, func(v *Verdict) { v.Unaccounted++ }, false},
		{"the cursor is ahead", `UPDATE landfall.streams SET last_seq = 12 WHERE id = 2`, func(v *Verdict) { v.Unaccounted += 3 }, false},
		{"a sequence is nowhere", `DELETE FROM landfall.duplicates`, func(v *Verdict) { v.Unaccounted++; v.Misplaced++; v.Repeats-- }, false},
		{"the first sequence is nowhere", `UPDATE landfall.streams SET start_seq = 5 WHERE id = 2`, func(v *Verdict) { v.Unaccounted++ }, false},
		{"before the first sequence", `UPDATE landfall.streams SET start_seq = 7 WHERE id = 2`, func(v *Verdict) { v.Unaccounted++ }, false},
		{"a row that is a gap as well", `UPDATE landfall.gaps SET to_seq = 7`, func(v *Verdict) { v.Unaccounted++; v.Gaps++ }, false},
		{"a row that is a duplicate as well", `INSERT INTO landfall.duplicates VALUES (2, 9, 8)`, func(v *Verdict) { v.Unaccounted++; v.Repeats++ }, false},
		{"a row twice in one place", `UPDATE landfall.streams SET last_seq = 8 WHERE id = 2; UPDATE messages SET seq = 8 WHERE seq = 9`,
			func(v *Verdict) { v.Unaccounted++ }, false},
		{"a duplicate of a gap", `UPDATE landfall.duplicates SET of_seq = 6`, func(v *Verdict) { v.Unaccounted++; v.Misplaced++ }, false},
		{"a duplicate of something later", next(`INSERT INTO landfall.duplicates VALUES (2, 10, 11)`), func(v *Verdict) { v.Unaccounted++; v.Repeats++ }, false},
		{"a duplicate of another incarnation's", next(`INSERT INTO landfall.duplicates VALUES (2, 10, 1)`),
			func(v *Verdict) { v.Unaccounted++; v.Repeats++ }, false},
		{"a duplicate that is right", next(`INSERT INTO landfall.duplicates VALUES (2, 10, 9)`), func(v *Verdict) { v.Repeats++ }, true},
		{"rows of a stream that is not there", `DELETE FROM landfall.streams WHERE id = 2`, func(v *Verdict) { v.Unaccounted += 4 }, false},
	}
}

func TestCheckBites(t *testing.T) {
	t.Parallel()
	for _, tc := range spoilings() {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			url := pgtest.Database(t)
			execute(t, url, looseSchema+stored+tc.sql)
			got, err := Check(within(t, 20*time.Second), url, sent(t))
			if err != nil {
				t.Fatal(err)
			}
			want := asPromised()
			tc.want(&want)
			if diff := cmp.Diff(want, got, cmpopts.IgnoreFields(Verdict{}, "Findings", "LongestGap"), cmpopts.IgnoreUnexported(Verdict{})); diff != "" {
				t.Errorf("(-want +got)\n%s\n%s", diff, strings.Join(got.Findings, "\n"))
			}
			if got.Holds() != tc.holds || (len(got.Findings) > 0) == tc.holds {
				t.Errorf("holds %v with findings %q", got.Holds(), got.Findings)
			}
			if got.LongestGap == 0 {
				t.Error("no gap was measured")
			}
		})
	}
}

func TestCheckOfManyRows(t *testing.T) {
	t.Parallel()
	const n = 20000
	url := pgtest.Database(t)
	execute(t, url, looseSchema+fmt.Sprintf(`INSERT INTO messages
		SELECT 1, n, 'messages.x', 'body ' || n, NULL, 'm-' || n FROM generate_series(1, %d) n WHERE n <> 777;
		INSERT INTO landfall.streams VALUES (1, 'MESSAGES', '%s', 1, %[1]d)`, n, firstLife))
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
	if v.Acked != n || v.Stored != n-1 || v.Lost != 1 || v.Unaccounted != 1 || v.Disordered+v.Misplaced > 0 || v.Holds() {
		t.Errorf("verdict %+v", v)
	}
	if len(v.Findings) == 0 || !strings.Contains(v.Findings[len(v.Findings)-1], "m-777 ") {
		t.Errorf("findings %q", v.Findings)
	}
}

// A ledger that cannot be believed is not held against anything.
func TestCheckOfItsOwnMistakes(t *testing.T) {
	t.Parallel()
	url := pgtest.Database(t)
	execute(t, url, looseSchema+stored)
	l := sent(t)
	b := book(t, l, "clumsy")
	b.Tell(b.Offer(Message{ID: "m-1"}, at(30)), Told{Outcome: Acked, At: at(31), Stream: Stream, Seq: 99})
	v, err := Check(within(t, 20*time.Second), url, l)
	if err != nil || v.Unexplained != 1 || v.Holds() {
		t.Errorf("an id that was offered twice: %+v, %v", v, err)
	}
	execute(t, url, `UPDATE landfall.streams SET last_seq = start_seq - 2 WHERE id = 2`)
	if _, err := Check(within(t, 20*time.Second), url, l); err == nil {
		t.Error("a cursor before the stream's beginning was believed")
	}
}

func TestProof(t *testing.T) {
	t.Parallel()
	good := Verdict{Offered: 20000, Acked: 20000, Stored: 20000, LongestGap: 1130 * time.Millisecond}
	bad := good
	bad.Stored, bad.Unexplained = 19999, 2
	drilled := good
	drilled.Stored, drilled.SetAside, drilled.Removed = 19970, 20, 10
	for _, tc := range []struct {
		v     Verdict
		proof string
		holds bool
	}{
		{good, "acked 20000 · stored 20000 · lost 0 · duplicated 0 · longest publish gap 1.1s", true},
		{bad, "acked 20000 · stored 19999 · lost 0 · duplicated 0 · unexplained 2 · longest publish gap 1.1s", false},
		{drilled, "acked 20000 · stored 19970 · set aside 20 · removed by the drill 10 · lost 0 · duplicated 0 · longest publish gap 1.1s", true},
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
