package drill

import (
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"time"
)

// How often a cable that flaps goes out, in what times.
const (
	flapShortest = 50 * time.Millisecond
	flapLongest  = 1200 * time.Millisecond
)

// How much a slow cable carries, in kilobits a second, and how long a packet
// is on its way where the kernel can delay one. It is about what the drill's
// load takes, so that what waits may pile up.
const (
	netSlowest, netFastest        = 2_000, 20_000
	netLeastMillis, netMostMillis = 5, 120
)

// resetsMost is how often connections are reset, at most.
const resetsMost = 4

func netFaults() []Fault {
	fault := func(name, about string, shortest, longest time.Duration, inflict func(context.Context, *Site, Act) error) Fault {
		return Fault{Name: name, Group: "net", About: about, Takes: Takes{Network: true}, Lacks: lacksNetwork,
			Hold: [2]time.Duration{shortest, longest}, Inflict: inflict}
	}
	const moment = 500 * time.Millisecond
	slow := fault("net-slow", "a node's cable carries little, and late", time.Second, 6*time.Second, slowNetwork)
	slow.Lacks = lacksSlowness
	reset := fault("net-reset", "the connections between the nodes are reset, once or a few times", 0, 0, resetNetwork)
	reset.Lacks = lacksResets
	return []Fault{
		fault("net-isolate", "a node's cable is pulled: it reaches neither the others nor Postgres nor its clients", moment, 8*time.Second,
			isolate(func(s *Site, _ context.Context, chance *rand.Rand) string { return s.shuffled(chance)[0] })),
		fault("net-isolate-leader", "the cable of the node that leads the stream is pulled", moment, 8*time.Second,
			isolate((*Site).leading)),
		fault("net-isolate-storing", "the cable of the node that stores is pulled", moment, 8*time.Second,
			isolate((*Site).storing)),
		fault("net-part", "two nodes do not reach each other, and the third reaches both", moment, 8*time.Second, partTwo),
		fault("net-one-way", "what a node sends to another, or to both, vanishes; what they send arrives", moment, 8*time.Second, oneWay),
		fault("net-leader-alone", "the leader does not reach the other nodes, but its clients and Postgres", moment, 8*time.Second, leaveAlone),
		fault("net-flap", "a node's cable is out and in, again and again", time.Second, 6*time.Second, flap),
		slow,
		reset,
	}
}

func lacksNetwork(s *Site) string {
	switch {
	case s.Machines == nil:
		return "the nodes run on no machines of their own"
	case !s.Machines.Isolated():
		return "the machines are " + s.Machines.Where
	}
	return ""
}

func lacksSlowness(s *Site) string {
	if why := lacksNetwork(s); why != "" {
		return why
	}
	return s.Machines.whyNotSlow()
}

func lacksResets(s *Site) string {
	if why := lacksNetwork(s); why != "" {
		return why
	}
	return whyNoResets()
}

// lasting makes something happen, lets it last as long as the act does, and
// undoes it, also what happened in part.
func lasting(ctx context.Context, a Act, do, undo func() error) error {
	err := do()
	if err == nil {
		pause(ctx, a.Hold)
	}
	return errors.Join(err, undo())
}

func isolate(whom func(*Site, context.Context, *rand.Rand) string) func(context.Context, *Site, Act) error {
	return func(ctx context.Context, s *Site, a Act) error {
		node := whom(s, ctx, a.Rand())
		s.Say("  %s: the cable of %s is pulled, for %s", a.Fault.Name, node, a.Hold)
		return lasting(ctx, a,
			func() error { return s.Machines.Unplug(node) },
			func() error { return s.Machines.Plug(node) })
	}
}

