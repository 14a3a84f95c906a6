package drill

import (
	"context"
	"errors"
	"time"

	"golang.org/x/sync/errgroup"
)

// How long a killed node stays down: from less than an election to several of
// them.
const (
	downShortest = 200 * time.Millisecond
	downLongest  = 3 * time.Second
)

// Of kill-again: how often the node is killed before it is left in peace, at
// most, and how long after each of its starts.
const (
	killAgainTimes  = 3
	killAgainWithin = 1500 * time.Millisecond
)

// endPatience is how long a process may take to be gone after SIGKILL.
const endPatience = 30 * time.Second

func killFaults() []Fault {
	kill := func(name, about string, nodes int, inflict func(context.Context, *Site, Act) error) Fault {
		return Fault{Name: name, Group: "kill", About: about, Takes: Takes{Nodes: nodes},
			Hold: [2]time.Duration{downShortest, downLongest}, Inflict: inflict}
	}
	return []Fault{
		kill("kill-leader", "kill -9 of the node that leads the stream", 1, killOne(
			func(ctx context.Context, s *Site) []string { return []string{s.Leaders(ctx).Stream} })),
		kill("kill-storing", "kill -9 of the node that stores: it leads the consumer", 1, killOne(
			func(ctx context.Context, s *Site) []string { return []string{s.Leaders(ctx).Consumer} })),
		kill("kill-meta", "kill -9 of the node that leads the cluster's own group, which makes and places streams", 1, killOne(
			func(_ context.Context, s *Site) []string { return []string{s.metaLeader()} })),
		kill("kill-follower", "kill -9 of a node that leads neither the stream nor its consumer", 1, killOne(
			func(ctx context.Context, s *Site) []string { return s.followers(s.Leaders(ctx)) })),
		kill("kill-two", "kill -9 of two nodes at once: what is left is no majority", 2, killSeveral(2)),
		kill("kill-all", "kill -9 of all three nodes at once", 3, killSeveral(3)),
		kill("kill-again", "kill -9 of a node, and again while it starts or catches up, up to three times", 1, killAgain),
	}
}

// killOne kills the first node of those that whom prefers, and starts it again.
func killOne(whom func(context.Context, *Site) []string) func(context.Context, *Site, Act) error {
	return func(ctx context.Context, s *Site, a Act) error {
		node, release, err := s.Claim(whom(ctx, s)...)
		if err != nil {
			return err
		}
		defer release()
		return s.killFor(ctx, a, node)
	}
}

// killSeveral kills so many nodes, whichever chance prefers, and starts them
// again.
func killSeveral(count int) func(context.Context, *Site, Act) error {
	return func(ctx context.Context, s *Site, a Act) error {
		nodes, release, err := s.claimSeveral(a, count)
		if err != nil {
			return err
		}
		defer release()
		return s.killFor(ctx, a, nodes...)
	}
}

// killAgain kills a node, starts it, and kills it again before it has found
// its place, in the middle of what it repairs after the kill before.
func killAgain(ctx context.Context, s *Site, a Act) error {
	chance := a.Rand()
	now := s.Leaders(ctx)
	node, release, err := s.Claim([]string{now.Stream, now.Consumer, ""}[chance.IntN(3)])
	if err != nil {
		return err
	}
	defer release()
	if err := s.killFor(ctx, a, node); err != nil {
		return err
	}
	for range 1 + chance.IntN(killAgainTimes-1) {
		pause(ctx, time.Duration(chance.Int64N(int64(killAgainWithin))))
		if ctx.Err() != nil {
			return nil // it has been started
		}
		a.Hold = time.Duration(chance.Int64N(int64(downShortest))).Round(time.Millisecond)
		if err := s.killFor(ctx, a, node); err != nil {
			return err
		}
	}
	return nil
}

// killFor kills nodes that are claimed, at the same moment, and starts them
// again after the act's time, or when ctx ends.
func (s *Site) killFor(ctx context.Context, a Act, nodes ...string) error {
	s.Say("  %s: kill -9 of %s, for %s", a.Fault.Name, listed(nodes), a.Hold)
	if err := s.killNow(ctx, nodes...); err != nil {
		return errors.Join(err, s.startAgain(nodes...))
	}
	pause(ctx, a.Hold)
	return s.startAgain(nodes...)
}

// killNow kills nodes at the same moment, and returns when they are gone.
func (s *Site) killNow(ctx context.Context, nodes ...string) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), endPatience)
	defer cancel()
	var g errgroup.Group
	for _, node := range nodes {
		g.Go(func() error {
			_, err := s.Cluster.Kill(ctx, node)
			return err
		})
	}
	return g.Wait()
}

// startAgain starts those of the nodes that do not run.
func (s *Site) startAgain(nodes ...string) error {
	var errs []error
	for _, node := range nodes {
		if ch, err := s.Cluster.child(node); err == nil && ch.running() {
			continue
		}
		errs = append(errs, s.Cluster.Start(node))
	}
	return errors.Join(errs...)
}
