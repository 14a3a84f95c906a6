package store

import (
	"context"
	"math"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"landfall/message"
)

// receipts asks and must be answered; reasons are checked, not compared.
func (d *database) receipts(s *Store, seqs ...uint64) []message.Receipt {
	d.Helper()
	got, err := s.Receipts(d.Context(), "S", seqs)
	if err != nil {
		d.Fatal(err)
	}
	return d.reasoned(got)
}

func (d *database) unstored(s *Store, first, last uint64) (got []message.Receipt) {
	d.Helper()
	if err := s.Unstored(d.Context(), "S", first, last, func(r message.Receipt) { got = append(got, r) }); err != nil {
		d.Fatal(err)
	}
	return d.reasoned(got)
}

func (d *database) reasoned(got []message.Receipt) []message.Receipt {
	d.Helper()
	for i := range got {
		if (got[i].SQLState != "") != (got[i].Reason != "") {
			d.Errorf("half a reason: %+v", got[i])
		}
		got[i].Reason = ""
	}
	return got
}

// a stream with all there is: 1 and 2 rows, 3 a dead letter, 4 repeats row 1,
// 5 repeats dead letter 3, 6 reuses the id of 2, 7 to 9 a gap, 10 a row
// without an id.
func (d *database) everything(s *Stream) message.Cursor {
	d.Helper()
	cur := d.enter(s)
	bad, again := under(3, "bad", "x"), under(5, "bad", "x")
	bad.Subject, again.Subject = "\xff", "\xff"
	cur = d.write(s, cur, []message.Message{under(1, "a", "x"), under(2, "b", "x"), bad, under(4, "a", "x"), again, under(6, "b", "y")}).Cursor
	cur, err := s.RecordGap(d.Context(), cur, 9)
	if err != nil {
		d.Fatal(err)
	}
	return d.write(s, cur, run(cur, 1, func(_ int, m *message.Message) { m.Header = nil })).Cursor
}

var everything = []message.Receipt{
	{Seq: 1, State: message.Stored, ID: "a"},
	{Seq: 2, State: message.Stored, ID: "b"},
	{Seq: 3, State: message.DeadLettered, ID: "bad", SQLState: "22021"},
	{Seq: 4, State: message.Duplicate, Of: 1, ID: "a"},
	{Seq: 5, State: message.Duplicate, Of: 3, ID: "bad", SQLState: "22021"},
	{Seq: 6, State: message.DeadLettered, ID: "b", SQLState: "23505"},
	{Seq: 7, State: message.Gap},
	{Seq: 8, State: message.Gap},
	{Seq: 9, State: message.Gap},
	{Seq: 10, State: message.Stored},
	{Seq: 11, State: message.Pending},
}

func TestReceipts(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	s := d.node("n1").Stream("S")
	for _, other := range []string{"before S", "Z"} { // whose rows have the same numbers
		d.some(d.node("n1").Stream(other))
	}
	if got := d.receipts(s.Store, 1); got[0] != (message.Receipt{Seq: 1, State: message.Pending}) {
		t.Errorf("of a stream that Postgres does not know: %+v", got)
	}
	cur := d.everything(s)
	if diff := cmp.Diff(everything, d.receipts(s.Store, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11)); diff != "" {
		t.Error(diff)
	}
	// In the order asked for, however often; any number may be asked for.
	want := []message.Receipt{everything[9], everything[0], everything[2], everything[0], {Seq: math.MaxUint64, State: message.Pending}, {State: message.Pending}}
	if diff := cmp.Diff(want, d.receipts(s.Store, 10, 1, 3, 1, math.MaxUint64, 0)); diff != "" {
		t.Error(diff)
	}
	if got := d.receipts(s.Store); len(got) != 0 {
		t.Errorf("nothing asked, %+v answered", got)
	}
	if diff := cmp.Diff([]message.Receipt{everything[2], everything[4], everything[5], everything[6]}, d.unstored(s.Store, 0, math.MaxUint64)); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]message.Receipt{everything[4]}, d.unstored(s.Store, 4, 5)); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]message.Receipt{everything[7]}, d.unstored(s.Store, 8, 10)); diff != "" { // from within the gap
		t.Error(diff)
	}
	if got := d.unstored(s.Store, 5, 4); got != nil {
		t.Errorf("%+v", got)
	}

	// A dead letter that was stored by hand is stored, with its row under its
	// own number or without one, and so is what repeats it.
	d.exec(`UPDATE landfall.dead_letters SET resolution = 'stored', resolved_at = now() WHERE seq = 3`)
	wantStored := []message.Receipt{{Seq: 3, State: message.Stored, ID: "bad"}, {Seq: 5, State: message.Duplicate, Of: 3, ID: "bad"}}
	if diff := cmp.Diff(wantStored, d.receipts(s.Store, 3, 5)); diff != "" {
		t.Error(diff)
	}
	d.exec(`INSERT INTO messages (stream_id, seq, subject, content, msg_id, published_at) VALUES ($1, 3, '', '', 'bad', now())`, cur.StreamID)
	if diff := cmp.Diff(wantStored, d.receipts(s.Store, 3, 5)); diff != "" {
		t.Error(diff)
	}
	d.exec(`UPDATE landfall.dead_letters SET resolution = 'discarded' WHERE seq = 6`)
	if diff := cmp.Diff([]message.Receipt{everything[5], everything[6]}, d.unstored(s.Store, 1, 11)); diff != "" {
		t.Error(diff)
	}
	// A row that somebody deleted was stored once; nobody knows its id.
	d.exec(`DELETE FROM messages WHERE seq = 2 AND stream_id = $1`, cur.StreamID)
	if got := d.receipts(s.Store, 2); got[0] != (message.Receipt{Seq: 2, State: message.Stored}) {
		t.Errorf("%+v", got)
	}
}

