// Package process is one running node: it starts the parts in an order in
// which each finds what it needs, hands them to each other, and stops them in
// an order in which nothing accepted is lost. Tests start nodes with the same
// Run as the binary.
package process

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"golang.org/x/sync/errgroup"

	"landfall/cluster"
	"landfall/node"
	"landfall/producer"
	"landfall/status"
	"landfall/store"
)

// Options say which node to run.
type Options struct {
	Config  *cluster.Config
	Node    string // a node of Config
	Log     *slog.Logger
	Version string
}

// running is the node's parts. Those that start did not reach are nil.
type running struct {
	Options
	self     cluster.Node
	probes   *status.Probes
	door     *producer.Door
	http     *http.Server
	server   *node.Node
	conn     *nats.Conn
	store    *store.Store
	postgres *reach
	joining  atomic.Pointer[node.Node] // the server, for those who ask while the node starts
	open     atomic.Bool               // the door is: from then on the server is asked whether it is ready

	fail     context.CancelCauseFunc // ends the node: a part fell that only a restart can mend
	serving  errgroup.Group          // lives until the HTTP server and the embedded server are closed
	work     errgroup.Group          // sinks, reports and polls: lives until stopWork
	stopWork context.CancelFunc
}

// Run runs the node until ctx ends, or until a part of it fails in a way that
// only a restart can mend. It returns when everything has stopped, and is nil
// only if ctx was the reason.
func Run(ctx context.Context, o Options) error {
	self, ok := o.Config.Node(o.Node)
	if !ok {
		return fmt.Errorf("node %s is not in %s", o.Node, o.Config.Path)
	}
	alive, fail := context.WithCancelCause(ctx)
	defer fail(nil)
	r := &running{Options: o, self: self, fail: fail}
	r.Log = o.Log.With("node", o.Node)

	began := time.Now()
	err := r.start(alive)
	if err == nil {
		r.Log.Info("ready", "http", "http://"+self.HTTP, "nats", "nats://"+self.Client, "after", time.Since(began).Round(time.Millisecond))
		<-alive.Done()
	}
	switch {
	case ctx.Err() != nil: // told to stop, while starting or later
		err = nil
		r.Log.Info("stopping")
	case alive.Err() != nil:
		err = context.Cause(alive)
	}
	stopping := time.Now()
	r.stop()
	if err == nil {
		r.Log.Info("stopped", "after", time.Since(stopping).Round(time.Millisecond))
	}
	return err
}
