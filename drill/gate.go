package drill

import (
	"context"
	"sync"
	"time"
)

// Gate lets publishers through, or holds them still between two messages. The
// nil Gate is always open.
type Gate struct {
	mu      sync.Mutex
	inside  int
	holders int
	opened  chan struct{} // closed when the last holder lets go; nil while it is open
	emptied chan struct{} // closed when nobody is inside any more; nil while nobody waits for it
	shut    time.Duration // for how long it has been, without this time
	since   time.Time     // when this time began
}

// NewGate makes an open gate.
func NewGate() *Gate { return &Gate{} }

// Pass waits until the gate is open and goes in; leave goes out, when what was
// sent inside is settled. It fails with ctx's cause.
func (g *Gate) Pass(ctx context.Context) (leave func(), err error) {
	if g == nil {
		return func() {}, context.Cause(ctx)
	}
	for {
		g.mu.Lock()
		opened := g.opened
		if opened == nil && ctx.Err() == nil {
			g.inside++
			g.mu.Unlock()
			return sync.OnceFunc(g.leave), nil
		}
		g.mu.Unlock()
		select {
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		case <-opened:
		}
	}
}

func (g *Gate) leave() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.inside--
	if g.inside == 0 && g.emptied != nil {
		close(g.emptied)
		g.emptied = nil
	}
}

// Hold shuts the gate and returns when nobody is inside: everything that was
// sent is settled, and nothing new is sent until release. There may be
// several holders. It fails with ctx's cause, and then holds nobody.
func (g *Gate) Hold(ctx context.Context) (release func(), err error) {
	g.mu.Lock()
	g.holders++
	if g.holders == 1 {
		g.opened, g.since = make(chan struct{}), time.Now()
	}
	release = sync.OnceFunc(g.release)
	for g.inside > 0 {
		if g.emptied == nil {
			g.emptied = make(chan struct{})
		}
		emptied := g.emptied
		g.mu.Unlock()
		select {
		case <-ctx.Done():
			release()
			return nil, context.Cause(ctx)
		case <-emptied:
		}
		g.mu.Lock()
	}
	g.mu.Unlock()
	return release, nil
}

func (g *Gate) release() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.holders--
	if g.holders == 0 {
		g.shut += time.Since(g.since)
		close(g.opened)
		g.opened = nil
	}
}

// Shut is for how long the gate has been shut in all. A schedule of publishers
// is later by that: time in which they were held is no time in which they
// waited for an acknowledgement.
func (g *Gate) Shut() time.Duration {
	if g == nil {
		return 0
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.holders > 0 {
		return g.shut + time.Since(g.since)
	}
	return g.shut
}
