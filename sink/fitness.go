package sink

import (
	"context"
	"sync"
	"time"
)

// When a sink that leads is no use, another node is given the lead.
const (
	unreachable  = 10 * time.Second // Postgres cannot be reached from here, but elsewhere it can
	standstill   = 5 * time.Second  // Postgres answers, there is work, and nothing moves
	laggard      = 5 * time.Second  // the replica here lacks more than farBehind
	farBehind    = maxRows          // messages: a full batch
	stepDownRate = 30 * time.Second // at most one hand-over in this time
	watchPoll    = time.Second
)

// progress is what the watch knows of the session beside it.
type progress struct {
	mu      sync.Mutex
	waiting time.Time // since when something is to be done and not done; zero: nothing is
	inHand  bool      // Postgres is at work on a batch
	failed  bool      // a batch has failed since anything moved
}

// busy notes that there is work, moved that some was done, idle that there is
// none, paused that a person has to act before any can be done.
func (p *progress) busy() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.waiting.IsZero() {
		p.waiting = time.Now()
	}
}

func (p *progress) moved()  { p.set(time.Time{}) }
func (p *progress) idle()   { p.set(time.Time{}) }
func (p *progress) paused() { p.set(time.Time{}) }

func (p *progress) set(t time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.waiting, p.inHand, p.failed = t, false, false
}

// begun and broken note what becomes of a batch that is not stored yet.
func (p *progress) begun() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.inHand = true
}

func (p *progress) broken() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.inHand, p.failed = false, true
}

// since is when the waiting began that another node might end; zero if there
// is none. A batch that Postgres is at work on is no reason to hand over: it
// may merely be slow, and would be as slow for another node, which would have
// to break it off and start over. The second try after a failure is one.
func (p *progress) since() time.Time {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.inHand && !p.failed {
		return time.Time{}
	}
	return p.waiting
}

// situation is what the watch judges.
type situation struct {
	reachable bool          // Postgres answers this node
	forHow    time.Duration // for how long it has, or has not
	elsewhere bool          // another node reports that Postgres answers it
	stuck     time.Duration // how long work has waited without moving
	behind    time.Duration // how long the replica here has been far behind
}

// unfit tells why another node should store the stream; "" if none should.
func unfit(s situation) string {
	switch {
	case !s.reachable && s.forHow >= unreachable && s.elsewhere:
		return "Postgres cannot be reached from this node, but from another"
	case s.reachable && s.forHow >= standstill && s.stuck >= standstill:
		return "Postgres answers, but nothing moves here"
	case s.reachable && s.behind >= laggard:
		return "this node's replica of the stream is far behind, and delivers no faster than it catches up"
	}
	return ""
}

// watch hands the lead over when this node is unfit, whatever the session is
// waiting for.
func (s *Sink) watch(ctx context.Context) {
	if s.Elsewhere == nil {
		return
	}
	var last, far time.Time // when it was last handed over, and since when the replica is far behind
	for ctx.Err() == nil {
		wait(ctx, watchPoll)
		if !s.Source.Leads() || !last.IsZero() && time.Since(last) < stepDownRate {
			far = time.Time{}
			continue
		}
		far = s.lagging(ctx, far)
		reachable, since := s.Postgres()
		now := situation{reachable: reachable, forHow: time.Since(since), elsewhere: s.Elsewhere()}
		if w := s.progress.since(); !w.IsZero() {
			now.stuck = time.Since(w)
		}
		if !far.IsZero() {
			now.behind = time.Since(far)
		}
		reason := unfit(now)
		if reason == "" {
			continue
		}
		last, far = time.Now(), time.Time{}
		s.Log.Warn("handing the stream's sink to another node", "reason", reason)
		s.Observer.HandingOver(reason)
		if err := s.Source.StepDown(ctx); err != nil {
			s.Log.Warn("could not hand over", "error", err)
		}
	}
}

// lagging tells since when the replica here has been far behind, given what
// was known before; zero if it is not. A leader that does not answer changes
// nothing.
func (s *Sink) lagging(ctx context.Context, since time.Time) time.Time {
	lacks, err := s.Source.Behind(ctx)
	switch {
	case err != nil:
		return since
	case lacks <= farBehind:
		return time.Time{}
	case since.IsZero():
		return time.Now()
	}
	return since
}
