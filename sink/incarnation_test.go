package sink

import (
	"slices"
	"testing"
	"time"

	"landfall/message"
)

const tailLost = "the stream's tail was lost, and its numbers are given out again"

func TestNewStreamOfTheSameName(t *testing.T) {
	for name, before := range map[string]int{"longer than the old one": 5, "shorter": 50} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, options{}, func(t *testing.T, w *world) {
				w.publish(before)
				w.stores(t)
				w.do(w.breakPulls)
				w.recreate()
				w.publish(20)
				w.stores(t)
				row := w.pg.row("incarnation 2")
				if row == nil || row.start != 1 || len(row.stored) != 20 || len(row.gaps) > 0 {
					t.Errorf("want 20 rows from 1 on:\n%s", w.describe())
				}
			})
		})
	}
}

// Postgres gets to know a stream that has let messages go already.
func TestNewStreamThatBeginsLater(t *testing.T) {
	for name, gone := range map[string]uint64{"some gone": 12, "all gone": 20} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, options{}, func(t *testing.T, w *world) {
				w.outage(true)
				w.publish(20)
				w.lose(every(gone)...)
				w.outage(false)
				w.stores(t)
				w.publish(1)
				w.stores(t)
				row := w.pg.row("incarnation 1")
				if row.start != 1 || !slices.Equal(row.gaps, []span{{1, gone}}) || len(row.stored) != 21-int(gone) {
					t.Errorf("want a gap of 1 to %d:\n%s", gone, w.describe())
				}
			})
		})
	}
}

// The stream's tail is lost and it grows again under the same numbers: less
// far, exactly as far and farther than the cursor.
func TestTailLost(t *testing.T) {
	tests := map[string]struct {
		keep    uint64 // of 30 messages
		grow    int
		trimmed uint64 // messages that the stream had let go before
		common  uint64
	}{
		"ends before the cursor":             {20, 0, 0, 20},
		"grown, still before the cursor":     {20, 5, 0, 20},
		"grown to the cursor":                {20, 10, 0, 20},
		"grown beyond the cursor":            {20, 25, 0, 20},
		"all lost":                           {0, 0, 0, 0},
		"all lost and grown":                 {0, 40, 0, 0},
		"all but the first":                  {1, 29, 0, 1},
		"only the last":                      {29, 1, 0, 29},
		"trimmed, common message held":       {25, 10, 22, 25},
		"trimmed, common part is gone":       {25, 10, 25, 25},
		"trimmed up to the cut, not grown":   {25, 0, 25, 25},
		"a microsecond apart, without an id": {21, 30, 0, 21},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			inWorld(t, options{rows: 7}, func(t *testing.T, w *world) {
				w.publish(30)
				w.stores(t)
				w.do(func() {
					for _, m := range w.stream.remove(0, int(tt.trimmed)) {
						w.stream.purged[keyOf(m.Time)] = true
					}
				})
				w.outage(true)
				w.cut(tt.keep)
				w.publish(tt.grow)
				w.outage(false)
				w.stores(t)
				w.publish(10)
				w.stores(t)
				old, row := w.pg.row("incarnation 1"), w.pg.row("incarnation 2")
				if len(old.stored) != 30 || row == nil || row.start != tt.common+1 || len(row.stored) != tt.grow+10 || len(row.gaps) > 0 {
					t.Errorf("want 30 rows, then %d from %d on:\n%s", tt.grow+10, tt.common+1, w.describe())
				}
				if w.said(tailLost) != 1 {
					t.Errorf("the loss was said %d times", w.said(tailLost))
				}
			})
		})
	}
}

// Nodes that look at the same time agree on one new incarnation.
func TestTailLostBeforeTheEyesOfAll(t *testing.T) {
	inWorld(t, options{nodes: 3, rows: 7}, func(t *testing.T, w *world) {
		w.lead(0, 1, 2)
		w.publish(30)
		w.stores(t)
		w.cut(12)
		w.publish(50)
		w.stores(t)
		if w.stream.births != 2 || len(w.pg.rows) != 2 {
			t.Errorf("want two incarnations:\n%s", w.describe())
		}
	})
}

// A transaction that fails while the new row is entered, and the one before
// it: whatever is asked next, nothing is skipped.
func TestTailLostAmongTrouble(t *testing.T) {
	for name, bad := range map[string]fault{"answer lost": lost, "ghost": ghost} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, options{}, func(t *testing.T, w *world) {
				w.publish(30)
				w.stores(t)
				w.meet(bad, bad)
				w.cut(20)
				w.publish(20)
				w.stores(t)
				if row := w.pg.row("incarnation 2"); row == nil || row.start != 21 {
					t.Errorf("want a new incarnation from 21 on:\n%s", w.describe())
				}
			})
		})
	}
}

