package sink

import (
	"testing"
	"testing/synctest"
	"time"

	"landfall/message"
)

// The world itself notices what a sink must never do.
func TestWorldNotices(t *testing.T) {
	tests := map[string]func(w *world){
		"a row too many":   func(w *world) { w.pg.rows[0].stored[99] = record{Seq: 99} },
		"a row too few":    func(w *world) { delete(w.pg.rows[0].stored, 3) },
		"another message":  func(w *world) { w.pg.rows[0].stored[3] = w.pg.rows[0].stored[2] },
		"a gap over a row": func(w *world) { w.pg.rows[0].gaps = []span{{3, 4}} },
		"a gap twice": func(w *world) {
			delete(w.pg.rows[0].stored, 3)
			w.pg.rows[0].gaps = []span{{3, 3}, {3, 3}}
		},
		"a cursor too far":           func(w *world) { w.pg.rows[0].cursor.Seq++ },
		"a cursor not far enough":    func(w *world) { w.pg.rows[0].cursor.Seq-- },
		"an incarnation without end": func(w *world) { w.stream.reborn++ },
		"stored in two incarnations": func(w *world) {
			again := copyRows(w.pg.rows)[0]
			w.pg.rows = append(w.pg.rows, again)
		},
		"a purge of what is not stored": func(w *world) {
			w.pg.stored = map[key]time.Time{}
			w.pg.rows[0].stored = map[uint64]record{}
			_ = source{w.nodes[0], w.nodes[0].process}.Purge(w.ctx, 5)
		},
		"a purge within the replay window": func(w *world) {
			_ = source{w.nodes[0], w.nodes[0].process}.Purge(w.ctx, 5)
		},
		"a good message for a dead letter": func(w *world) { w.place(3, asDeadLetter, 0) },
		"a message for a repeat":           func(w *world) { w.place(3, asDuplicate, 1) },
		"a row that could be none": func(w *world) {
			k := keyOf(w.pg.rows[0].stored[3].Time)
			w.stream.ledger[k] = published{w.stream.ledger[k].Message, garbled}
		},
		"one id twice": func(w *world) {
			for seq, rec := range w.pg.rows[0].stored {
				rec.ID = "the same"
				w.pg.rows[0].stored[seq] = rec
			}
		},
		"an announcement of what is not stored": func(w *world) {
			w.nodes[0].committed(message.Outcome{Cursor: message.Cursor{Incarnation: w.stream.incarnation, Seq: 11}})
		},
		"a pull beyond the cursor": func(w *world) {
			_, _ = source{w.nodes[0], w.nodes[0].process}.Open(w.ctx, 12)
		},
		"a hand-over without need": func(w *world) {
			_ = source{w.nodes[0], w.nodes[0].process}.StepDown(w.ctx)
		},
		"a transaction long after the lead was lost": func(w *world) {
			w.lead()
			w.pass(time.Minute)
			n := w.nodes[0]
			cur := w.pg.rows[0].cursor
			_, _ = store{n, n.process}.RecordGap(w.ctx, cur, cur.Seq+1)
		},
	}
	for name, spoil := range tests {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(options{})
				defer w.stop()
				w.start()
				w.publish(10)
				w.stores(t)
				if problems := w.check(); len(problems) > 0 {
					t.Fatalf("all is well, but: %v", problems)
				}
				spoil(w)
				if len(w.check()) == 0 {
					t.Error("not noticed")
				}
			})
		})
	}
}

// place moves a message that is a row elsewhere.
func (w *world) place(seq uint64, to place, of uint64) {
	rec := w.pg.rows[0].stored[seq]
	rec.place, rec.of = to, of
	w.pg.rows[0].stored[seq] = rec
}
