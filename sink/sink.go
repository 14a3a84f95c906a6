// Package sink is the flow from a stream to Postgres. On every node one Sink
// for each stream waits until its node leads the stream's consumer; then it
// reads the cursor from Postgres, points the consumer right behind it, and
// writes what comes, batch by batch, each with the cursor in one transaction.
//
// Nothing is acknowledged to NATS and nothing of importance is remembered
// here: whatever goes wrong, the session ends, and the next one starts from
// the cursor, on this node or another. Two sinks at once are merely wasteful,
// because the cursor is a fence.
//
// The decisions are small pure functions (place.go, sequence.go, trim.go,
// fitness.go); what they act upon are the two interfaces in seams.go.
package sink

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/cenkalti/backoff/v5"

	"landfall/cluster"
	"landfall/message"
)

// How often things are looked at, and how long they may take.
const (
	leadPoll   = 50 * time.Millisecond // whether this node leads, while it does not
	idlePoll   = 2 * time.Second       // the cursor, while nothing comes
	pause      = 10 * time.Second      // between tries while the set-up is wrong
	minBackoff = 100 * time.Millisecond
	maxBackoff = 2 * time.Second
	finishTime = 5 * time.Second // for the batch in hand, when told to stop
)

// Options are what a Sink works with.
type Options struct {
	Stream cluster.Stream
	Source Source
	Store  Store
	Log    *slog.Logger

	// Postgres tells whether this node reaches Postgres, and since when that
	// has been so. Elsewhere tells whether another node reports that it does.
	// Both are cheap and are asked about once a second. On a single node
	// Elsewhere is nil.
	Postgres  func() (reachable bool, since time.Time)
	Elsewhere func() bool

	// Keep is how long rows of the messages table stay; 0: for ever.
	Keep time.Duration

	// Observer is told what happens here; nil: nobody is.
	Observer Observer
}

// Sink stores one stream.
type Sink struct {
	Options
	limit    limit           // rows of a batch
	hole     hole            // what was missing when last looked for
	outage   outage          // what the log has been told
	aside    aside           // dead letters the log has not been told of
	progress progress        // for the watch over fitness
	sweeping sweeping        // of old rows
	backoff  backoff.BackOff // between sessions during an outage
}

// New makes a sink; Run starts it.
func New(o Options) *Sink {
	o.Log = o.Log.With("stream", o.Stream.Name)
	if o.Observer == nil {
		o.Observer = nobody{}
	}
	b := backoff.NewExponentialBackOff()
	b.InitialInterval, b.MaxInterval = minBackoff, maxBackoff
	return &Sink{Options: o, limit: limit{max: maxRows, now: maxRows}, backoff: b}
}

// Run stores the stream whenever this node leads its consumer, until ctx
// ends. The batch in hand is finished then, within finishTime. It returns
// only then, and always nil: there is no trouble that a sink does not outwait.
func (s *Sink) Run(ctx context.Context) error {
	work, cancel := outlast(ctx, finishTime)
	defer cancel()
	var watch sync.WaitGroup
	watch.Go(func() { s.watch(ctx) })
	defer watch.Wait()
	for ctx.Err() == nil {
		if !s.Source.Leads() {
			s.progress.idle()
			s.Observer.Passive()
			wait(ctx, leadPoll)
			continue
		}
		s.progress.busy()
		err := s.session(ctx, work)
		if ctx.Err() == nil {
			s.rest(ctx, s.settle(err), err)
		}
	}
	return nil
}

// settle decides how long to wait after a session, and tells the log.
func (s *Sink) settle(err error) time.Duration {
	var gap *holeError
	var setup *message.SetupError
	switch {
	case !s.Source.Leads():
		s.outage.handedOver(s.Log, err)
		return 0
	case errors.Is(err, errNotLeading):
		return 0
	case errors.Is(err, message.ErrMoved):
		s.Log.Info("the cursor moved without this sink; reading it again")
		return minBackoff
	case errors.As(err, &gap):
		s.Log.Warn("a sequence is missing; looking again", "missing", gap.missing, "came", gap.came)
		s.hole.seen(gap.missing, gap.came)
		return minBackoff
	case errors.Is(err, message.ErrTooSlow):
		s.limit.halve()
		s.progress.moved() // a smaller batch has a chance of its own here
		s.Log.Warn("the batch took too long; trying a smaller one", "rows", s.limit.now, "error", err)
		return minBackoff
	case errors.As(err, &setup):
		s.progress.paused()
		s.outage.pausedFor(s.Log, setup)
		s.Observer.Paused(setup)
		return pause
	}
	s.outage.began(s.Log, err)
	s.Observer.Failed(err)
	return s.backoff.NextBackOff()
}

// answered is called when Postgres did what it was asked to.
func (s *Sink) answered() {
	s.outage.ended(s.Log)
	s.Observer.Fine()
	s.aside.tell(s.Log)
	s.backoff.Reset()
}

// outlast returns a context that ends a while after ctx.
func outlast(ctx context.Context, d time.Duration) (context.Context, context.CancelFunc) {
	work, cancel := context.WithCancel(context.WithoutCancel(ctx))
	stop := context.AfterFunc(ctx, func() { time.AfterFunc(d, cancel) })
	return work, func() { stop(); cancel() }
}

// wait returns after d, or when ctx ends.
func wait(ctx context.Context, d time.Duration) {
	if d <= 0 {
		return
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}
