package process

import (
	"context"
	"sync"
	"time"
)

// postgresPoll is how often Postgres is asked whether it is there.
const postgresPoll = time.Second

// reach is whether this node reaches Postgres, and since when.
type reach struct {
	mu    sync.Mutex
	ok    bool
	since time.Time
	known bool // it was tried
}

func newReach() *reach { return &reach{since: time.Now()} }

// now is the last answer; known is false before the first. Nothing is waited
// for.
func (r *reach) now() (ok bool, since time.Time, known bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.ok, r.since, r.known
}

// poll asks until ctx ends.
func (r *reach) poll(ctx context.Context, ping func(context.Context) error) error {
	tick := time.NewTicker(postgresPoll)
	defer tick.Stop()
	for {
		try, cancel := context.WithTimeout(ctx, 2*postgresPoll)
		r.set(ping(try) == nil)
		cancel()
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

func (r *reach) set(ok bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if ok != r.ok || !r.known {
		r.known = true
		r.ok, r.since = ok, time.Now()
	}
}
