package drill

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

func TestGateHolds(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g := NewGate()
		var inside, passed atomic.Int64
		ctx, cancel := context.WithCancel(t.Context())
		var publishers sync.WaitGroup
		for n := range 5 {
			publishers.Go(func() {
				for {
					leave, err := g.Pass(ctx)
					if err != nil {
						return
					}
					inside.Add(1)
					pause(ctx, time.Duration(n+1)*time.Second)
					inside.Add(-1)
					leave()
					leave() // is no harm
					passed.Add(1)
				}
			})
		}
		pause(t.Context(), 2500*time.Millisecond)
		first, err := g.Hold(t.Context())
		if err != nil || inside.Load() != 0 {
			t.Errorf("%d inside a gate that is held, %v", inside.Load(), err)
		}
		second, err := g.Hold(t.Context()) // another one, at the same time
		if err != nil {
			t.Error(err)
		}
		before := passed.Load()
		first()
		first() // is no harm either
		pause(t.Context(), time.Minute)
		if passed.Load() != before {
			t.Error("somebody passed while the second one held the gate")
		}
		second()
		synctest.Wait()
		if inside.Load() != 5 {
			t.Errorf("%d of 5 went on", inside.Load())
		}
		shut := g.Shut()
		if shut < time.Minute || shut > time.Minute+5*time.Second {
			t.Errorf("it was shut for %s", shut)
		}
		pause(t.Context(), time.Minute)
		if g.Shut() != shut {
			t.Error("an open gate counts as shut")
		}
		cancel()
		publishers.Wait()
	})
}

// Somebody inside does not come out: whoever would hold the gate gives up, and
// holds nobody.
func TestGateGivesUp(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g := NewGate()
		leave, err := g.Pass(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		short, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := g.Hold(short); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v", err)
		}
		again, err := g.Pass(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		again()
		leave()
		if release, err := g.Hold(t.Context()); err != nil {
			t.Error(err)
		} else {
			late, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			if _, err := g.Pass(late); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("got %v", err)
			}
			release()
		}
		if leave, err := (*Gate)(nil).Pass(t.Context()); err != nil || leave == nil {
			t.Errorf("no gate is no open gate: %v", err)
		}
	})
}

// While the gate is held nothing is due, and afterwards there is no rush.
func TestLoadStandsStillWithItsGate(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		door, ledger, g := &recorder{takes: time.Millisecond, came: map[string]time.Time{}}, newLedger(t), NewGate()
		stop, began := make(chan struct{}), time.Now()
		load := Load{Rate: 100, Patience: time.Minute, Gate: g, Stop: stop,
			Ways: []Way{{Door: door, Publishers: 4, Compose: compose("r", "x")}}}
		over := make(chan error, 1)
		go func() { over <- load.Run(t.Context(), ledger) }()
		pause(t.Context(), 5*time.Second)
		release, err := g.Hold(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if tally := ledger.Tally(); tally.Offered != tally.Settled {
			t.Errorf("the gate is held with %+v", tally)
		}
		pause(t.Context(), time.Minute)
		release()
		pause(t.Context(), 5*time.Second)
		close(stop)
		if err := <-over; err != nil {
			t.Errorf("stopped: %v", err)
		}
		seen := map[time.Duration]bool{}
		entries := entriesOf(t, ledger)
		for _, e := range entries {
			due := e.Offered.Sub(began).Round(time.Millisecond)
			if due > 5*time.Second+20*time.Millisecond && due < 65*time.Second || seen[due] || e.Outcome != Acked {
				t.Errorf("%s was due at %s: %s", e.ID, due, e.Outcome)
			}
			seen[due] = true
		}
		if n := len(entries); n < 990 || n > 1001 {
			t.Errorf("%d messages in ten seconds at 100 a second", n)
		}
		if gap := longestGap(entries, time.Now()); gap > 10*time.Millisecond {
			t.Errorf("being held counts as a gap of %s", gap)
		}
	})
}

// What is under way when a load is stopped gets its answer.
func TestLoadSettlesWhenStopped(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		door, ledger, stop := &recorder{takes: 10 * time.Second, came: map[string]time.Time{}}, newLedger(t), make(chan struct{})
		load := Load{Rate: 100, Patience: time.Minute, Stop: stop, Ways: []Way{{Door: door, Publishers: 4, Compose: compose("r", "x")}}}
		time.AfterFunc(time.Second, func() { close(stop) })
		began := time.Now()
		if err := load.Run(t.Context(), ledger); err != nil || time.Since(began) < 10*time.Second {
			t.Errorf("ended after %s: %v", time.Since(began), err)
		}
		if tally := ledger.Tally(); tally.Acked != 4 || tally.Offered != 4 {
			t.Errorf("%+v", tally)
		}
	})
}
