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

	// Files is how many files the process may open, which bounds the
	// connections it takes. 0: what the system says.
	Files uint64

	// Notify, if set, is told what a service manager wants to know, in the
	// words of sd_notify(3): READY=1, STOPPING=1, and a STATUS= for people
	// whenever it changes. It must not wait for anybody.
	Notify func(state string)
}

// running is the node's parts. Those that start did not reach are nil.
type running struct {
	Options
	self        cluster.Node
	connections int // that HTTP and NATS may have each
	probes      *status.Probes
	metrics     *status.Metrics
	overview    *status.Overview
	page        *status.Page
	door        *producer.Door
	http        *http.Server
	admin       *http.Server // nil: http answers operators too
	server      *node.Node
	conn        *nats.Conn
	store       *store.Store
	postgres    *reach
	receipts    *status.Receipts
	joining     atomic.Pointer[node.Node] // the server, for those who ask while the node starts
	open        atomic.Bool               // the door is: from then on the server is asked whether it is ready
	current     atomic.Bool               // this node's replicas have caught up since it started

	fail     context.CancelCauseFunc // ends the node: a part fell that only a restart can mend
	serving  errgroup.Group          // lives until the HTTP server and the embedded server are closed
	work     errgroup.Group          // sinks, reports and polls: lives until stopWork
	stopWork context.CancelFunc

	stopLooking func() // at the cluster, and waits for the end of it
}

// Run runs the node until ctx ends, or until a part of it fails in a way that
// only a restart can mend. It returns when everything has stopped, and is nil
// only if ctx was the reason.
func Run(ctx context.Context, o Options) error {
	r, err := prepare(o)
	if err != nil {
		return err
	}
	return r.run(ctx)
}

func prepare(o Options) (*running, error) {
	self, ok := o.Config.Node(o.Node)
	if !ok {
		return nil, fmt.Errorf("node %s is not in %s", o.Node, o.Config.Path)
	}
	r := &running{Options: o, self: self, postgres: newReach()}
	r.Log = o.Log.With("node", o.Node)
	if r.Notify == nil {
		r.Notify = func(string) {}
	}
	return r, nil
}

func (r *running) run(ctx context.Context) error {
	alive, fail := context.WithCancelCause(ctx)
	defer fail(nil)
	r.fail = fail

	quiet := r.tellStatus(alive)
	began := time.Now()
	err := r.start(alive)
	if err == nil {
		r.Log.Info("ready", "http", "http://"+r.self.HTTP, "nats", "nats://"+r.self.Client, "after", time.Since(began).Round(time.Millisecond))
		r.Notify("READY=1")
		<-alive.Done()
	}
	switch {
	case ctx.Err() != nil: // told to stop, while starting or later
		err = nil
		r.Log.Info("stopping")
	case alive.Err() != nil:
		err = context.Cause(alive)
	}
	quiet()
	r.tellStopping(err)
	stopping := time.Now()
	r.stop(err != nil)
	if err == nil {
		r.Log.Info("stopped", "after", time.Since(stopping).Round(time.Millisecond))
	}
	return err
}
