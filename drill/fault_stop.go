package drill

import (
	"context"
	"errors"
	"math"
	"time"
)

func stopFaults() []Fault {
	freeze := func(name, about string, nodes int, longest time.Duration, inflict func(context.Context, *Site, Act) error) Fault {
		return Fault{Name: name, Group: "stop", About: about, Takes: Takes{Nodes: nodes},
			Hold: [2]time.Duration{time.Second, longest}, Inflict: inflict}
	}
	return []Fault{
		freeze("freeze-leader", "SIGSTOP of the node that leads the stream, mostly for a few seconds, up to 30", 1, 30*time.Second, freezeOne(
			func(ctx context.Context, s *Site) []string { return []string{s.Leaders(ctx).Stream} })),
		freeze("freeze-storing", "SIGSTOP of the node that stores, perhaps in the middle of a transaction", 1, 8*time.Second, freezeOne(
			func(ctx context.Context, s *Site) []string { return []string{s.Leaders(ctx).Consumer} })),
		freeze("freeze-follower", "SIGSTOP of a node that leads neither the stream nor its consumer", 1, 8*time.Second, freezeOne(
			func(ctx context.Context, s *Site) []string { return s.followers(s.Leaders(ctx)) })),
		freeze("freeze-two", "SIGSTOP of two nodes at once: the third is alone and does not know it", 2, 8*time.Second,
			func(ctx context.Context, s *Site, a Act) error {
				nodes, release, err := s.claimSeveral(a, 2)
				if err != nil {
					return err
				}
				defer release()
				return s.freezeFor(ctx, a, nodes...)
			}),
	}
}

// freezeOne freezes the first node of those that whom prefers.
func freezeOne(whom func(context.Context, *Site) []string) func(context.Context, *Site, Act) error {
	return func(ctx context.Context, s *Site, a Act) error {
		node, release, err := s.Claim(whom(ctx, s)...)
		if err != nil {
			return err
		}
		defer release()
		return s.freezeFor(ctx, a, node)
	}
}

// freezeFor stops claimed nodes, and lets them go on after the act's time, or
// when ctx ends. They do not know that they were away: what they believe of
// the cluster, and what they had in hand, is out of date.
func (s *Site) freezeFor(ctx context.Context, a Act, nodes ...string) error {
	hold := mostlyShort(a)
	s.Say("  %s: SIGSTOP of %s, for %s", a.Fault.Name, listed(nodes), hold)
	var errs []error
	for _, node := range nodes {
		errs = append(errs, s.Cluster.Stop(node))
	}
	if errors.Join(errs...) == nil {
		pause(ctx, hold)
	}
	for _, node := range nodes {
		errs = append(errs, s.Cluster.Cont(node))
	}
	return errors.Join(errs...)
}

// mostlyShort draws from an act's time one that is short more often than long:
// half of them are within an eighth of it, but for its least.
func mostlyShort(a Act) time.Duration {
	least := min(a.Fault.Hold[0], a.Hold)
	return (least + time.Duration(math.Pow(a.Rand().Float64(), 3)*float64(a.Hold-least))).Round(time.Millisecond)
}
