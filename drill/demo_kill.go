package drill

import (
	"context"
	"errors"
	"fmt"
	"time"

	"golang.org/x/sync/errgroup"
)

// Publishers that wait at each door. There must be enough of them to keep the
// rate while each waits for fsyncs on two nodes.
const (
	httpPublishers = 128
	natsPublishers = 512
)

// publishAndKill publishes everything through both doors and, in the middle,
// kills the victim and starts it again.
func (d *demo) publishAndKill(ctx context.Context, victim string) error {
	http := d.cluster.HTTPDoor(httpPublishers)
	defer http.Close()
	client, err := d.cluster.NATSDoor()
	if err != nil {
		return err
	}
	defer client.Close()
	run := runName()
	load := Load{
		Messages: d.Messages, Rate: d.Rate, Patience: publishPatience,
		Ways: []Way{
			{Door: http, Publishers: httpPublishers, Compose: compose(run, "http")},
			{Door: client, Publishers: natsPublishers, Compose: compose(run, "nats")},
		},
	}
	d.n.say("publishing %d messages at %.0f/s, half through HTTP, half through the NATS client port", d.Messages, d.Rate)

	g, gctx := errgroup.WithContext(ctx)
	over, stopLooking := context.WithCancel(gctx)
	defer stopLooking()
	var before Tally
	g.Go(func() error {
		defer stopLooking()
		story, storyCtx := errgroup.WithContext(gctx)
		story.Go(func() error { return load.Run(storyCtx, d.ledger) })
		story.Go(func() error {
			var err error
			before, err = d.killAndRestart(storyCtx, victim)
			return err
		})
		return story.Wait()
	})
	g.Go(func() error { return d.look(over) })
	if err := g.Wait(); err != nil {
		return err
	}
	t := d.ledger.Tally()
	d.n.say("published: %d acknowledged, %d before the kill and %d after it", t.Acked, before.Acked, t.Acked-before.Acked)
	return nil
}

// look shows progress, and fails when a node ends that nobody ended.
func (d *demo) look(ctx context.Context) error {
	err := poll(ctx, 200*time.Millisecond, func(ctx context.Context) (bool, error) {
		t := d.ledger.Tally()
		stored, _, err := d.watch.Cursor(ctx, Stream)
		if err == nil {
			d.n.show("          %d acknowledged · %d stored · %d to go", t.Acked, stored, d.Messages-t.Settled)
		}
		return false, d.cluster.Fallen()
	})
	if ctx.Err() != nil {
		return nil // the story is over
	}
	return err
}

// killAndRestart waits for the middle of the run, kills, watches who takes
// over, and starts the victim again when the others have shown that they can
// do without. It returns the tally at the kill.
func (d *demo) killAndRestart(ctx context.Context, victim string) (Tally, error) {
	if err := d.awaitSettled(ctx, d.Messages/2); err != nil {
		return Tally{}, err
	}
	// Leaders may have moved by themselves since.
	lead, cancel := context.WithTimeoutCause(ctx, leaderDeadline, fmt.Errorf("not so after %s", leaderDeadline))
	defer cancel()
	if err := LeadBoth(lead, d.nc, Stream, victim); err != nil {
		return Tally{}, err
	}
	stored, _, err := d.watch.Cursor(ctx, Stream)
	if err != nil {
		return Tally{}, err
	}
	pid, before := d.cluster.PID(victim), d.ledger.Tally()
	d.n.say("%d acknowledged, %d stored; %s leads and stores: kill -9 %d", before.Acked, stored, victim, pid)
	killed := time.Now()
	how, err := d.cluster.Kill(ctx, victim)
	if err != nil {
		return before, err
	}
	d.n.say("%s ended: %s", victim, how)
	if err := d.watchTakeover(ctx, victim, killed); err != nil {
		return before, err
	}
	if err := d.awaitSettled(ctx, d.Messages*3/4); err != nil {
		return before, err
	}
	return before, d.restart(ctx, victim)
}

// watchTakeover tells who leads and stores after the victim, and when the
// first row came. What the victim had committed may still appear just after
// its death; rows count from when another has taken over.
func (d *demo) watchTakeover(ctx context.Context, victim string, killed time.Time) error {
	ctx, cancel := context.WithTimeoutCause(ctx, takeoverDeadline, fmt.Errorf("not so after %s", takeoverDeadline))
	defer cancel()
	now, err := AwaitLeaders(ctx, d.nc, Stream, func(l Leaders) bool { return l.Stream != victim && l.Consumer != victim })
	if err != nil {
		return err
	}
	d.n.say("%s leads the stream, %s stores: %s after the kill", now.Stream, now.Consumer, seconds(time.Since(killed)))
	at, _, err := d.watch.Cursor(ctx, Stream)
	if err != nil {
		return err
	}
	var trouble error
	moved := false
	err = poll(ctx, 5*time.Millisecond, func(ctx context.Context) (bool, error) {
		t := d.ledger.Tally()
		seq, _, err := d.watch.Cursor(ctx, Stream)
		trouble, moved = err, seq > at
		// In a short run there may be nothing left to store.
		return err == nil && (moved || t.Settled == d.Messages && seq >= t.LastSeq), nil
	})
	if err != nil {
		return fmt.Errorf("wait for rows after the kill: %w", errors.Join(err, trouble))
	}
	if !moved {
		d.n.say("nothing was left to store")
		return nil
	}
	d.n.say("new rows in Postgres: %s after the kill", seconds(time.Since(killed)))
	return nil
}

// restart starts the victim again and waits until it can acknowledge.
func (d *demo) restart(ctx context.Context, victim string) error {
	began := time.Now()
	if err := d.cluster.Start(victim); err != nil {
		return err
	}
	d.n.say("%s is started again, as process %d", victim, d.cluster.PID(victim))
	ctx, cancel := context.WithTimeoutCause(ctx, upDeadline, fmt.Errorf("not there after %s", upDeadline))
	defer cancel()
	if err := d.cluster.AwaitReady(ctx, victim); err != nil {
		return err
	}
	d.n.say("%s is ready again after %s", victim, seconds(time.Since(began)))
	return nil
}

// awaitSettled waits until n messages are acknowledged or given up.
func (d *demo) awaitSettled(ctx context.Context, n int) error {
	return poll(ctx, 5*time.Millisecond, func(context.Context) (bool, error) {
		return d.ledger.Tally().Settled >= n, nil
	})
}
