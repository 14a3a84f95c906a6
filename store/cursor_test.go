package store

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"golang.org/x/sync/errgroup"

	"landfall/message"
)

func TestFindAndBegin(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	node := d.node("n1")
	s := node.Stream("S")
	incarnation := uuid.NewString()
	if cur, found, err := s.Find(t.Context(), incarnation); err != nil || found || cur != (message.Cursor{}) {
		t.Fatal(cur, found, err)
	}
	first, err := begin(t.Context(), s, incarnation, 1, message.Cursor{})
	if err != nil || first.Seq != 0 || first.Incarnation != incarnation || !first.Last.Time.IsZero() {
		t.Fatalf("%+v: %v", first, err)
	}
	m := ordinary(2)
	cur := d.write(s, first, run(first, 2)).Cursor
	want := message.Cursor{StreamID: first.StreamID, Incarnation: incarnation, Seq: 2, Last: m.Fingerprint()}
	if found, ok, err := s.Find(t.Context(), incarnation); err != nil || !ok || !sameCursor(found, want) {
		t.Errorf("%+v: %v", found, err)
	}
	// Once entered it stays.
	if again, err := begin(t.Context(), s, incarnation, 7, message.Cursor{Seq: 9}); err != nil || !sameCursor(again, cur) {
		t.Errorf("%+v: %v", again, err)
	}
	// A message without an id, or with an odd one, has a fingerprint too.
	for _, id := range []string{"", "\x00\xff"} {
		next := ordinary(cur.Seq + 1)
		next.Header[message.IDHeader] = []string{id}
		cur = d.write(s, cur, []message.Message{next}).Cursor
		if found, _, err := s.Find(t.Context(), incarnation); err != nil || !sameCursor(found, cur) {
			t.Errorf("%+v, want %+v: %v", found, cur, err)
		}
	}
	// Neither another stream nor another incarnation is found.
	if _, found, err := node.Stream("T").Find(t.Context(), incarnation); err != nil || found {
		t.Error(found, err)
	}
	if _, found, err := s.Find(t.Context(), uuid.NewString()); err != nil || found {
		t.Error(found, err)
	}
	d.world(cur.StreamID)
}

// Find knows which incarnation Encode is for.
func TestEncodeFollowsFind(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	s, old := d.stream()
	fresh := d.enter(s)
	for _, cur := range []message.Cursor{old, fresh, old} {
		now, _, err := s.Find(t.Context(), cur.Incarnation)
		if err != nil {
			t.Fatal(err)
		}
		d.write(s, now, run(now, 2))
		d.world(cur.StreamID)
	}
	if a, b := len(d.rows(old.StreamID)), len(d.rows(fresh.StreamID)); a != 4 || b != 2 {
		t.Error(a, b)
	}
}

func TestBeginBehindAGap(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	s := d.node("n1").Stream("S")
	cur, err := begin(t.Context(), s, uuid.NewString(), 1, message.Cursor{Seq: 5})
	if err != nil || cur.Seq != 5 {
		t.Fatal(cur, err)
	}
	cur = d.write(s, cur, run(cur, 2)).Cursor
	if w := d.world(cur.StreamID); len(w.Rows) != 2 || cmp.Diff([][2]uint64{{1, 5}}, w.Gaps) != "" {
		t.Errorf("%+v", w)
	}
	// A stream whose tail was lost goes on behind what is common, without a gap.
	m := ordinary(40)
	next, err := begin(t.Context(), s, uuid.NewString(), 41, message.Cursor{Seq: 40, Last: m.Fingerprint()})
	if err != nil || next.Seq != 40 || !next.Last.Equal(m.Fingerprint()) {
		t.Fatalf("%+v: %v", next, err)
	}
	d.write(s, next, run(next, 2))
	if n := one[int64](d, `SELECT count(*) FROM landfall.gaps WHERE stream_id = $1`, next.StreamID); n != 0 {
		t.Errorf("%d gaps", n)
	}
}

// Of several nodes that enter a stream at once one wins, and all agree.
func TestBeginRace(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	streams := []*Stream{d.node("n1").Stream("S"), d.node("n2").Stream("S"), d.node("n3").Stream("S")}
	for range 10 {
		incarnation := uuid.NewString()
		curs := make([]message.Cursor, len(streams))
		g, ctx := errgroup.WithContext(t.Context())
		for i, s := range streams {
			g.Go(func() (err error) {
				curs[i], err = begin(ctx, s, incarnation, 1, message.Cursor{Seq: uint64(3 * i)})
				return err
			})
		}
		if err := g.Wait(); err != nil {
			t.Fatal(err)
		}
		if curs[0] != curs[1] || curs[1] != curs[2] {
			t.Errorf("%+v", curs)
		}
		d.world(curs[0].StreamID)
	}
}

