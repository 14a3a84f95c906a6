package sink

import (
	"testing"
	"time"
)

// Postgres goes back to a backup while nothing is published: only the idle
// sink's look at the cursor can notice.
func TestRestoredWhileIdle(t *testing.T) {
	inWorld(t, options{}, func(t *testing.T, w *world) {
		w.publish(10)
		w.stores(t)
		backup := w.snapshot()
		w.publish(20)
		w.stores(t)
		w.pass(10 * time.Second)
		w.restore(backup)
		restored := time.Now()
		w.stores(t)
		if took := time.Since(restored); took > 2*idlePoll {
			t.Errorf("refilled after %v", took)
		}
		if n := len(w.pg.row("incarnation 1").stored); n != 30 {
			t.Errorf("%d rows, want 30", n)
		}
	})
}

// The stream is busy, so that no idle look comes about: the fence tells.
func TestRestoredWhileBusy(t *testing.T) {
	inWorld(t, options{}, func(t *testing.T, w *world) {
		w.publish(10)
		w.stores(t)
		backup := w.snapshot()
		for i := range 200 {
			w.publish(3)
			if i == 100 {
				w.restore(backup)
			}
			w.pass(10 * time.Millisecond)
			if i == 150 {
				w.do(func() {
					if at := w.pg.rows[0].cursor.Seq; at+10 < w.stream.last {
						t.Errorf("half a second after the restore the cursor is at %d of %d", at, w.stream.last)
					}
				})
			}
		}
		w.stores(t)
		if n := len(w.pg.row("incarnation 1").stored); n != 610 {
			t.Errorf("%d rows, want 610", n)
		}
	})
}

// A backup of before Postgres knew the stream, and a new, empty database.
func TestRestoredToBeforeTheStream(t *testing.T) {
	for name, busy := range map[string]int{"idle": 0, "busy": 2} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, options{}, func(t *testing.T, w *world) {
				w.publish(25)
				w.stores(t)
				w.restore(nil)
				for range 100 {
					w.publish(busy)
					w.pass(20 * time.Millisecond)
				}
				w.stores(t)
			})
		})
	}
}

// The backup is older than what the stream still holds: what is gone is a
// gap, said loudly, and the rest is refilled.
func TestRestoredBeyondTheReplayWindow(t *testing.T) {
	inWorld(t, options{replayWindow: 20 * time.Second}, func(t *testing.T, w *world) {
		w.publish(10)
		w.stores(t)
		backup := w.snapshot()
		w.publish(10)
		w.stores(t)
		w.pass(time.Minute)
		w.publish(10)
		w.stores(t)
		w.do(func() {
			if w.stream.first() != 20 {
				t.Errorf("the stream begins at %d, want 20: all but the message at the cursor is older than the window", w.stream.first())
			}
		})
		w.restore(backup)
		w.stores(t)
		if gaps := w.pg.row("incarnation 1").gaps; len(gaps) != 1 || gaps[0] != (span{11, 19}) {
			t.Errorf("gaps %v, want one of 11 to 19", gaps)
		}
	})
}
