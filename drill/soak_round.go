package drill

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
)

// round lets the faults of one round happen, waits until all has recovered,
// and enters how long that took.
func (k *soak) round(ctx context.Context, r Round) error {
	k.n.say("round %d: %s", r.Number, r)
	k.meter.begin()
	k.inflict(ctx, r)
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	healed := time.Now()
	took, err := k.recovery(ctx)
	if err != nil {
		return fmt.Errorf("round %d, %s: %w", r.Number, r, err)
	}
	publishing, storing := k.meter.end()
	if took > recoverLimit {
		k.site.Found("round %d (%s): it took %s to recover, %s are promised", r.Number, r, took.Round(time.Second), recoverLimit)
	}
	k.n.say("round %d: recovered %s after the last fault ended at %s; longest without an acknowledgement %s, without a row %s",
		r.Number, seconds(took), healed.Format("15:04:05"), seconds(publishing), seconds(storing))
	k.report.enter(r, took, publishing, storing)
	return nil
}

// inflict lets the faults happen at their times, and returns when all are undone.
// A fault that the drill could not have is said and counted; it says nothing
// about the cluster.
func (k *soak) inflict(ctx context.Context, r Round) {
	var g sync.WaitGroup
	for _, act := range r.Acts {
		g.Go(func() {
			pause(ctx, act.After)
			if ctx.Err() != nil {
				return
			}
			k.report.happens(act)
			if err := act.Fault.Inflict(ctx, k.site, act); err != nil && ctx.Err() == nil {
				k.n.say("  %s could not be had: %v", act.Fault.Name, err)
				k.report.failed(act, err)
			}
		})
	}
	g.Wait()
}

// recovery waits until a message published now through each of the nodes is a
// row: everything before it is one then, too.
func (k *soak) recovery(ctx context.Context) (time.Duration, error) {
	began := time.Now()
	ctx, cancel := context.WithTimeoutCause(ctx, hopeless, fmt.Errorf("nothing of it after %s", hopeless))
	defer cancel()
	g, gctx := errgroup.WithContext(ctx)
	for _, n := range k.site.Cluster.Addresses() {
		g.Go(func() error {
			if err := k.awaitNode(gctx, n.Name); err != nil {
				return err
			}
			return k.site.storedThrough(gctx, n.Name)
		})
	}
	if err := g.Wait(); err != nil {
		return 0, fmt.Errorf("wait for all to recover: %w", err)
	}
	return time.Since(began), nil
}

// awaitNode waits until a node is ready, however often it has to be started.
func (k *soak) awaitNode(ctx context.Context, node string) error {
	var last error
	err := poll(ctx, 50*time.Millisecond, func(ctx context.Context) (bool, error) {
		once, cancel := context.WithTimeout(ctx, time.Second)
		defer cancel()
		last = k.site.Cluster.AwaitReady(once, node)
		return last == nil, nil
	})
	if err != nil {
		return fmt.Errorf("%s: %w", node, errors.Join(err, last))
	}
	return nil
}
