package process

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"syscall"

	"golang.org/x/net/netutil"

	"landfall/cluster"
	"landfall/message"
	"landfall/producer"
	"landfall/status"
	"landfall/store"
)

// serveHTTP listens before anything else runs, so that a port in use is an
// error at once, and probes and the status page are answered from the first
// moment.
func (r *running) serveHTTP() error {
	var err error
	if r.connections, err = connections(r.Files); err != nil {
		return err
	}
	intake, err := r.listen("http", r.self.HTTP)
	if err != nil {
		return err
	}
	listeners := []net.Listener{intake}
	if r.self.Admin != "" {
		admin, err := r.listen("admin", r.self.Admin)
		if err != nil {
			_ = intake.Close()
			return err
		}
		listeners = append(listeners, admin)
	}
	if err := r.makeDoor(); err != nil {
		for _, ln := range listeners {
			_ = ln.Close()
		}
		return err
	}
	r.http = r.serve(intake, r.door)
	r.http.RegisterOnShutdown(r.door.Drain)
	if len(listeners) > 1 {
		r.admin = r.serve(listeners[1], r.door.Admin())
	}
	return nil
}

// listen takes the port of one of the node's addresses. Beyond the limit
// connections wait to be taken.
func (r *running) listen(key, address string) (net.Listener, error) {
	ln, err := net.Listen("tcp", r.self.Bind(address))
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return nil, fmt.Errorf("the HTTP port is taken: %w; is this node running already? Otherwise change the node's %q address in cluster.yaml, on every node", err, key)
	case err != nil:
		return nil, fmt.Errorf("listen for HTTP, nodes.%s.%s: %w", r.Node, key, err)
	}
	return netutil.LimitListener(ln, r.connections), nil
}

// serve answers at a port until it is shut down.
func (r *running) serve(ln net.Listener, h http.Handler) *http.Server {
	server := producer.Server(h, r.Log)
	server.RegisterOnShutdown(r.page.Close)
	letIdlersGo(server, r.connections)
	r.serving.Go(func() error {
		if err := server.Serve(ln); !errors.Is(err, http.ErrServerClosed) {
			r.fail(fmt.Errorf("serve HTTP on %s: %w", ln.Addr(), err))
		}
		return nil
	})
	return server
}

// makeDoor makes what answers, with nothing behind it yet.
func (r *running) makeDoor() error {
	r.probes = status.NewProbes(r.ready)
	if err := r.makeOverview(); err != nil {
		return err
	}
	var err error
	r.page, err = status.NewPage(status.PageOptions{Config: r.Config, Overview: r.overview, Letters: r.someLetters, Log: r.Log})
	if err != nil {
		return err
	}
	r.door = producer.New(producer.Options{
		Streams: r.Config.Streams, Token: r.Config.Token, Hosts: hosts(r.Config), AdminApart: r.self.Admin != "",
		Probes: r.probes, Metrics: r.metrics, Page: r.page, Status: func() (any, error) { return r.overview.View() },
		Ready: r.probes.Ready, Published: r.metrics.Published, Log: r.Log,
	})
	return nil
}

// hosts are the names under which clients know the nodes. Whoever needs a token
// cannot be sent by another's page, and who has opened the ports to everybody
// has names that nobody here knows: then none are asked for.
func hosts(config *cluster.Config) []string {
	if config.Token != "" || config.AllowInsecure {
		return nil
	}
	names := []string{}
	for _, n := range config.Nodes {
		for _, address := range []string{n.HTTP, n.Status()} {
			if host, _, err := net.SplitHostPort(address); err == nil {
				names = append(names, host)
			}
		}
	}
	return names
}

// someLetters are some of the dead letters that wait, for the status page.
func (r *running) someLetters(ctx context.Context, limit int) (list []*message.DeadLetter, err error) {
	err = r.store.DeadLetters(ctx, store.DeadLetterFilter{Limit: limit}, func(d *message.DeadLetter) error {
		list = append(list, d)
		return nil
	})
	return list, err
}