// Where an incarnation begins is right only as long as Postgres stands where
// it stood when that was found out.
func TestBeginFence(t *testing.T) {
	t.Parallel()
	for name, meanwhile := range map[string]func(d *database, s *Stream, cur message.Cursor){
		"a batch was stored":      func(d *database, s *Stream, cur message.Cursor) { d.write(s, cur, run(cur, 1)) },
		"another one was entered": func(d *database, s *Stream, _ message.Cursor) { d.enter(s) },
		"restored to before": func(d *database, s *Stream, cur message.Cursor) {
			d.exec(`UPDATE landfall.streams SET last_seq = 1 WHERE id = $1`, cur.StreamID)
		},
		"restored to before there was any": func(d *database, s *Stream, cur message.Cursor) {
			d.exec(`DELETE FROM landfall.streams WHERE id = $1`, cur.StreamID)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := newDatabase(t)
			s, cur := d.stream()
			cur = d.write(s, cur, run(cur, 3)).Cursor
			newest, err := s.Newest(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			meanwhile(d, s, cur)
			incarnation := uuid.NewString()
			if cur, err := s.Begin(t.Context(), newest, incarnation, 4, message.Cursor{Seq: 3}); !errors.Is(err, message.ErrMoved) {
				t.Errorf("begun at %+v: %v", cur, err)
			}
			if _, found, err := s.Find(t.Context(), incarnation); err != nil || found {
				t.Error(found, err)
			}
			if cur, err := begin(t.Context(), s, incarnation, 4, message.Cursor{Seq: 3}); err != nil || cur.Incarnation != incarnation {
				t.Errorf("the next time: %+v: %v", cur, err)
			}
		})
	}
}

