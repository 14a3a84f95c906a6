package process

import (
	"context"
	"time"
)

const (
	stopHTTP = 12 * time.Second // for requests in hand: a held one takes up to 10 s
	stopNode = 15 * time.Second // for handing over leaders and closing the server
)

// stop ends the parts that were started: first nothing new comes in, then
// what is in hand is finished, then the cluster is told, and the server goes
// last. Each step is bounded.
func (r *running) stop() {
	if r.probes != nil {
		r.probes.Drain()
	}
	if r.http != nil {
		ctx, cancel := context.WithTimeout(context.Background(), stopHTTP)
		if err := r.http.Shutdown(ctx); err != nil {
			r.Log.Warn("requests were cut off", "error", err)
			_ = r.http.Close()
		}
		cancel()
		r.door.Close()
	}
	if r.stopWork != nil {
		r.stopWork()
	}
	_ = r.work.Wait() // its functions return nil
	if r.store != nil {
		r.store.Close()
	}
	ctx, cancel := context.WithTimeout(context.Background(), stopNode)
	defer cancel()
	if r.server != nil {
		r.server.HandOver(ctx)
	}
	if r.conn != nil {
		r.conn.Close()
	}
	if r.server != nil {
		r.server.Stop(ctx)
	}
	r.fail(nil)
	_ = r.serving.Wait() // its functions return nil
}
