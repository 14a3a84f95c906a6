package drill

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"time"

	"landfall/drill/pgproxy"
)

// pointPatience is how long a fault waits until whoever stores comes to its
// point. Under load that takes milliseconds; while nothing is stored, for
// whatever reason, there is nothing to cut.
const pointPatience = 5 * time.Second

// pointWithin is how many times the point may pass before the fault happens,
// at most: chance decides.
const pointWithin = 3

// How slow a slow way is: bytes a second, and what every burst waits.
const (
	wireSlowest, wireFastest     = 20_000, 400_000
	wireLeastDelay, wireMostWait = time.Millisecond, 40 * time.Millisecond
)

func wireFaults() []Fault {
	fault := func(name, about string, shortest, longest time.Duration, inflict func(context.Context, *Site, Act) error) Fault {
		return Fault{Name: name, Group: "postgres", About: about, Takes: Takes{Wire: true}, Lacks: lacksWays,
			Hold: [2]time.Duration{shortest, longest}, Inflict: inflict}
	}
	at := func(name, about string, points ...point) Fault { return fault(name, about, 0, 0, cutAt(points...)) }
	return []Fault{
		at("fence-cut", "the storing node's connection is cut at the fence, before Postgres has it or behind it",
			point{isFence, nil, pgproxy.Sent}, point{isFence, nil, pgproxy.Answered}),
		fault("copy-cut", "the storing node's connection is cut in the middle of COPY, or right behind it", 0, 0, cutCopy),
		at("rows-cut", "the storing node's connection is cut before Postgres has the rows, or when it has inserted them",
			point{isRows, nil, pgproxy.Sent}, point{isRows, nil, pgproxy.Answered}),
		at("commit-unsent", "the storing node's connection is cut before its COMMIT reaches Postgres",
			point{isCommit, isRows, pgproxy.Sent}),
		at("commit-unanswered", "Postgres commits, and the storing node's connection is cut before it hears of it",
			point{isCommit, isRows, pgproxy.Answered}),
		fault("commit-slow", "a COMMIT, or its answer, is on its way for long", 500*time.Millisecond, 4*time.Second, holdCommit),
		fault("wire-reset", "all connections of the storing node to Postgres are reset", 0, 0, resetWire),
		fault("wire-slow", "the storing node's way to Postgres is slow", time.Second, 6*time.Second, slowWire),
		fault("wire-blackhole", "the storing node's way to Postgres carries nothing for a moment",
			500*time.Millisecond, 4*time.Second, spoilWire((*pgproxy.Proxy).Blackhole, "carries nothing")),
		// These two last beyond the time after which another node takes over.
		fault("cut-from-postgres", "one node cannot reach Postgres while the others can: connections are reset",
			5*time.Second, 15*time.Second, spoilWire((*pgproxy.Proxy).Cut, "is cut")),
		fault("lost-way-to-postgres", "one node cannot reach Postgres while the others can: nothing it sends is heard",
			5*time.Second, 15*time.Second, spoilWire((*pgproxy.Proxy).Blackhole, "carries nothing")),
		fault("wires-cut", "no node can reach Postgres, which lives", time.Second, 6*time.Second, cutWires),
	}
}

func lacksWays(s *Site) string {
	if len(s.Ways) == 0 {
		return "the nodes have no ways to Postgres of their own"
	}
	return ""
}

// point is where a connection is cut.
type point struct {
	statement, after func(string) bool
	moment           pgproxy.Moment
}

// momentName says in words what a moment is, between a statement's name and
// what happened there.
func momentName(m pgproxy.Moment) string {
	return [...]string{"before Postgres had it", "in the middle of its data", "when Postgres had carried it out"}[m]
}

// The statements at which connections are cut, as the nodes write them.

func isFence(sql string) bool {
	return strings.HasPrefix(sql, "SELECT last_seq") && strings.Contains(sql, " FROM landfall.streams ") && strings.HasSuffix(sql, "FOR UPDATE")
}

func isCopy(sql string) bool { return strings.HasPrefix(sql, "COPY ") }

// isRows tells whether rows of the messages table are written: by COPY, or a
// few at a time.
func isRows(sql string) bool { return isCopy(sql) || strings.HasPrefix(sql, "WITH stored AS (") }

func isCommit(sql string) bool { return strings.EqualFold(sql, "COMMIT") }

// cutAt cuts the connection of whoever stores at one of the points.
func cutAt(points ...point) func(context.Context, *Site, Act) error {
	return func(ctx context.Context, s *Site, a Act) error {
		chance := a.Rand()
		p := points[chance.IntN(len(points))]
		nth := 1 + chance.IntN(pointWithin)
		node := s.trap(ctx, pointPatience, func(way *pgproxy.Proxy) *pgproxy.Trap {
			return way.CutAt(pgproxy.Point{Statement: p.statement, After: p.after, Moment: p.moment}, nth)
		})
		return s.sayTrapped(a, node, "connection cut "+momentName(p.moment))
	}
}

// pileUp is how long a commit is held so that more messages come meanwhile
// than are written without COPY.
const pileUp = 300 * time.Millisecond

