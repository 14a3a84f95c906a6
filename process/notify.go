package process

import (
	"context"
	"strings"
	"sync"
	"time"
)

// statusPoll is how often it is looked whether there is something new to say
// about this node.
const statusPoll = 500 * time.Millisecond

// tellStatus keeps the service manager up to date on what the node waits for,
// until ctx ends or the function it returns is called, which waits for the last
// word.
func (r *running) tellStatus(ctx context.Context) (quiet func()) {
	ctx, cancel := context.WithCancel(ctx)
	var telling sync.WaitGroup
	telling.Go(func() {
		tick := time.NewTicker(statusPoll)
		defer tick.Stop()
		said := ""
		for {
			if now := r.statusLine(); now != said {
				r.Notify("STATUS=" + now)
				said = now
			}
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
			}
		}
	})
	return func() {
		cancel()
		telling.Wait()
	}
}

// statusLine is what a person reads who asks how the service is doing.
func (r *running) statusLine() string {
	err := r.ready()
	switch {
	case err == nil:
		return "ready"
	case r.open.Load():
		return "not ready: " + oneLine(err)
	}
	return oneLine(err) // begins with "starting"
}

// tellStopping is the last that the service manager hears.
func (r *running) tellStopping(err error) {
	r.Notify("STOPPING=1")
	if err != nil {
		r.Notify("STATUS=stopping: " + oneLine(err))
		return
	}
	r.Notify("STATUS=stopping")
}

// oneLine keeps an error from being read as several assignments.
func oneLine(err error) string { return strings.Join(strings.Fields(err.Error()), " ") }
