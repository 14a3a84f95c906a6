package sink

import (
	"slices"
	"testing"
	"time"
)

func TestStoresInOrder(t *testing.T) {
	inWorld(t, options{}, func(t *testing.T, w *world) {
		w.stores(t)
		for range 20 {
			w.publish(7)
			w.pass(30 * time.Millisecond)
		}
		w.stores(t)
		row := w.pg.row("incarnation 1")
		if row.cursor.Seq != 140 || len(row.stored) != 140 || row.start != 1 {
			t.Errorf("cursor %d, %d rows from %d on; want 140, 140, 1", row.cursor.Seq, len(row.stored), row.start)
		}
		if got, want := row.cursor.Last, w.stream.held[139].Fingerprint(); !got.Equal(want) {
			t.Errorf("fingerprint %v, want %v", got, want)
		}
		if w.loud() > 0 || w.said("this node stores the stream now") != 1 || w.stream.resets != 1 {
			t.Errorf("log %v, %d resets; want one quiet activation", w.log, w.stream.resets)
		}
		if w.nodes[0].told == 0 {
			t.Error("nobody was told of a committed batch")
		}
	})
}

// A message is in Postgres as soon as a commit allows; nothing lingers.
func TestStoresAtOnce(t *testing.T) {
	inWorld(t, options{}, func(t *testing.T, w *world) {
		w.stores(t)
		w.pass(123 * time.Millisecond)
		w.publish(1)
		w.pass(3 * hop)
		w.do(func() {
			if !w.caughtUp() {
				t.Error("the message was not stored in the time of one commit")
			}
		})
	})
}

func TestBatchesGrowWhileACommitIsSlow(t *testing.T) {
	inWorld(t, options{}, func(t *testing.T, w *world) {
		w.stores(t)
		w.do(func() { w.pg.slow = 500 * time.Millisecond })
		before := w.nodes[0].told
		for range 1000 {
			w.publish(1)
			w.pass(time.Millisecond)
		}
		w.stores(t)
		if batches := w.nodes[0].told - before; batches < 2 || batches > 4 {
			t.Errorf("1000 messages in a second of half-second commits took %d batches, want 2 to 4", batches)
		}
	})
}

func TestBacklogGoesInFullBatches(t *testing.T) {
	inWorld(t, options{}, func(t *testing.T, w *world) {
		w.stores(t)
		w.do(func() { w.pg.slow = 100 * time.Millisecond })
		before := w.nodes[0].told
		w.publish(3*maxRows + 1)
		w.stores(t)
		if batches := w.nodes[0].told - before; batches < 4 || batches > 5 {
			t.Errorf("%d messages took %d batches, want 4 or 5", 3*maxRows+1, batches)
		}
	})
}

// The sink must not take a message that comes right when it looks whether it
// has missed any for a stalled consumer's.
func TestSlowHeartbeatIsNoTrouble(t *testing.T) {
	inWorld(t, options{}, func(t *testing.T, w *world) {
		w.stores(t)
		for i := range 100 {
			w.publish(1)
			w.pass(idlePoll - hop + time.Duration(i)*100*time.Microsecond)
		}
		w.stores(t)
		if w.loud() > 0 {
			t.Errorf("a message about every %v is trouble: %v", idlePoll, w.log)
		}
	})
}

func TestOutage(t *testing.T) {
	inWorld(t, options{}, func(t *testing.T, w *world) {
		w.publish(10)
		w.stores(t)
		w.outage(true)
		w.publish(100)
		w.pass(time.Minute)
		w.publish(100)
		if n := w.said("not storing now; messages are kept in the stream"); n != 1 {
			t.Errorf("the outage was said %d times, want once", n)
		}
		tries := w.said("still not storing")
		if tries < 20 || tries > 80 {
			t.Errorf("%d tries in a minute, want them between %v and %v apart", tries, minBackoff, maxBackoff)
		}
		if w.said("storing again") != 0 {
			t.Error("the outage ended early in the log")
		}
		w.outage(false)
		back := time.Now()
		w.stores(t)
		if took := time.Since(back); took > maxBackoff*3/2+100*time.Millisecond {
			t.Errorf("storing again took %v", took)
		}
		if n := w.said("storing again"); n != 1 {
			t.Errorf("the end was said %d times, want once", n)
		}
		w.outage(true)
		w.pass(3 * time.Second) // an idle sink looks within two
		again := w.said("still not storing")
		w.pass(10 * time.Second)
		if n := w.said("still not storing"); again-tries < 3 || n-again > 12 {
			t.Errorf("%d tries at first, %d in the ten seconds behind: the pauses did not start small", again-tries, n-again)
		}
		w.outage(false)
		w.stores(t)
		w.until(t, "second end of outage", func() bool { return w.log[len(w.log)-1].message == "storing again" })
		if n := w.said("not storing now; messages are kept in the stream"); n != 2 {
			t.Errorf("two outages were said %d times", n)
		}
	})
}