// Behind a gap at the stream's end there is no fingerprint: a message there
// is one that came after the stream lost its tail.
func TestTailLostBehindAGap(t *testing.T) {
	inWorld(t, options{}, func(t *testing.T, w *world) {
		w.publish(10)
		w.stores(t)
		w.do(func() { w.stream.stalled = true })
		w.publish(5)
		w.lose(14, 15)
		w.stores(t)
		w.outage(true)
		w.cut(13)
		w.publish(10)
		w.outage(false)
		w.stores(t)
		if row := w.pg.row("incarnation 2"); row == nil || row.start != 14 || len(row.stored) != 10 {
			t.Errorf("want 10 rows from 14 on under a new incarnation:\n%s", w.describe())
		}
	})
}

// The tail is lost under the feet of a session that goes on: its idle look
// notices, before the numbers reach the cursor again.
func TestTailLostUnnoticed(t *testing.T) {
	inWorld(t, options{}, func(t *testing.T, w *world) {
		w.publish(30)
		w.stores(t)
		w.do(func() {
			w.stream.cuts++
			w.letGo(w.stream.remove(20, 30))
			w.stream.last = 20
		})
		w.pass(3 * time.Second)
		w.publish(20)
		w.stores(t)
	})
}

// A paused leader tells of an end before the cursor: a question behind a
// quorum puts it right, and the stream keeps its incarnation.
func TestStaleStateIsNoLoss(t *testing.T) {
	inWorld(t, options{}, func(t *testing.T, w *world) {
		w.publish(10)
		var old message.Stream
		w.do(func() { old = w.stream.state() })
		w.publish(20)
		w.stores(t)
		w.do(func() {
			w.stream.old = &old
			w.breakPulls()
		})
		w.pass(5 * time.Second)
		w.publish(10)
		w.pass(5 * time.Second)
		w.do(func() {
			if !w.caughtUp() || w.stream.births != 1 {
				t.Errorf("want all of it under the one incarnation:\n%s", w.describe())
			}
			w.stream.old = nil
		})
	})
}

// The stream is made anew while Postgres takes its time to enter the old one.
func TestRecreatedWhileEntering(t *testing.T) {
	inWorld(t, options{}, func(t *testing.T, w *world) {
		w.do(func() { w.pg.slow = 3 * time.Second })
		w.pass(500 * time.Millisecond)
		w.elect()
		w.recreate()
		w.elected()
		w.publish(20)
		w.stores(t)
		if row := w.pg.row("incarnation 1"); row == nil || len(row.stored) > 0 {
			t.Errorf("want nothing under the old incarnation:\n%s", w.describe())
		}
	})
}

// The stream is made anew while a session is under way that has not noticed:
// the old one's cursor must not let the new one's messages go.
func TestRecreatedUnnoticed(t *testing.T) {
	inWorld(t, options{replayWindow: 20 * time.Second}, func(t *testing.T, w *world) {
		w.publish(30)
		w.stores(t)
		w.pass(19 * time.Second)
		w.do(func() { w.stream.stalled = true }) // its consumer is gone
		w.recreate()
		w.publish(100)
		w.stores(t)
		if row := w.pg.row("incarnation 2"); row == nil || len(row.stored) != 100 || len(row.gaps) > 0 {
			t.Errorf("want 100 rows under the new incarnation:\n%s", w.describe())
		}
	})
}

// What stands in Postgres under an earlier incarnation is not stored again,
// though Postgres hears of the new one late, never, or at a second cut.
func TestCommonPartIsStoredOnce(t *testing.T) {
	tests := map[string]func(t *testing.T, w *world){
		"the new incarnation cannot be entered at first": func(t *testing.T, w *world) {
			w.meet(refused)
			w.cut(20)
			w.publish(20)
		},
		"Postgres is restored to before the cut": func(t *testing.T, w *world) {
			backup := w.snapshot()
			w.cut(20)
			w.publish(20)
			w.stores(t)
			w.restore(backup)
		},
		"Postgres is restored to before the cut, and to less than is common": func(t *testing.T, w *world) {
			w.stores(t)
			backup := w.snapshot()
			w.publish(10)
			w.stores(t)
			w.cut(35)
			w.publish(20)
			w.stores(t)
			w.restore(backup)
		},
		"every message that is asked about is lost, and a repeat stands behind it": func(t *testing.T, w *world) {
			for range 20 {
				w.publish(1)
				w.publishSort(repeat, 2, 5)
			}
			w.stores(t)
			w.lose(31, 34, 37, 40, 43, 46, 49, 52, 55)
			w.cut(80)
		},
		"a second cut, below where the incarnation began": func(t *testing.T, w *world) {
			w.cut(20)
			w.publish(20)
			w.stores(t)
			w.cut(10)
			w.publish(40)
		},
	}
	for name, happens := range tests {
		t.Run(name, func(t *testing.T) {
			inWorld(t, options{rows: 7}, func(t *testing.T, w *world) {
				w.publish(30)
				w.stores(t)
				happens(t, w)
				w.stores(t)
				w.publish(5)
				w.stores(t)
			})
		})
	}
}