// What a later incarnation has in common with the ones before it is theirs to
// tell; behind that their rows say nothing, stored or not yet.
func TestReceiptsOfIncarnations(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	s := d.node("n1").Stream("S")
	d.everything(s)
	cur, err := begin(t.Context(), s, uuid.NewString(), 5, message.Cursor{Seq: 4, Last: message.Fingerprint{Time: moment(4), ID: "a"}})
	if err != nil {
		t.Fatal(err)
	}
	pending := func(seq uint64) message.Receipt { return message.Receipt{Seq: seq, State: message.Pending} }
	want := []message.Receipt{everything[2], everything[3], pending(5), pending(7), pending(10)}
	if diff := cmp.Diff(want, d.receipts(s.Store, 3, 4, 5, 7, 10)); diff != "" {
		t.Error(diff)
	}
	poison := ordinary(6)
	poison.Subject = "\xff"
	cur = d.write(s, cur, []message.Message{ordinary(5), poison}).Cursor
	want[2] = message.Receipt{Seq: 5, State: message.Stored, ID: "id-5"}
	if diff := cmp.Diff(want, d.receipts(s.Store, 3, 4, 5, 7, 10)); diff != "" {
		t.Error(diff)
	}
	dead := []message.Receipt{everything[2], {Seq: 6, State: message.DeadLettered, ID: "id-6", SQLState: "22021"}}
	if diff := cmp.Diff(dead, d.unstored(s.Store, 1, 11)); diff != "" {
		t.Error(diff)
	}

	// Made anew, it has nothing in common with them.
	d.enter(s)
	if diff := cmp.Diff([]message.Receipt{pending(1), pending(5)}, d.receipts(s.Store, 1, 5)); diff != "" {
		t.Error(diff)
	}
	if got := d.unstored(s.Store, 1, 11); got != nil {
		t.Errorf("%+v", got)
	}

	// A restored Postgres knows no more of it than it did.
	d.exec(`DELETE FROM landfall.streams WHERE id > $1`, cur.StreamID)
	d.exec(`UPDATE landfall.streams SET last_seq = 5 WHERE id = $1`, cur.StreamID)
	if diff := cmp.Diff([]message.Receipt{want[2], pending(6)}, d.receipts(s.Store, 5, 6)); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(dead[:1], d.unstored(s.Store, 1, 11)); diff != "" {
		t.Error(diff)
	}
}

// More are rejected than are read at a time.
func TestUnstoredByPages(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	s, cur := d.stream()
	const last = 3*unstoredPage + 7
	d.exec(`INSERT INTO landfall.dead_letters (stream_id, seq) SELECT $1, n FROM generate_series(1, $2::bigint, 3) AS n`, cur.StreamID, last)
	d.exec(`INSERT INTO landfall.duplicates (stream_id, seq, of_seq) SELECT $1, n, 1 FROM generate_series(2, $2::bigint, 3) AS n`, cur.StreamID, last)
	d.exec(`UPDATE landfall.streams SET last_seq = $1`, last)
	var want, got []uint64
	for seq := uint64(1); seq <= last; seq++ {
		if seq%3 != 0 {
			want = append(want, seq)
		}
	}
	err := s.Unstored(t.Context(), "S", 1, math.MaxInt64, func(r message.Receipt) {
		if !r.Rejected() {
			t.Errorf("%+v", r)
		}
		got = append(got, r.Seq)
	})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

// Tables that are not there yet, and a Postgres that is away, are errors.
func TestReceiptsWithoutPostgres(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	d.exec(`DROP SCHEMA landfall CASCADE`)
	bare := d.node("n1")
	c := d.config()
	c.Postgres.URL = "postgres://app:app@127.0.0.1:1/app"
	for name, s := range map[string]*Store{"no tables": bare, "no Postgres": d.open(c, "n1")} {
		if _, err := s.Receipts(t.Context(), "S", []uint64{1}); err == nil {
			t.Errorf("%s: a receipt", name)
		}
		if err := s.Unstored(t.Context(), "S", 1, 2, func(message.Receipt) { t.Errorf("%s: a rejection", name) }); err == nil {
			t.Errorf("%s: nothing rejected", name)
		}
	}
}

// However many ask about receipts, and however long it takes, a sink finds its
// session.
func TestReceiptsLeaveSessionsToTheSinks(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	s, cur := d.stream()
	tx, err := d.pool.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = tx.Rollback(context.Background()) }()
	if _, err := tx.Exec(t.Context(), `LOCK landfall.gaps`); err != nil { // which no row needs
		t.Fatal(err)
	}
	const asking = busySessions + spareSessions + askingSessions
	ended := make(chan error, asking)
	for range asking {
		go func() {
			_, err := s.Receipts(t.Context(), "S", []uint64{1})
			ended <- err
		}()
	}
	eventually(t, "all sessions for receipts wait", func() bool {
		return one[int](d, `SELECT count(*)::int FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()`) == askingSessions
	})
	d.write(s, cur, run(cur, 3))
	for range asking {
		if err := <-ended; err == nil {
			t.Error("a receipt from a table that is locked")
		}
	}
}