func TestPostgresAbsentAtStart(t *testing.T) {
	inWorld(t, options{}, func(t *testing.T, w *world) {
		w.outage(true)
		w.publish(50)
		w.pass(time.Minute)
		w.outage(false)
		w.stores(t)
	})
}

// What a transaction may meet, at each of the first ones of a sink and in
// the middle of the flow.
func TestTransactionFails(t *testing.T) {
	for name, bad := range map[string]fault{"refused": refused, "answer lost": lost, "ghost": ghost, "late": late, "setup": setup} {
		for _, before := range []int{0, 1, 2, 5} {
			t.Run(name, func(t *testing.T) {
				inWorld(t, options{rows: 10}, func(t *testing.T, w *world) {
					w.meet(append(slices.Repeat([]fault{fine}, before), bad)...)
					w.publish(100)
					w.stores(t)
					w.meet(bad, bad)
					w.publish(1)
					w.stores(t)
				})
			})
		}
	}
}

func TestSetupPauses(t *testing.T) {
	inWorld(t, options{nodes: 2}, func(t *testing.T, w *world) {
		const paused = "the stream is paused until the set-up is mended; messages are kept"
		w.publish(5)
		w.stores(t)
		w.meet(setup, setup, setup, setup)
		w.publish(5)
		w.pass(3*pause + pause/2) // four refusals, at 0, 10, 20 and 30 seconds
		w.do(func() {
			if w.caughtUp() || len(w.pg.fault) > 0 {
				t.Errorf("after %v: caught up %v, %d refusals left", 3*pause+pause/2, w.caughtUp(), len(w.pg.fault))
			}
		})
		if n := w.said(paused); n != 1 {
			t.Errorf("the pause was said %d times, want once", n)
		}
		w.pass(pause)
		w.do(func() {
			if !w.caughtUp() {
				t.Error("not resumed though the set-up is mended")
			}
		})
		if n := w.said("storing again"); n != 1 {
			t.Errorf("the end was said %d times, want once", n)
		}
		if len(w.nodes[0].steps) > 0 {
			t.Error("a set-up that is wrong everywhere was handed to another node")
		}
	})
}

func TestTooSlowHalvesThenGrows(t *testing.T) {
	inWorld(t, options{rows: 4096}, func(t *testing.T, w *world) {
		w.stores(t)
		w.do(func() { w.pg.most = 100 })
		w.publish(1000)
		w.until(t, "first small batch", func() bool { return w.pg.rows[0].cursor.Seq > 0 })
		if n := w.said("the batch took too long; trying a smaller one"); n < 6 {
			t.Errorf("4096 rows were halved %d times to fit 100", n)
		}
		w.do(func() { w.pg.most = 0 })
		w.stores(t)
		w.do(func() { w.pg.slow = 50 * time.Millisecond })
		before := w.nodes[0].told
		for range 20 {
			w.publish(100)
			w.pass(10 * time.Millisecond)
		}
		w.publish(4096)
		w.stores(t)
		if w.nodes[0].sink.limit.now != 4096 {
			t.Errorf("the limit stays at %d", w.nodes[0].sink.limit.now)
		}
		if batches := w.nodes[0].told - before; batches > 12 {
			t.Errorf("%d batches: they did not grow again", batches)
		}
	})
}

func TestStalledConsumerIsReopened(t *testing.T) {
	inWorld(t, options{}, func(t *testing.T, w *world) {
		w.publish(10)
		w.stores(t)
		w.do(func() { w.stream.stalled = true })
		w.publish(10)
		stalled := time.Now()
		w.stores(t)
		if took := time.Since(stalled); took > 3*idlePoll {
			t.Errorf("reopened after %v", took)
		}
	})
}

func TestBrokenPullsAreReopened(t *testing.T) {
	inWorld(t, options{rows: 3}, func(t *testing.T, w *world) {
		for range 20 {
			w.publish(10)
			w.pass(time.Millisecond)
			w.do(w.breakPulls)
			w.publish(1)
			w.pass(50 * time.Millisecond)
		}
		w.stores(t)
	})
}
