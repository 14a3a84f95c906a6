package drill

import (
	"context"
	"flag"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"
)

// The lane of faults takes so long, and repeats what a seed had happen.
var (
	faultsFor  = flag.Duration("faults-for", 3*time.Minute, "how long the lane `faults` has rounds of several faults happen")
	faultsSeed = flag.Uint64("faults-seed", 0, "the `seed` of the lane's rounds; 0: a fresh one")
)

// faultsLane has every fault of processes, clients and streams happen for as
// long as it ever does, and then rounds of several at once.
func faultsLane(t *testing.T) {
	all := slices.Concat(killFaults(), termFaults(), stopFaults(), clientFaults(), streamFaults())
	t.Run("each", func(t *testing.T) {
		s := newTestSite(t)
		acts := actsOf(t, all)
		for i := range acts {
			acts[i].Hold = acts[i].Fault.Hold[1]
		}
		s.suffer(within(t, 15*time.Minute), acts...)
	})
	t.Run("rounds", func(t *testing.T) {
		s := newTestSite(t)
		seed := *faultsSeed
		if seed == 0 {
			seed = uint64(rand.Uint32())
		}
		t.Logf("-faults-seed %d", seed)
		plan, ctx := NewPlan(seed, all), within(t, *faultsFor+5*time.Minute)
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

// round has the faults of a round happen together, and waits until all has
// recovered.
func (s *testSite) round(ctx context.Context, r Round) error {
	s.r.t.Logf("round %d: %s", r.Number, r)
	var g errgroup.Group
	for _, act := range r.Acts {
		g.Go(func() error {
			pause(ctx, act.After)
			if err := act.Fault.Inflict(ctx, s.Site, act); err != nil {
				return fmt.Errorf("round %d, %s with seed %d: %w", r.Number, act.Fault.Name, act.Seed, err)
			}
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		return err
	}
	began := time.Now()
	if err := s.recovered(ctx); err != nil {
		return fmt.Errorf("round %d, %s: %w", r.Number, r, err)
	}
	s.r.t.Logf("round %d: recovered after %s", r.Number, seconds(time.Since(began)))
	return nil
}
