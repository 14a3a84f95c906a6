package store

import (
	"context"
	"errors"
	"testing"

	"golang.org/x/sync/errgroup"

	"landfall/message"
)

func TestFenceRefusesAnotherPlace(t *testing.T) {
	t.Parallel()
	bothWays(t, func(t *testing.T, d *database) {
		s, cur := d.stream()
		cur = d.write(s, cur, run(cur, 5)).Cursor
		for name, wrong := range map[string]message.Cursor{
			"before": {StreamID: cur.StreamID, Seq: 4},
			"start":  {StreamID: cur.StreamID},
			"behind": {StreamID: cur.StreamID, Seq: 6},
			"gone":   {StreamID: cur.StreamID + 1, Seq: 5},
		} {
			poisoned := run(wrong, 3, func(i int, m *message.Message) {
				m.Header["X"] = []string{"\x00"}
			})
			for _, ms := range [][]message.Message{run(wrong, 3), poisoned} {
				if _, err := s.Write(t.Context(), wrong, batchOf(s, ms)); !errors.Is(err, message.ErrMoved) {
					t.Errorf("%s: %v", name, err)
				}
			}
		}
		if w := d.world(cur.StreamID); w.Cursor != 5 || len(w.Rows) != 5 {
			t.Errorf("%+v", w)
		}
		d.write(s, cur, run(cur, 1))
	})
}

// The fence alone keeps the rows single, not the table's keys: a user's
// trigger moves the rows on to a table without any.
func TestRacingSinksStoreOnce(t *testing.T) {
	t.Parallel()
	bothWays(t, func(t *testing.T, d *database) {
		d.exec(`CREATE TABLE archive (stream_id bigint, seq bigint);
		CREATE FUNCTION archive() RETURNS trigger LANGUAGE plpgsql AS $$
		BEGIN
			INSERT INTO archive SELECT stream_id, seq FROM fresh;
			DELETE FROM messages m USING fresh f WHERE m.stream_id = f.stream_id AND m.seq = f.seq;
			RETURN NULL;
		END $$;
		CREATE TRIGGER archive AFTER INSERT ON messages REFERENCING NEW TABLE AS fresh EXECUTE FUNCTION archive()`)
		const writers, last = 6, 1500
		first, start := d.stream()
		streams := []*Stream{first}
		for i := 1; i < writers; i++ {
			streams = append(streams, d.node([]string{"n1", "n2"}[i%2]).Stream("S"))
		}
		var refused, stored [writers]int
		g, ctx := errgroup.WithContext(t.Context())
		for i, s := range streams {
			g.Go(func() error {
				cur, _, err := s.Find(ctx, start.Incarnation)
				for err == nil && cur.Seq < last {
					var out message.Outcome
					out, err = s.Write(ctx, cur, batchOf(s, run(cur, 1+int(cur.Seq)%20)))
					cur = out.Cursor
					if errors.Is(err, message.ErrMoved) {
						refused[i]++
						cur, _, err = s.Find(ctx, start.Incarnation)
					} else {
						stored[i]++
					}
				}
				return err
			})
		}
		if err := g.Wait(); err != nil {
			t.Fatal(err)
		}
		t.Log("refused", refused, "stored", stored)
		total, distinct, end := one[int64](d, `SELECT count(*) FROM archive`), one[int64](d, `SELECT count(DISTINCT seq) FROM archive`),
			one[int64](d, `SELECT last_seq FROM landfall.streams`)
		if total != distinct || total != end {
			t.Errorf("%d rows of %d messages, the cursor is at %d", total, distinct, end)
		}
	})
}

// Between its fence and its COMMIT a sink is alone.
func TestFenceHoldsUntilCommit(t *testing.T) {
	t.Parallel()
	bothWays(t, func(t *testing.T, d *database) {
		g := d.newGate("n1", beforeRows)
		slow, cur := d.stream()
		quick := d.node("n2").Stream("S")
		if _, found, err := quick.Find(t.Context(), cur.Incarnation); err != nil || !found {
			t.Fatal(found, err)
		}
		g.shut()
		_, slowResult := started(t, func() error {
			_, err := slow.Write(t.Context(), cur, batchOf(slow, run(cur, 3)))
			return err
		})
		pid := g.awaitOne()
		// Other rows than the slow one's, so that no key of the table could help.
		ended, quickResult := started(t, func() error {
			_, err := quick.Write(t.Context(), cur, batchOf(quick, run(message.Cursor{Seq: 3}, 3)))
			return err
		})
		if !d.blockedBy(pid, ended) {
			t.Error("a second sink got past the fence")
		}
		g.lift()
		if err := slowResult(); err != nil {
			t.Error(err)
		}
		if err := quickResult(); !errors.Is(err, message.ErrMoved) {
			t.Error(err)
		}
		if w := d.world(cur.StreamID); w.Cursor != 3 || len(w.Rows) != 3 {
			t.Errorf("%+v", w)
		}
	})
}

// A batch whose context ends in the middle is stored whole or not at all: one
// that takes several round trips is not; what was sent in one piece is, unless
// the cancellation comes first. The stream goes on afterwards.
func TestWriteEndsWithItsContext(t *testing.T) {
	t.Parallel()
	for name, rows := range map[string]int{"small": smallBatch, "COPY": smallBatch + 1} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := newDatabase(t)
			g := d.newGate("n1", beforeRows)
			s, cur := d.stream()
			cur = d.write(s, cur, run(cur, 1)).Cursor // prepares
			g.shut()
			ctx, cancel := context.WithCancel(t.Context())
			_, result := started(t, func() error {
				_, err := s.Write(ctx, cur, batchOf(s, run(cur, rows)))
				return err
			})
			g.awaitOne()
			cancel()
			if err := result(); !errors.Is(err, context.Canceled) {
				t.Error(err)
			}
			g.lift()
			again, found, err := s.Find(t.Context(), cur.Incarnation)
			if err != nil || !found {
				t.Fatal(found, err)
			}
			if whole := cur.Seq + uint64(rows); again.Seq != cur.Seq && (again.Seq != whole || rows > smallBatch) {
				t.Errorf("the cursor stands at %d", again.Seq)
			}
			last := d.write(s, again, run(again, 3)).Cursor
			if w := d.world(cur.StreamID); w.Cursor != last.Seq || len(w.Rows) != int(last.Seq) {
				t.Errorf("%+v", w)
			}
		})
	}
}