// partTwo parts two nodes, silently or so that they are told.
func partTwo(ctx context.Context, s *Site, a Act) error {
	chance := a.Rand()
	names := s.shuffled(chance)
	one, other := names[0], names[1]
	if chance.IntN(2) == 0 {
		s.Say("  %s: no route between %s and %s, for %s", a.Fault.Name, one, other, a.Hold)
		return lasting(ctx, a,
			func() error { return s.Machines.Part(one, other) },
			func() error { return s.Machines.Join(one, other) })
	}
	s.Say("  %s: what %s and %s send to each other vanishes, for %s", a.Fault.Name, one, other, a.Hold)
	return lasting(ctx, a,
		func() error { return errors.Join(s.Machines.Vanish(one, other), s.Machines.Vanish(other, one)) },
		func() error { return errors.Join(s.Machines.Appear(one, other), s.Machines.Appear(other, one)) })
}

// oneWay has a node, as likely as not the leader, heard by one of the others
// no more, or by neither.
func oneWay(ctx context.Context, s *Site, a Act) error {
	chance := a.Rand()
	names := s.shuffled(chance)
	from := names[0]
	if chance.IntN(2) == 0 {
		from = s.leading(ctx, chance)
	}
	to := slices.DeleteFunc(names, func(n string) bool { return n == from })[:1+chance.IntN(2)]
	s.Say("  %s: what %s sends to %s vanishes, for %s", a.Fault.Name, from, listed(to), a.Hold)
	return lasting(ctx, a,
		func() error { return s.Machines.Vanish(from, to...) },
		func() error { return s.Machines.Appear(from, to...) })
}

// leaveAlone parts the leader from the other nodes. It has no majority, and
// its clients may wait or go elsewhere; it must promise them nothing.
func leaveAlone(ctx context.Context, s *Site, a Act) error {
	leader := s.leading(ctx, a.Rand())
	others := slices.DeleteFunc(s.nodeNames(), func(n string) bool { return n == leader })
	s.Say("  %s: %s reaches no other node, for %s", a.Fault.Name, leader, a.Hold)
	return lasting(ctx, a,
		func() error { return s.Machines.Part(leader, others...) },
		func() error { return s.Machines.Join(leader, others...) })
}

// flap pulls a cable and puts it back, again and again.
func flap(ctx context.Context, s *Site, a Act) error {
	chance := a.Rand()
	node := s.shuffled(chance)[0]
	some := func() time.Duration {
		return flapShortest + time.Duration(chance.Int64N(int64(flapLongest-flapShortest)))
	}
	s.Say("  %s: the cable of %s is out and in, for %s", a.Fault.Name, node, a.Hold)
	until := time.Now().Add(a.Hold)
	var err error
	for err == nil && ctx.Err() == nil && time.Now().Before(until) {
		err = s.Machines.Unplug(node)
		pause(ctx, some())
		err = errors.Join(err, s.Machines.Plug(node))
		pause(ctx, some())
	}
	return err
}

func slowNetwork(ctx context.Context, s *Site, a Act) error {
	chance := a.Rand()
	node := s.shuffled(chance)[0]
	kilobits := netSlowest + chance.IntN(netFastest-netSlowest)
	millis := netLeastMillis + chance.IntN(netMostMillis-netLeastMillis)
	s.Say("  %s: the cable of %s carries %d kbit/s, for %s", a.Fault.Name, node, kilobits, a.Hold)
	return lasting(ctx, a,
		func() error { return s.Machines.Slow(node, kilobits, millis) },
		func() error { return s.Machines.Quicken(node) })
}

// resetNetwork resets the connections between a node, as likely as not the
// leader, and the others.
func resetNetwork(ctx context.Context, s *Site, a Act) error {
	chance := a.Rand()
	names := s.shuffled(chance)
	node := names[0]
	if chance.IntN(2) == 0 {
		node = s.leading(ctx, chance)
	}
	others := slices.DeleteFunc(names, func(n string) bool { return n == node })
	for range 1 + chance.IntN(resetsMost) {
		n, err := s.Machines.Reset(node, others...)
		if err != nil {
			return err
		}
		s.Say("  %s: %d connections of %s with the others", a.Fault.Name, n, node)
		pause(ctx, time.Duration(chance.Int64N(int64(time.Second))))
		if ctx.Err() != nil {
			return nil
		}
	}
	return nil
}
