package drill

import (
	"context"
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

// waysLane has every fault of the ways between the nodes, and between them and
// Postgres, happen for as long as it ever does, and then rounds of several at
// once, with nodes that are killed or frozen among them. It takes
// -faults-for and -faults-seed as the lane of faults does.
func waysLane(t *testing.T) {
	t.Run("each", func(t *testing.T) {
		s := newFarSite(t)
		acts := actsOf(t, s.can(t, slices.Concat(wireFaults(), netFaults())))
		for i := range acts {
			acts[i].Hold = acts[i].Fault.Hold[1]
		}
		s.suffer(within(t, 15*time.Minute), acts...)
		s.allHappened()
	})
	t.Run("rounds", func(t *testing.T) {
		s := newFarSite(t)
		seed := *faultsSeed
		if seed == 0 {
			seed = uint64(rand.Uint32())
		}
		t.Logf("-faults-seed %d", seed)
		plan := NewPlan(seed, slices.Concat(s.can(t, slices.Concat(wireFaults(), netFaults())), killFaults(), stopFaults()))
		ctx := within(t, *faultsFor+5*time.Minute)
		s.underLoad(ctx, 500, func(ctx context.Context) error {
			for end := time.Now().Add(*faultsFor); time.Now().Before(end); {
				if err := s.round(ctx, plan.Next()); err != nil {
					return err
				}
			}
			return nil
		})
		s.judge(ctx)
	})
}
