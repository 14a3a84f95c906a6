package store

import (
	"errors"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"

	"landfall/cluster"
	"landfall/message"
)

// collected are the dead letters that a filter chooses.
func (d *database) collected(f DeadLetterFilter) []message.DeadLetter {
	d.Helper()
	var got []message.DeadLetter
	if err := d.node("n1").DeadLetters(d.Context(), f, func(l *message.DeadLetter) error { got = append(got, *l); return nil }); err != nil {
		d.Fatal(err)
	}
	return got
}

// A parent that comes later heals its children, each once, whoever tries.
func TestRetryAfterTheParentCame(t *testing.T) {
	t.Parallel()
	for name, table := range map[string]*cluster.Table{
		"append": {Schema: "public", Name: "own", Mode: cluster.Append},
		"upsert": {Schema: "public", Name: "own", Mode: cluster.Upsert, Key: []string{"id"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := newDatabase(t)
			d.exec(`CREATE TABLE parent (id int PRIMARY KEY)`)
			d.exec(`CREATE TABLE own (id int PRIMARY KEY, parent int REFERENCES parent DEFERRABLE INITIALLY DEFERRED)`)
			d.exec(`INSERT INTO parent VALUES (1)`)
			s, cur := d.ownStream(table)
			ms := documents(cur, `{"id": 1, "parent": 1}`, `{"id": 2, "parent": 2}`, `{"id": 3, "parent": 3}`, `{"id": 4, "parent": "x"}`)
			ms[1].Header = map[string][]string{message.IDHeader: {"two"}, "X": {"a", "b: c"}}
			out := d.write(s, cur, ms)
			if out.Rows != 1 || out.DeadLetters != 3 {
				t.Fatalf("%+v", out)
			}
			waiting := d.collected(DeadLetterFilter{Stream: "OWN", Reason: "23503"})
			if len(waiting) != 2 || cmp.Diff(ms[1].Header, waiting[0].Message.Header) != "" || string(waiting[0].Message.Data) != string(ms[1].Data) || !waiting[0].Message.Time.Equal(ms[1].Time) {
				t.Fatalf("%+v", waiting)
			}
			var refused *StillRefused
			if err := s.Retry(t.Context(), cur.StreamID, 2, nil); !errors.As(err, &refused) {
				t.Errorf("without its parent: %v", err)
			}
			d.exec(`INSERT INTO parent VALUES (2), (3)`)
			var stored atomic.Int32
			var g sync.WaitGroup
			for range 4 {
				g.Go(func() {
					again := d.node("n1").Stream("OWN")
					again.own = &own{table: table}
					switch err := again.Retry(t.Context(), cur.StreamID, 2, nil); {
					case err == nil:
						stored.Add(1)
					case !errors.Is(err, ErrResolved):
						t.Error(err)
					}
				})
			}
			g.Wait()
			if stored.Load() != 1 {
				t.Errorf("stored %d times", stored.Load())
			}
			if err := s.Retry(t.Context(), cur.StreamID, 4, []byte(`{"id": 4, "parent": 3}`)); err != nil {
				t.Error(err)
			}
			if diff := cmp.Diff([]string{"1|1", "2|2", "4|3"}, d.table(`SELECT concat_ws('|', id, parent) FROM own ORDER BY id`)); diff != "" {
				t.Error(diff)
			}
			if left := d.collected(DeadLetterFilter{}); len(left) != 1 || left[0].Message.Seq != 3 {
				t.Errorf("%+v", left)
			}
			if all := d.collected(DeadLetterFilter{Resolved: true, Seqs: []uint64{2}}); len(all) != 1 || all[0].Resolution != ResolutionStored || all[0].ResolvedAt.IsZero() {
				t.Errorf("%+v", all)
			}
		})
	}
}

// So it is with the messages table.
func TestRetryOfAMessage(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	d.exec(`ALTER TABLE messages ADD CONSTRAINT polite CHECK (content <> 'rude')`)
	s, cur := d.stream()
	out := d.write(s, cur, documents(cur, `{}`, `rude`))
	if out.DeadLetters != 1 {
		t.Fatalf("%+v", out)
	}
	var refused *StillRefused
	if err := s.Retry(t.Context(), cur.StreamID, 2, nil); !errors.As(err, &refused) {
		t.Error(err)
	}
	d.exec(`ALTER TABLE messages DROP CONSTRAINT polite`)
	if err := s.Retry(t.Context(), cur.StreamID, 2, nil); err != nil {
		t.Error(err)
	}
	if err := s.Retry(t.Context(), cur.StreamID, 2, nil); !errors.Is(err, ErrResolved) {
		t.Error(err)
	}
	if diff := cmp.Diff([]string{"{}", "rude"}, d.table(`SELECT content FROM messages ORDER BY seq`)); diff != "" {
		t.Error(diff)
	}
}

// Dead letters come by pages, and are counted.
func TestPagesOfDeadLetters(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	d.exec(`ALTER TABLE messages ADD CONSTRAINT polite CHECK (content <> 'rude')`)
	s, cur := d.stream()
	d.write(s, cur, documents(cur, `rude`, `{}`, `rude`, `rude`, `rude`))
	f, seqs := DeadLetterFilter{Limit: 3}, []uint64{}
	for {
		page := d.collected(f)
		for _, l := range page {
			seqs = append(seqs, l.Message.Seq)
			f.After = Letter{l.StreamID, l.Message.Seq}
		}
		if len(page) < f.Limit {
			break
		}
	}
	if diff := cmp.Diff([]uint64{1, 3, 4, 5}, seqs); diff != "" {
		t.Error(diff)
	}
	for want, f := range map[int]DeadLetterFilter{4: {Limit: 1}, 0: {Stream: "NOWHERE"}, 2: {After: Letter{cur.StreamID, 3}}} {
		if n, err := d.node("n1").CountDeadLetters(t.Context(), f); err != nil || n != want {
			t.Errorf("%d, want %d: %v", n, want, err)
		}
	}
}

// The row of a message's key is found by value, whatever its text.
func TestCurrentRow(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	d.exec(`CREATE TABLE own (name text, at timestamptz, id int, note text, UNIQUE (id, at))`)
	s, cur := d.ownStream(&cluster.Table{Schema: "public", Name: "own", Mode: cluster.Upsert, Key: []string{"at", "id"}})
	d.write(s, cur, documents(cur, `{"id": 1, "at": "2026-01-01T00:00:00Z", "note": "here"}`))
	for body, want := range map[string]string{
		`{"id": 1, "at": "2026-01-01 01:00+01", "note": 7}`: `"note": "here"`,
		`{"id": 2, "at": "2026-01-01T00:00:00Z"}`:           "",
		`{"id": "x", "at": "2026-01-01T00:00:00Z"}`:         "",
		`{"id": 1}`: "", `no JSON`: "",
	} {
		row, err := s.Current(t.Context(), &documents(cur, body)[0])
		if err != nil || (row == nil) != (want == "") || !strings.Contains(string(row), want) {
			t.Errorf("%s: %s, %v", body, row, err)
		}
	}
}
