package drill

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// How long a node may take to stop gracefully, and to be ready again. A fault
// of another kind may hold it up meanwhile; what takes longer is a finding.
const (
	stopPatience  = 60 * time.Second
	readyPatience = 2 * time.Minute
)

// endedWell is how a process ended that was asked to and could.
const endedWell = "exit status 0"

func termFaults() []Fault {
	return []Fault{{
		Name: "rolling", Group: "term", Takes: Takes{Nodes: nodes}, Inflict: rolling,
		About: "SIGTERM of one node after the other: each is started again, and ready, before the next one stops",
	}}
}

// rolling restarts all nodes one by one, as for an upgrade. When ctx ends, the
// node in hand is started, and the others are left alone.
func rolling(ctx context.Context, s *Site, a Act) error {
	order, release, err := s.claimSeveral(a, nodes)
	if err != nil {
		return err
	}
	defer release()
	for _, node := range order {
		if ctx.Err() != nil {
			return nil
		}
		if err := s.restart(ctx, node); err != nil {
			return fmt.Errorf("restart %s: %w", node, err)
		}
	}
	return nil
}

// restart has a claimed node stop gracefully, starts it and waits until it is
// ready. That it does not end well, or is not ready again, is the cluster's
// failure.
func (s *Site) restart(ctx context.Context, node string) error {
	began := time.Now()
	if err := s.terminate(ctx, node); err != nil {
		return errors.Join(err, s.startAgain(node))
	}
	stopped := time.Since(began)
	if err := s.startAgain(node); err != nil {
		return err
	}
	waiting, cancel := context.WithTimeout(ctx, readyPatience)
	defer cancel()
	err := s.awaitBack(waiting, node)
	switch {
	case ctx.Err() != nil:
		return nil
	case err != nil:
		s.Found("%s is not ready %s after its restart: %v", node, readyPatience, err)
		return nil
	}
	s.Say("  rolling: SIGTERM of %s, gone after %s, ready after %s", node, seconds(stopped), seconds(time.Since(began)))
	return nil
}

// terminate asks a node to stop and waits until it has.
func (s *Site) terminate(ctx context.Context, node string) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopPatience)
	defer cancel()
	how, err := s.Cluster.Term(ctx, node)
	switch {
	case err != nil:
		s.Found("%s has not stopped %s after SIGTERM", node, stopPatience)
		return s.killNow(ctx, node)
	case how != endedWell:
		s.Found("%s ended with %s after SIGTERM", node, how)
	}
	return nil
}

// awaitBack waits until claimed nodes are ready. One that ends by itself
// meanwhile is started again, as a supervisor would, once a second.
func (s *Site) awaitBack(ctx context.Context, names ...string) error {
	for {
		err := s.Cluster.AwaitReady(ctx, names...)
		var gone *EndedError
		if !errors.As(err, &gone) || ctx.Err() != nil {
			return err
		}
		s.Say("  %v; it is started again", gone)
		pause(ctx, time.Second)
		if err := s.startAgain(gone.Node); err != nil {
			return err
		}
	}
}
