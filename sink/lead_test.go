package sink

import (
	"testing"
	"time"
)

func TestLeadershipMoves(t *testing.T) {
	inWorld(t, options{nodes: 3, rows: 10}, func(t *testing.T, w *world) {
		w.do(func() { w.pg.slow = 5 * time.Millisecond })
		for i := range 60 {
			w.lead(i % 3)
			w.publish(40)
			w.pass(time.Duration(10+i*7%90) * time.Millisecond)
		}
		w.stores(t)
		for _, n := range w.nodes {
			if n.told == 0 {
				t.Errorf("node %d led and stored nothing", n.number)
			}
		}
		if w.said("another node stores the stream now") == 0 {
			t.Error("nobody said that it no longer stores")
		}
	})
}

// Nobody writes who does not lead.
func TestOnlyTheLeaderWrites(t *testing.T) {
	inWorld(t, options{nodes: 2}, func(t *testing.T, w *world) {
		w.lead()
		w.publish(10)
		w.pass(10 * time.Second)
		if len(w.pg.rows) > 0 || w.stream.resets > 0 {
			t.Error("a sink worked without leading")
		}
		w.lead(1)
		w.stores(t)
		w.publish(10)
		w.stores(t)
		if w.nodes[0].told != 0 || w.nodes[1].told == 0 {
			t.Errorf("batches by node: %d, %d; want only the second's", w.nodes[0].told, w.nodes[1].told)
		}
		w.lead(0)
		w.pass(3 * time.Second) // an idle sink looks within two
		if w.said("another node stores the stream now") != 1 {
			t.Error("an idle sink did not notice that it no longer leads")
		}
		before := w.nodes[1].told
		w.publish(10)
		w.stores(t)
		w.publish(10)
		w.stores(t)
		if w.nodes[1].told != before || w.nodes[0].told == 0 {
			t.Error("the node that led before goes on storing")
		}
	})
}

// Two nodes believe that they lead, and share one consumer: wasteful, not
// wrong.
func TestTwoAtOnce(t *testing.T) {
	for name, slow := range map[string]time.Duration{"fast": 0, "slow": 40 * time.Millisecond} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, options{nodes: 2, rows: 8}, func(t *testing.T, w *world) {
				w.lead(0, 1)
				w.do(func() { w.pg.slow = slow })
				for range 40 {
					w.publish(5)
					w.pass(50 * time.Millisecond)
				}
				w.pass(5 * time.Second)
				w.lead(1)
				w.stores(t)
				if n := len(w.pg.row("incarnation 1").stored); n != 200 {
					t.Errorf("%d rows, want 200", n)
				}
			})
		})
	}
}

// The node that lost the lead still has a batch in hand.
func TestLateBatchOfAnEarlierLeader(t *testing.T) {
	inWorld(t, options{nodes: 2}, func(t *testing.T, w *world) {
		w.publish(5)
		w.stores(t)
		w.meet(ghost)
		w.publish(5)
		w.pass(10 * time.Millisecond)
		w.lead(1)
		w.publish(5)
		w.stores(t)
	})
}

// Shutdown lets the commit in progress finish, and says so by returning.
func TestStopFinishesTheBatch(t *testing.T) {
	inWorld(t, options{}, func(t *testing.T, w *world) {
		w.publish(5)
		w.stores(t)
		w.do(func() { w.pg.slow = 2 * time.Second })
		w.publish(10)
		w.pass(100 * time.Millisecond)
		told := time.Now()
		w.stop()
		if took := time.Since(told); took > finishTime || took < time.Second {
			t.Errorf("stopped after %v, want what the commit took", took)
		}
		if !w.caughtUp() {
			t.Error("the batch in hand was given up")
		}
	})
}

// What hangs does not keep the process from ending.
func TestStopWhileTheCommitHangs(t *testing.T) {
	inWorld(t, options{}, func(t *testing.T, w *world) {
		w.publish(5)
		w.stores(t)
		w.meet(hangs)
		w.publish(10)
		w.pass(100 * time.Millisecond)
		told := time.Now()
		w.stop()
		if took := time.Since(told); took > 5100*time.Millisecond {
			t.Errorf("stopped after %v, want at most five seconds", took)
		}
		w.do(func() { w.stream.let = w.stream.letAll() }) // they are in the stream, for the next start
	})
}

// A sink stops from every state in which it waits.
func TestStopWhileWaiting(t *testing.T) {
	for name, trouble := range map[string]func(w *world){
		"idle":       func(*world) {},
		"not leader": func(w *world) { w.lead() },
		"outage":     func(w *world) { w.outage(true) },
		"paused":     func(w *world) { w.meet(setup, setup); w.publish(1) },
		"electing":   func(w *world) { w.do(func() { w.stream.electing = true; w.breakPulls() }) },
	} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, options{}, func(t *testing.T, w *world) {
				w.stores(t)
				trouble(w)
				w.pass(3300 * time.Millisecond)
				told := time.Now()
				w.stop()
				if took := time.Since(told); took > 100*time.Millisecond {
					t.Errorf("stopped after %v", took)
				}
				w.do(func() { w.stream.let = w.stream.letAll() })
			})
		})
	}
}