// cutCopy cuts the connection of whoever stores at a COPY.
func cutCopy(ctx context.Context, s *Site, a Act) error {
	chance := a.Rand()
	moment := [...]pgproxy.Moment{pgproxy.Flowing, pgproxy.Answered}[chance.IntN(2)]
	nth := 1 + chance.IntN(pointWithin)
	ctx, cancel := context.WithCancel(ctx)
	var held sync.WaitGroup
	held.Go(func() {
		s.trap(ctx, pointPatience, func(way *pgproxy.Proxy) *pgproxy.Trap {
			return way.HoldAt(pgproxy.Point{Statement: isCommit, After: isRows, Moment: pgproxy.Answered}, nth, pileUp)
		})
	})
	node := s.trap(ctx, pointPatience, func(way *pgproxy.Proxy) *pgproxy.Trap {
		return way.CutAt(pgproxy.Point{Statement: isCopy, Moment: moment}, 1)
	})
	cancel()
	held.Wait()
	return s.sayTrapped(a, node, "connection cut "+momentName(moment))
}

// holdCommit lets a COMMIT wait before Postgres gets it, or its answer before
// the node does.
func holdCommit(ctx context.Context, s *Site, a Act) error {
	chance := a.Rand()
	moment := [...]pgproxy.Moment{pgproxy.Sent, pgproxy.Answered}[chance.IntN(2)]
	node := s.trap(ctx, pointPatience+a.Hold, func(way *pgproxy.Proxy) *pgproxy.Trap {
		return way.HoldAt(pgproxy.Point{Statement: isCommit, After: isRows, Moment: moment}, 1+chance.IntN(pointWithin), a.Hold)
	})
	return s.sayTrapped(a, node, "COMMIT held for "+a.Hold.String()+" "+momentName(moment))
}

func (s *Site) sayTrapped(a Act, node, what string) error {
	if node == "" {
		return fmt.Errorf("nothing was stored within %s", pointPatience)
	}
	s.Say("  %s: %s, %s", a.Fault.Name, node, what)
	return nil
}

// trap sets a trap on every node's way, so that it is whoever stores who comes
// to it, and waits until one has done its work. It returns the node, or "" if
// none came in time. No trap is left.
func (s *Site) trap(ctx context.Context, patience time.Duration, set func(*pgproxy.Proxy) *pgproxy.Trap) (node string) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	var waiting sync.WaitGroup
	traps := make(map[string]*pgproxy.Trap)
	for _, name := range s.nodeNames() {
		trap := set(s.Ways[name])
		traps[name] = trap
		waiting.Go(func() {
			select {
			case <-trap.Sprung():
				cancel() // one is enough
			case <-ctx.Done():
			}
		})
	}
	waiting.Wait()
	for name, trap := range traps {
		if !trap.Disarm() {
			<-trap.Sprung() // what it holds, it does not hold for long
			node = name
		}
	}
	return node
}

// storing is the node that stores now; if nobody says so, any.
func (s *Site) storing(ctx context.Context, chance *rand.Rand) string {
	return either(s.Leaders(ctx).Consumer, s.shuffled(chance)[0])
}

// leading is the node that leads the stream now; if nobody says so, any.
func (s *Site) leading(ctx context.Context, chance *rand.Rand) string {
	return either(s.Leaders(ctx).Stream, s.shuffled(chance)[0])
}

func either(node, otherwise string) string {
	if node == "" {
		return otherwise
	}
	return node
}

// shuffled are all nodes, in an order that chance decides.
func (s *Site) shuffled(chance *rand.Rand) []string {
	names := s.nodeNames()
	chance.Shuffle(len(names), func(i, j int) { names[i], names[j] = names[j], names[i] })
	return names
}

func resetWire(ctx context.Context, s *Site, a Act) error {
	node := s.storing(ctx, a.Rand())
	s.Say("  %s: the connections of %s to Postgres", a.Fault.Name, node)
	s.Ways[node].Reset()
	return nil
}

func slowWire(ctx context.Context, s *Site, a Act) error {
	chance := a.Rand()
	node := s.storing(ctx, chance)
	rate := wireSlowest + chance.IntN(wireFastest-wireSlowest)
	delay := (wireLeastDelay + time.Duration(chance.Int64N(int64(wireMostWait-wireLeastDelay)))).Round(time.Millisecond)
	s.Say("  %s: %s has %d kB/s to Postgres and back, and %s more each way, for %s", a.Fault.Name, node, rate/1000, delay, a.Hold)
	s.Ways[node].Slow(rate, delay)
	defer s.Ways[node].Mend()
	pause(ctx, a.Hold)
	return nil
}

// spoilWire keeps the storing node from Postgres.
func spoilWire(how func(*pgproxy.Proxy), what string) func(context.Context, *Site, Act) error {
	return func(ctx context.Context, s *Site, a Act) error {
		node := s.storing(ctx, a.Rand())
		s.Say("  %s: the way of %s to Postgres %s, for %s", a.Fault.Name, node, what, a.Hold)
		how(s.Ways[node])
		defer s.Ways[node].Mend()
		pause(ctx, a.Hold)
		return nil
	}
}

func cutWires(ctx context.Context, s *Site, a Act) error {
	s.Say("  %s: no node reaches Postgres, for %s", a.Fault.Name, a.Hold)
	for _, way := range s.Ways {
		way.Cut()
		defer way.Mend()
	}
	pause(ctx, a.Hold)
	return nil
}
