package process

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"landfall/cluster"
	"landfall/node"
	"landfall/producer"
	"landfall/sink"
	"landfall/status"
	"landfall/store"
)

// healPoll is how often missing streams and consumers are looked for.
const healPoll = 5 * time.Second

// start brings the parts up. It waits for the other nodes, not for Postgres.
func (r *running) start(ctx context.Context) error {
	var err error
	if r.store, err = store.Open(r.Config, r.Node); err != nil {
		return err
	}
	if err := r.serveHTTP(); err != nil {
		return err
	}
	if r.server, err = node.Start(node.Options{
		Config: r.Config, Name: r.Node, Clients: r.connections, Log: r.Log, MetaElected: r.overview.MetaElected,
	}); err != nil {
		return err
	}
	r.joining.Store(r.server)
	r.serving.Go(func() error {
		select {
		case err := <-r.server.Fatal():
			r.fail(err)
		case <-ctx.Done():
		}
		return nil
	})
	if r.conn, err = r.server.Connect("landfall " + r.Node); err != nil {
		return fmt.Errorf("connect to the embedded server: %w", err)
	}
	if err := r.overview.Listen(r.conn); err != nil {
		return err
	}
	if err := r.server.WaitReady(ctx); err != nil {
		return err
	}
	if err := r.server.EnsureStreams(ctx); err != nil {
		return err
	}
	return r.openDoor()
}

// openDoor lets messages in and sets the sinks to work.
func (r *running) openDoor() error {
	js, err := jetstream.New(r.conn)
	if err != nil {
		return fmt.Errorf("use JetStream: %w", err)
	}
	sources := make(map[string]*node.Source, len(r.Config.Streams))
	for _, s := range r.Config.Streams {
		sources[s.Name] = r.server.Source(r.conn, s)
	}
	r.receipts, err = status.NewReceipts(status.ReceiptsOptions{
		Cluster: r.Config.Name, Streams: slices.Collect(maps.Keys(sources)), Conn: r.conn, Ledger: r.store, Log: r.Log,
	})
	if err != nil {
		return err
	}
	r.overview.Follow(r.receipts)
	err = r.door.Open(producer.Backend{
		Publisher: js, Stored: readBack(sources), Range: readRange(sources), Receipts: r.receipts, Conn: r.conn,
		Letters: letters{NewLetters(r.Config, r.store, func() (jetstream.JetStream, error) { return js, nil })},
	})
	if err != nil {
		return err
	}
	r.open.Store(true)
	var ctx context.Context
	ctx, r.stopWork = context.WithCancel(context.Background())
	r.keep(func() error { return r.postgres.poll(ctx, r.store.Ping) })
	r.keep(func() error { return r.heal(ctx) })
	r.keep(func() error { return r.catchUp(ctx) })
	r.keep(func() error { return r.receipts.Run(ctx) })
	r.keep(func() error { return r.measure(ctx, sources) })
	r.keep(func() error { return r.count(ctx, sources) })
	elsewhere, err := r.startPeers(ctx)
	if err != nil {
		return err
	}
	tables := &schema{config: r.Config, log: r.Log}
	for _, s := range r.Config.Streams {
		one := sink.New(sink.Options{
			Stream: s, Log: r.Log,
			Source:    source{sources[s.Name]},
			Store:     stored{r.store.Stream(s.Name), tables},
			Postgres:  func() (bool, time.Time) { ok, since, _ := r.postgres.now(); return ok, since },
			Elsewhere: elsewhere, Keep: r.Config.Keep,
			Observer: observer{r.overview.Sink(s.Name), r.receipts, s.Name},
		})
		r.keep(func() error { return one.Run(ctx) })
	}
	return nil
}

// keep runs a part until stopWork. One that falls before that has no other to
// take its place, so the node ends.
func (r *running) keep(part func() error) {
	r.work.Go(func() error {
		if err := part(); err != nil {
			r.fail(err)
		}
		return nil
	})
}

// startPeers tells the other nodes how this one is doing, and returns what a
// sink wants to know of them; nil on a single node.
func (r *running) startPeers(ctx context.Context) (elsewhere func() bool, err error) {
	if len(r.Config.Nodes) == 1 {
		return nil, nil
	}
	peers, err := status.NewPeers(status.PeersOptions{
		Cluster: r.Config.Name, Node: r.Node, Nodes: r.Config.NodeNames(), Conn: r.conn, Report: r.overview.Report, Log: r.Log,
	})
	if err != nil {
		return nil, err
	}
	r.overview.Join(peers)
	r.keep(func() error { return peers.Run(ctx) })
	return peers.OtherReachesPostgres, nil
}

// heal brings back streams and consumers that somebody deleted.
func (r *running) heal(ctx context.Context) error {
	tick := time.NewTicker(healPoll)
	defer tick.Stop()
	said := ""
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		try, cancel := context.WithTimeout(ctx, healPoll)
		err := r.server.RestoreStreams(try)
		cancel()
		var lasting *node.StreamError
		switch {
		case err == nil || ctx.Err() != nil:
			said = ""
		case errors.As(err, &lasting) && err.Error() != said:
			said = err.Error()
			r.Log.Error("a stream was changed by hand", "stream", lasting.Stream, "error", lasting.Err)
		default:
			r.Log.Debug("could not look after the streams", "error", err)
		}
	}
}

// errCatchingUp is why a node that has started is not ready yet. It could
// acknowledge; but whoever restarts the nodes one after the other takes the
// next one down as soon as this one is ready, and with it the majority that has
// the latest messages.
var errCatchingUp = errors.New("catching up with the other nodes")

// catchUp waits until this node has what the others have.
func (r *running) catchUp(ctx context.Context) error {
	if r.server.CatchUp(ctx) == nil { // else ctx has ended
		r.current.Store(true)
	}
	return nil
}

// ready tells why this node cannot acknowledge messages, or nil.
func (r *running) ready() error {
	server := r.joining.Load()
	switch {
	case server == nil:
		return errors.New("starting")
	case r.open.Load():
		if err := server.Ready(); err != nil || r.current.Load() {
			return err
		}
		return errCatchingUp
	}
	if missing := server.Missing(); len(missing) > 0 {
		return fmt.Errorf("starting: waiting for %s", strings.Join(missing, ", "))
	}
	return errors.New("starting: waiting for a leader")
}

func streamNames(config *cluster.Config) []string {
	names := make([]string, 0, len(config.Streams))
	for _, s := range config.Streams {
		names = append(names, s.Name)
	}
	return names
}
