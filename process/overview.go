package process

import (
	"context"
	"time"

	"landfall/message"
	"landfall/node"
	"landfall/status"
)

// What Postgres has beside rows is counted for the status page: what waits for
// somebody often, and all of it now and then, because duplicates may be many.
const (
	waitingPoll = 2 * time.Second
	countsPoll  = 30 * time.Second
	countWithin = 2 * time.Second
)

// makeOverview makes what knows how the cluster is doing, and has it look until
// stopLooking.
func (r *running) makeOverview() error {
	var err error
	r.metrics, err = status.NewMetrics(status.MetricsOptions{
		Node: r.Node, Version: r.Version, Streams: streamNames(r.Config), Ready: r.probes.Ready, Log: r.Log,
	})
	if err != nil {
		return err
	}
	r.overview = status.NewOverview(status.OverviewOptions{
		Config: r.Config, Node: r.Node, Version: r.Version, Metrics: r.metrics, Log: r.Log,
		Ready: r.probes.Ready, Postgres: r.postgres.now,
		Missing: func() ([]string, bool) {
			server := r.joining.Load()
			if server == nil {
				return nil, false
			}
			return server.Missing(), true
		},
		Server: func() (message.Vitals, bool, error) {
			server := r.joining.Load()
			if server == nil {
				return message.Vitals{}, false, nil
			}
			v, err := server.Vitals()
			return v, err == nil, err
		},
	})
	if err := r.metrics.Collect(r.overview); err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(context.Background())
	looked := make(chan struct{})
	go func() {
		defer close(looked)
		_ = r.overview.Run(ctx) // nil
	}()
	r.stopLooking = func() {
		cancel()
		select {
		case <-looked:
		case <-time.After(failNode): // it waits for a disk that does not answer
		}
	}
	return nil
}

// observer is what a sink tells of itself, to who waits for messages as well.
type observer struct {
	*status.Sink
	receipts *status.Receipts
	stream   string
}

func (o observer) Committed(b *message.Batch, out message.Outcome, took time.Duration) {
	o.receipts.Announce(o.stream, out)
	o.Sink.Committed(b, out, took)
}

// count tells the overview what Postgres has beside rows, of the streams that
// this node stores.
func (r *running) count(ctx context.Context, sources map[string]*node.Source) error {
	tick := time.NewTicker(waitingPoll)
	defer tick.Stop()
	counted := map[string]time.Time{} // when all of a stream was
	for {
		var all, waiting []string
		for name, s := range sources {
			switch {
			case !s.Leads():
				delete(counted, name)
			case time.Since(counted[name]) >= countsPoll:
				all = append(all, name)
			default:
				waiting = append(waiting, name)
			}
		}
		r.countThem(ctx, all, waiting, counted)
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

func (r *running) countThem(ctx context.Context, all, waiting []string, counted map[string]time.Time) {
	if reached, _, _ := r.postgres.now(); !reached {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, countWithin)
	defer cancel()
	if len(all) > 0 {
		found, err := r.store.Counts(ctx, all)
		if err != nil {
			r.Log.Debug("could not count what is no row", "error", err)
			waiting = append(waiting, all...)
		}
		for name, c := range found {
			if r.overview.Sink(name).Counted(c) {
				counted[name] = time.Now()
			}
		}
	}
	if len(waiting) == 0 {
		return
	}
	found, err := r.store.Waiting(ctx, waiting)
	if err != nil {
		r.Log.Debug("could not count the dead letters", "error", err)
	}
	for name, n := range found {
		if !r.overview.Sink(name).Waiting(n) {
			delete(counted, name)
		}
	}
}
