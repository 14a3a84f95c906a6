package sink

import (
	"testing"
	"testing/synctest"
	"time"
)

func TestUnfit(t *testing.T) {
	const s = time.Second
	tests := map[string]struct {
		is   situation
		want bool
	}{
		"all is well":                      {situation{true, time.Hour, true, 0, 0}, false},
		"work has come":                    {situation{true, time.Hour, true, 4 * s, 0}, false},
		"nothing moves":                    {situation{true, time.Hour, true, 5 * s, 0}, true},
		"nothing moves, nobody else known": {situation{true, time.Hour, false, 5 * s, 0}, true},
		"Postgres has just come back":      {situation{true, 4 * s, true, time.Hour, 0}, false},
		"Postgres has been back":           {situation{true, 5 * s, true, time.Hour, 0}, true},
		"away here":                        {situation{false, 10 * s, true, 0, 0}, true},
		"away here, just now":              {situation{false, 9 * s, true, time.Hour, 0}, false},
		"far behind":                       {situation{true, time.Hour, true, 0, 5 * s}, true},
		"far behind, just now":             {situation{true, time.Hour, true, 0, 4 * s}, false},
		"far behind, and Postgres away":    {situation{false, 5 * s, true, 0, time.Hour}, false},
		"away everywhere":                  {situation{false, time.Hour, false, time.Hour, 0}, false},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			if reason := unfit(tt.is); (reason != "") != tt.want {
				t.Errorf("reason %q, want one: %v", reason, tt.want)
			}
		})
	}
}

func TestProgress(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var p progress
		began := time.Now()
		p.busy()
		wait(t.Context(), time.Second)
		p.busy()
		if !p.since().Equal(began) {
			t.Errorf("waiting since %v, want the first call", p.since())
		}
		p.begun()
		if !p.since().IsZero() {
			t.Error("a batch is in hand, and that counts as waiting")
		}
		p.broken()
		p.begun()
		if !p.since().Equal(began) {
			t.Errorf("waiting since %v at the second try, want the first call", p.since())
		}
		for name, end := range map[string]func(){"moved": p.moved, "idle": p.idle, "paused": p.paused} {
			p.busy()
			end()
			if !p.since().IsZero() {
				t.Errorf("%s: still waiting", name)
			}
		}
	})
}

// A replica that catches up delivers no faster than it does: the sink goes to
// another node, and not for a moment's lag.
func TestHandsOverWhenFarBehind(t *testing.T) {
	inWorld(t, options{nodes: 2}, func(t *testing.T, w *world) {
		w.publish(5)
		w.stores(t)
		lag := func(n uint64, d time.Duration) {
			w.do(func() { w.nodes[0].behind, w.nodes[0].lagged = n, time.Now() })
			w.pass(d)
		}
		lag(farBehind, time.Minute)
		lag(farBehind+1, 3*time.Second)
		lag(0, 2*time.Second)
		if steps := w.nodes[0].steps; len(steps) > 0 {
			t.Errorf("handed over at %v", steps)
		}
		began := time.Now()
		lag(farBehind+1, 20*time.Second)
		if steps := w.nodes[0].steps; len(steps) != 1 || steps[0].Sub(began) > laggard+3*watchPoll {
			t.Errorf("behind since %v, handed over at %v", began, steps)
		}
	})
}

// Postgres is away here and not elsewhere: another node is to lead, and it is
// asked for once in a while, not all the time.
func TestHandsOverWhenCutOff(t *testing.T) {
	inWorld(t, options{nodes: 2}, func(t *testing.T, w *world) {
		w.publish(5)
		w.stores(t)
		cut := time.Now()
		w.nodes[0].isolate(true)
		w.publish(5)
		w.pass(95 * time.Second)
		steps := w.nodes[0].steps
		if len(steps) != 3 {
			t.Fatalf("handed over %d times in 95 s: %v", len(steps), steps)
		}
		if d := steps[0].Sub(cut); d < unreachable || d > unreachable+2*watchPoll {
			t.Errorf("handed over after %v", d)
		}
		for i := range steps[1:] {
			if d := steps[i+1].Sub(steps[i]); d < stepDownRate-watchPoll {
				t.Errorf("again after %v", d)
			}
		}
		w.lead(1)
		w.stores(t)
		if w.nodes[1].told == 0 || len(w.nodes[1].steps) > 0 {
			t.Error("the other node did not take over, or hands back")
		}
	})
}

func TestStaysWhenCutOffFromAPostgresThatIsAway(t *testing.T) {
	inWorld(t, options{nodes: 2}, func(t *testing.T, w *world) {
		w.publish(5)
		w.stores(t)
		w.outage(true)
		w.publish(5)
		w.pass(2 * time.Minute)
		if len(w.nodes[0].steps) > 0 {
			t.Error("handed over though no node reaches Postgres")
		}
		w.outage(false)
		w.stores(t)
		if len(w.nodes[0].steps) > 0 {
			t.Error("handed over right after an outage")
		}
	})
}

// Postgres answers, but this node's writes do not come back.
func TestHandsOverWhenNothingMoves(t *testing.T) {
	inWorld(t, options{nodes: 2}, func(t *testing.T, w *world) {
		w.publish(5)
		w.stores(t)
		w.pass(10 * time.Second)
		stuck := time.Now()
		w.meet(hangs, hangs, hangs)
		w.publish(5)
		w.until(t, "hand-over", func() bool { return len(w.nodes[0].steps) > 0 })
		if d := w.nodes[0].steps[0].Sub(stuck); d < deadline || d > deadline+2*watchPoll {
			t.Errorf("handed over after %v, want just after the first write was given up", d)
		}
		w.stores(t)
	})
}

// Batches that take long are still batches that move: handing over would only
// break them off.
func TestSlowBatchesStay(t *testing.T) {
	inWorld(t, options{nodes: 2}, func(t *testing.T, w *world) {
		w.publish(5)
		w.stores(t)
		w.do(func() { w.pg.slow = deadline - time.Second })
		for range 10 {
			w.publish(5)
			w.pass(5 * time.Second)
		}
		w.stores(t)
		if len(w.nodes[0].steps) > 0 {
			t.Errorf("handed over %d times", len(w.nodes[0].steps))
		}
	})
}

func TestIdleIsFit(t *testing.T) {
	inWorld(t, options{nodes: 2}, func(t *testing.T, w *world) {
		w.stores(t)
		w.pass(5 * time.Minute)
		if len(w.nodes[0].steps) > 0 || w.loud() > 0 {
			t.Errorf("an idle sink is uneasy: %v", w.log)
		}
	})
}

// A single node has nobody to hand over to.
func TestSingleNodeStays(t *testing.T) {
	inWorld(t, options{}, func(t *testing.T, w *world) {
		w.publish(5)
		w.stores(t)
		w.do(func() { w.pg.slow = 20 * time.Second })
		w.publish(5)
		w.pass(time.Minute)
		if len(w.nodes[0].steps) > 0 {
			t.Error("a single node stepped down")
		}
		w.do(func() { w.pg.slow = 0 })
		w.stores(t)
	})
}
