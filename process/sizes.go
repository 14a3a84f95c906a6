package process

import (
	"context"
	"time"

	"landfall/node"
)

// sizePoll is how often the tables are measured: Postgres looks at each of
// their files for it. idlePoll is how often a node that fills none looks
// whether it does now.
const (
	sizePoll = 30 * time.Second
	idlePoll = time.Second
)

// measure tells the metrics how large the tables are that this node fills.
func (r *running) measure(ctx context.Context, sources map[string]*node.Source) error {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-timer.C:
		}
		var streams []string
		for name, s := range sources {
			if s.Leads() {
				streams = append(streams, name)
			}
		}
		r.metrics.TableBytes(r.sizes(ctx, streams))
		next := sizePoll
		if len(streams) == 0 {
			next = idlePoll
		}
		timer.Reset(next)
	}
}

// sizes are those of the streams' tables, as far as Postgres tells.
func (r *running) sizes(ctx context.Context, streams []string) map[string]int64 {
	sizes := map[string]int64{}
	if len(streams) == 0 {
		return sizes
	}
	found, err := r.store.TableSizes(ctx, streams)
	if err != nil && ctx.Err() == nil {
		r.Log.Debug("could not measure the tables", "error", err)
	}
	for table, size := range found {
		sizes[table] = size.Bytes
	}
	return sizes
}
