package process

import (
	"context"
	"net/http"
	"time"
)

// A node that stops says so at /readyz first and goes on serving while those
// who asked there leave. How long that takes it sees from the requests: it
// stops when none has come for leaveQuiet, at the earliest after leaveQuiet,
// so that whoever asks twice a second has asked, and at the latest after
// leaveMost, for those who never ask. Load balancers that need longer are told
// before the signal comes, with Kubernetes by a preStop hook.
const (
	leaveQuiet = 600 * time.Millisecond
	leaveMost  = 3 * time.Second
	leavePoll  = 20 * time.Millisecond
)

const (
	stopHTTP = 12 * time.Second // for requests in hand: a held one takes up to 10 s
	stopNode = 15 * time.Second // for handing over leaders and closing the server
	failNode = 3 * time.Second  // for a server that has failed
)

// stop ends the parts that were started. Streams get other leaders while the
// door still serves, so that it holds and repeats what the change interrupts.
// Then nothing new comes in, what is in hand is finished, the cluster is told,
// and the server goes last. Each step is bounded. A node that has failed
// serves nobody any more, and takes no time over it.
func (r *running) stop(failed bool) {
	if r.probes != nil {
		r.probes.Drain()
	}
	switch {
	case failed && r.conn != nil:
		r.conn.Close() // ends what the door holds: nothing of it will be acknowledged here
	case !failed && r.open.Load():
		r.leave()
	}
	for _, server := range []*http.Server{r.admin, r.http} {
		if server == nil {
			continue
		}
		ctx, cancel := context.WithTimeout(context.Background(), stopHTTP)
		if err := server.Shutdown(ctx); err != nil {
			r.Log.Warn("requests were cut off", "error", err)
			_ = server.Close()
		}
		cancel()
	}
	if r.door != nil {
		r.door.Close()
	}
	if r.stopLooking != nil {
		r.stopLooking()
	}
	if r.stopWork != nil {
		r.stopWork()
	}
	_ = r.work.Wait() // its functions return nil
	if r.store != nil {
		r.store.Close()
	}
	r.stopServer(failed)
	r.fail(nil)
	_ = r.serving.Wait() // its functions return nil
}

// leave lets the clients go, and hands over what they publish to.
func (r *running) leave() {
	if len(r.Config.Nodes) == 1 {
		return // nobody could go anywhere
	}
	ctx, cancel := context.WithTimeout(context.Background(), leaveMost)
	defer cancel()
	handed := make(chan struct{})
	go func() {
		defer close(handed)
		r.server.HandOverStreams(ctx)
	}()
	defer func() { <-handed }()
	r.door.SendAway()
	began := time.Now()
	tick := time.NewTicker(leavePoll)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		if time.Since(began) >= leaveQuiet && time.Since(r.door.LastRequest()) >= leaveQuiet {
			return
		}
	}
}

// stopServer ends the embedded server, with everything handed over that can be.
func (r *running) stopServer(failed bool) {
	if r.server == nil {
		return
	}
	if failed {
		r.abandonServer()
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), stopNode)
	defer cancel()
	r.server.HandOver(ctx)
	if r.conn != nil {
		r.conn.Close()
	}
	r.server.Stop(ctx)
}

// abandonServer ends a server that has failed. It may hang in its own end, with
// a disk that no longer answers; the process ends all the same.
func (r *running) abandonServer() {
	atOnce, cancel := context.WithCancel(context.Background())
	cancel()
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		r.server.Stop(atOnce)
	}()
	select {
	case <-ended:
	case <-time.After(failNode):
		r.Log.Warn("the embedded server does not end")
	}
}
