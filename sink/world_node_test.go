package sink

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"log/slog"
	"time"

	"github.com/cenkalti/backoff/v5"

	"landfall/cluster"
	"landfall/message"
)

// node is one process with a sink for the stream.
type node struct {
	*world
	number   int
	sink     *Sink           // of the process that runs now
	process  *process        // that one
	leads    bool            // believes to lead the consumer; several nodes may at once
	turned   time.Time       // when that last changed, or was in doubt
	paused   time.Time       // when Postgres last told this process that the set-up is wrong
	isolated bool            // does not reach Postgres
	reached  time.Time       // since when it does, or does not
	told     int             // batches reported as committed
	moved    time.Time       // when the last one that was delivered was, or the process began
	fetched  uint64          // the message that was last asked for by itself
	behind   uint64          // messages that its replica is still to get
	lagged   time.Time       // when that last changed
	steps    []time.Time     // when it asked to hand over
	missing  map[uint64]bool // sequences its replica has lost
	streak   streak          // of messages that Postgres refused alike
}

// process is a node from one start to the next end.
type process struct {
	end    context.CancelFunc // as SIGTERM does
	killed chan struct{}      // closed: as by SIGKILL
	done   chan struct{}
	last   time.Time // when it last asked to hand over
	stale  bool      // knows that the cursor is not what it had read
	open   bool      // has a pull
	inHand bool      // Postgres is at work on a batch that came through it
	failed bool      // such a batch has failed since one was stored
}

var errKilled = errors.New("the process was killed")

// newNode is a node that has not begun.
func (w *world) newNode(number int) *node {
	return &node{world: w, number: number, leads: number == 0, reached: time.Now(), missing: map[uint64]bool{}}
}

// newSink is the sink of a process p that is about to begin.
func (n *node) newSink(p *process) *Sink {
	opts := Options{
		Stream:   cluster.Stream{Name: "MESSAGES", ReplayWindow: n.options.replayWindow},
		Source:   source{n, p},
		Store:    store{n, p},
		Log:      slog.New(recorder{n.world}),
		Postgres: n.postgres,
		Observer: observer{committed: n.committed},
	}
	if n.options.nodes > 1 {
		opts.Elsewhere = n.elsewhere
	}
	s := New(opts)
	if rows := n.options.rows; rows > 0 {
		s.limit = limit{now: rows, max: rows}
	}
	if b, ok := s.backoff.(*backoff.ExponentialBackOff); ok && n.options.seeds != nil {
		b.RandomizationFactor = 0 // chance comes from the seed alone
	}
	return s
}

// begin starts the process. Its sink's panics are the world's to report: one
// that ended the test would not tell which schedule it was.
func (n *node) begin() {
	ctx, end := context.WithCancel(n.ctx)
	p := &process{end: end, killed: make(chan struct{}), done: make(chan struct{})}
	s := n.newSink(p)
	n.do(func() { n.sink, n.process, n.streak, n.moved, n.paused = s, p, streak{}, time.Now(), time.Time{} })
	n.sinks.Go(func() {
		defer close(p.done)
		defer end()
		defer func() {
			if what := recover(); what != nil {
				n.do(func() { n.wrong = append(n.wrong, fmt.Sprintf("node %d panics: %v", n.number, what)) })
			}
		}()
		if n.options.seeds != nil {
			wait(ctx, n.latency("begin"))
		}
		_ = s.Run(ctx)
	})
}

// restart ends the node's process, as a signal would, and begins another.
func (n *node) restart(kill bool) {
	p := n.process
	if kill {
		close(p.killed)
	}
	p.end()
	<-p.done
	n.begin()
}

// latency is how long a call takes one way: a hop, or where the world has
// seeds anything, mostly little. It follows from the seed, the call and the
// time alone, so that a schedule takes the same course whenever it is played.
func (n *node) latency(what string) time.Duration {
	if n.options.seeds == nil {
		return hop
	}
	h := n.dice(what)
	n.course.Add(h)
	most := 2 * time.Millisecond
	switch part := h >> 56; {
	case part < 3: // of 256
		most = 400 * time.Millisecond
	case part < 20:
		most = 40 * time.Millisecond
	}
	return 100*time.Microsecond + time.Duration(h%uint64(most))
}

// dice throws for the call at this time.
func (n *node) dice(what string) uint64 {
	h := fnv.New64a()
	_, _ = fmt.Fprintf(h, "%d %d %s %d", n.options.seeds[n.number], n.number, what, time.Now().UnixNano())
	x := h.Sum64() // whose upper bits hardly differ: mix them
	x = (x ^ x>>33) * 0xff51afd7ed558ccd
	x = (x ^ x>>33) * 0xc4ceb9fe1a85ec53
	return x ^ x>>33
}

// pass lets the process' time go by.
func (p *process) pass(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return ctx.Err()
	case <-ctx.Done():
		return ctx.Err()
	case <-p.killed:
		return errKilled
	}
}

// there is the way of a call, back that of its answer: what was true when it
// was given may have changed when it comes. Without seeds answers are instant.
func (n *node) there(ctx context.Context, p *process, what string) error {
	return p.pass(ctx, n.latency(what))
}

func (n *node) back(ctx context.Context, p *process, what string) error {
	if n.options.seeds == nil {
		return nil
	}
	return p.pass(ctx, n.latency("back from "+what))
}

// committed hears what the sink announces of a batch.
func (n *node) committed(out message.Outcome) {
	n.do(func() {
		n.told++
		if out.Cursor.Seq != n.fetched {
			n.moved, n.process.failed = time.Now(), false
		}
		if most := n.pg.reached[out.Cursor.Incarnation]; out.Cursor.Seq > most {
			n.wrong = append(n.wrong, fmt.Sprintf("announced up to %d of %s, but Postgres never had more than %d", out.Cursor.Seq, out.Cursor.Incarnation, most))
		}
	})
}

// turn has the node lead, or not; in do.
func (n *node) turn(leads bool) {
	if n.leads != leads {
		n.leads, n.turned = leads, time.Now()
	}
}

// mustPause tells whether the node's process has been told that the set-up is
// wrong a moment ago, and has led ever since; in do.
func (n *node) mustPause() bool {
	return !n.paused.IsZero() && time.Since(n.paused) < 10*time.Second && !n.turned.After(n.paused)
}

// postgres is what the node knows of its way to Postgres.
func (n *node) postgres() (bool, time.Time) {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.reaches(), n.reached
}

// reaches tells whether the node reaches Postgres; in do.
func (n *node) reaches() bool { return !n.isolated && !n.pg.away }

func (n *node) elsewhere() bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.othersReach()
}

// othersReach tells whether another node reaches Postgres; in do.
func (n *node) othersReach() bool {
	for _, other := range n.nodes {
		if other != n && other.reaches() {
			return true
		}
	}
	return false
}

// isolate takes the node's way to Postgres away, or gives it back.
func (n *node) isolate(isolated bool) {
	n.do(func() {
		if n.isolated != isolated {
			n.isolated, n.reached = isolated, time.Now()
		}
	})
}

// forget takes messages from the node's replica.
func (n *node) forget(seqs ...uint64) {
	n.do(func() {
		for _, seq := range seqs {
			n.missing[seq] = true
		}
	})
}