// Receipts are looked up by key among many rows, and whatever the
// statistics say.
func TestReceiptsUseIndexes(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	s, cur := d.stream()
	const rows = 200_000
	d.exec(`INSERT INTO messages (stream_id, seq, subject, content, msg_id, published_at)
		SELECT $1, n, 's', '', 'id-' || n, now() FROM generate_series(1, $2::bigint) AS n`, cur.StreamID, rows)
	d.exec(`INSERT INTO landfall.dead_letters (stream_id, seq, sqlstate, reason) SELECT $1, n, '22021', 'x' FROM generate_series($2::bigint + 1, $2::bigint + 20000) AS n`, cur.StreamID, rows)
	d.exec(`INSERT INTO landfall.duplicates (stream_id, seq, of_seq) SELECT $1, n, n - 20000 FROM generate_series($2::bigint + 20001, $2::bigint + 40000) AS n`, cur.StreamID, rows)
	d.exec(`INSERT INTO landfall.gaps (stream_id, from_seq, to_seq) SELECT $1, n, n FROM generate_series($2::bigint + 40001, $2::bigint + 60000) AS n`, cur.StreamID, rows)
	d.exec(`UPDATE landfall.streams SET last_seq = $1`, rows+60000)
	for _, analyzed := range []bool{false, true} {
		if analyzed {
			d.exec(`ANALYZE`)
		}
		var asked []uint64
		for seq := uint64(500); seq < rows+60000; seq += 1000 {
			asked = append(asked, seq)
		}
		began := time.Now()
		for range 7 { // the plan may change when it is kept for good
			for i, r := range d.receipts(s.Store, asked...) {
				want := message.Receipt{Seq: asked[i], State: message.Stored, ID: "id-" + strconv.FormatUint(asked[i], 10)}
				switch past := int64(asked[i]) - rows; {
				case past > 40000:
					want = message.Receipt{Seq: asked[i], State: message.Gap}
				case past > 20000:
					want = message.Receipt{Seq: asked[i], State: message.Duplicate, Of: asked[i] - 20000, SQLState: "22021"}
				case past > 0:
					want = message.Receipt{Seq: asked[i], State: message.DeadLettered, SQLState: "22021"}
				}
				if r != want {
					t.Fatalf("%+v, want %+v", r, want)
				}
			}
		}
		t.Logf("analyzed %v: %d receipts in %v", analyzed, len(asked), time.Since(began)/7)
		for _, mode := range []string{"force_custom_plan", "force_generic_plan"} {
			if plan := d.explain(mode, s.receiptsQuery()); wholeTable.MatchString(plan) {
				t.Errorf("analyzed %v, %s: a table is read from end to end:\n%s", analyzed, mode, plan)
			}
		}
	}
	if n := len(d.unstored(s.Store, 1, rows+60000)); n != 60000 {
		t.Errorf("%d are no rows, want 60000", n)
	}
}

var wholeTable = regexp.MustCompile(`Seq Scan on (messages|dead_letters|duplicates|gaps)`)

// explain is how Postgres would go about a query for receipts.
func (d *database) explain(mode, query string) string {
	d.Helper()
	var plan []string
	err := pgx.BeginFunc(d.Context(), d.pool, func(tx pgx.Tx) error {
		_, err := tx.Exec(d.Context(), `SET LOCAL plan_cache_mode = `+mode+`; PREPARE q (text, text, bigint[]) AS `+query, pgx.QueryExecModeSimpleProtocol)
		if err != nil {
			return err
		}
		rows, err := tx.Query(d.Context(), `EXPLAIN EXECUTE q ('testers', 'S', '{1,500,200001}')`, pgx.QueryExecModeSimpleProtocol)
		if err == nil {
			plan, err = pgx.CollectRows(rows, pgx.RowTo[string])
		}
		if err == nil {
			_, err = tx.Exec(d.Context(), `DEALLOCATE q`)
		}
		return err
	})
	if err != nil {
		d.Fatal(err)
	}
	return strings.Join(plan, "\n")
}