// A batch that is in hand is waited for.
func TestBeginWaitsForABatch(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	s, cur := d.stream()
	newest, err := s.Newest(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	tx, err := d.pool.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer tx.Rollback(context.Background()) //nolint:errcheck // over by then
	if _, err := tx.Exec(t.Context(), `UPDATE landfall.streams SET last_seq = 1 WHERE id = $1`, cur.StreamID); err != nil {
		t.Fatal(err)
	}
	begun := make(chan error, 1)
	go func() {
		_, err := s.Begin(t.Context(), newest, uuid.NewString(), 1, message.Cursor{})
		begun <- err
	}()
	eventually(t, "the entry waits", func() bool {
		return one[bool](d, `SELECT EXISTS (SELECT FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database())`)
	})
	if err := tx.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := <-begun; !errors.Is(err, message.ErrMoved) {
		t.Error(err)
	}
}

func TestRecordGap(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	s, start := d.stream()
	cur := d.write(s, start, run(start, 2)).Cursor
	cur, err := s.RecordGap(t.Context(), cur, 4)
	if err != nil || cur.Seq != 4 || !cur.Last.Time.IsZero() {
		t.Fatalf("%+v: %v", cur, err)
	}
	if found, _, err := s.Find(t.Context(), cur.Incarnation); err != nil || !sameCursor(found, cur) {
		t.Errorf("%+v: %v", found, err)
	}
	cur = d.write(s, cur, run(cur, 2)).Cursor
	// It is fenced as a batch is.
	for _, wrong := range []message.Cursor{start, {StreamID: cur.StreamID, Seq: 7}, {StreamID: cur.StreamID + 1, Seq: cur.Seq}} {
		if _, err := s.RecordGap(t.Context(), wrong, 9); !errors.Is(err, message.ErrMoved) {
			t.Errorf("%+v: %v", wrong, err)
		}
	}
	if w := d.world(cur.StreamID); w.Cursor != 6 || cmp.Diff([][2]uint64{{3, 4}}, w.Gaps) != "" {
		t.Errorf("%+v", w)
	}
}

// A gap waits for a batch that is being written, and then is none.
func TestRecordGapWaitsForABatch(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	g := d.newGate("n1", inCommit)
	s, cur := d.stream()
	other := d.node("n2").Stream("S")
	g.shut()
	_, write := started(t, func() error {
		_, err := s.Write(t.Context(), cur, batchOf(s, run(cur, 3)))
		return err
	})
	pid := g.awaitOne()
	ended, gap := started(t, func() error {
		_, err := other.RecordGap(t.Context(), cur, 3)
		return err
	})
	if !d.blockedBy(pid, ended) {
		t.Error("the gap did not wait")
	}
	// Read does not wait.
	if seq, err := other.Read(t.Context(), cur); err != nil || seq != 0 {
		t.Error(seq, err)
	}
	g.lift()
	if err := write(); err != nil {
		t.Error(err)
	}
	if err := gap(); !errors.Is(err, message.ErrMoved) {
		t.Error(err)
	}
	if seq, err := other.Read(t.Context(), cur); err != nil || seq != 3 {
		t.Error(seq, err)
	}
	d.world(cur.StreamID)
}

// A Postgres that was restored to before the stream was entered has no row,
// and may give its number to another incarnation.
func TestRowOfTheStreamVanished(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	s, cur := d.stream()
	calls := map[string]func() error{
		"Read":      func() error { _, err := s.Read(t.Context(), cur); return err },
		"Write":     func() error { _, err := s.Write(t.Context(), cur, batchOf(s, run(cur, 1))); return err },
		"RecordGap": func() error { _, err := s.RecordGap(t.Context(), cur, 3); return err },
		"Trim":      func() error { return s.Trim(t.Context(), cur, 0, noTrim) },
	}
	d.exec(`TRUNCATE landfall.streams CASCADE`)
	for name, call := range calls {
		if err := call(); !errors.Is(err, message.ErrMoved) {
			t.Errorf("%s: %v", name, err)
		}
	}
	d.exec(`INSERT INTO landfall.streams (id, cluster, name, incarnation, start_seq, last_seq) OVERRIDING SYSTEM VALUE
		VALUES ($1, 'testers', 'another', gen_random_uuid(), 1, 0)`, cur.StreamID)
	if err := calls["Read"](); !errors.Is(err, message.ErrMoved) {
		t.Errorf("Read took another stream's row: %v", err)
	}
}

func TestRowAtOrBelow(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	s, cur := d.stream()
	if _, _, found, err := s.RowAtOrBelow(t.Context(), 9); err != nil || found {
		t.Error(found, err)
	}
	d.write(s, cur, run(cur, 5, func(i int, m *message.Message) {
		switch i {
		case 1:
			m.Header = nil
		case 2, 3:
			m.Subject = "\xff" // dead letters
		}
	}))
	for seq, want := range map[uint64]uint64{1: 1, 2: 2, 3: 3, 4: 4, 5: 5, 99: 5} {
		m := ordinary(want)
		id := m.ID()
		if want == 2 {
			id = ""
		}
		at, f, found, err := s.RowAtOrBelow(t.Context(), seq)
		if err != nil || !found || at != want || !f.Time.Equal(asStored(m).Time) || f.ID != id || !f.Named {
			t.Errorf("at or below %d: %d %+v %v %v", seq, at, f, found, err)
		}
	}
	if _, _, found, err := s.RowAtOrBelow(t.Context(), 0); err != nil || found {
		t.Error(found, err)
	}
}

// TestLineage: where a later incarnation begins, it has the last word.
func TestLineage(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	s, cur := d.stream()
	if newest, err := s.Newest(t.Context()); err != nil || newest.StreamID != cur.StreamID {
		t.Errorf("newest: %+v %v", newest, err)
	}
	d.write(s, cur, run(cur, 5))
	later := func(m *message.Message) { m.Time = m.Time.Add(time.Hour) }
	second, err := begin(t.Context(), s, uuid.NewString(), 4, message.Cursor{Seq: 3})
	if err != nil {
		t.Fatal(err)
	}
	again := run(second, 1)
	later(&again[0])
	d.write(s, second, again)
	if newest, err := s.Newest(t.Context()); err != nil || newest.StreamID != second.StreamID || newest.Seq != 4 {
		t.Errorf("newest: %+v %v", newest, err)
	}
	for seq, want := range map[uint64]message.Message{3: ordinary(3), 4: again[0], 9: again[0]} {
		at, f, found, err := s.RowAtOrBelow(t.Context(), seq)
		if err != nil || !found || at != want.Seq || !f.Time.Equal(asStored(want).Time) {
			t.Errorf("at or below %d: %d %+v %v %v", seq, at, f, found, err)
		}
	}
}

func noTrim(context.Context, uint64, uint64) error { return nil }
