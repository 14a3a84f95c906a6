package drill

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"
)

// Round is what happens together: faults that overlap, and then the recovery
// from all of them.
type Round struct {
	Number int // from 1
	Acts   []Act
}

// String names what happens, in the order in which it does.
func (r Round) String() string {
	var names []string
	for _, a := range r.Acts {
		names = append(names, a.Fault.Name)
	}
	return strings.Join(names, " + ")
}

// Plan deals faults from a shuffled deck, all of them once before any comes
// again, so that every kind is had equally often. Everything in it follows
// from its seed: the same seed over the same faults gives the same rounds.
type Plan struct {
	rand   *rand.Rand
	faults []Fault
	deck   []Fault
	deals  int // decks begun so far
	rounds int
}

const (
	// singlesEvery: in one deck of four each fault comes alone, so that what it
	// does by itself can be told; in the others they come together.
	singlesEvery = 4
	mostTogether = 4

	// spread is how far apart the faults of a round begin.
	spread = 2 * time.Second

	// longOutage is how long Postgres is away in one outage of a run that
	// comes to its third deck: long enough for every timeout and back-off to
	// reach its end.
	longOutage     = 185 * time.Second
	longOutageDeck = 3
	longOutageName = "pg-outage"
)

// NewPlan makes a plan of some faults; there must be one at least.
func NewPlan(seed uint64, faults []Fault) *Plan {
	return &Plan{rand: rand.New(rand.NewPCG(seed, 1)), faults: faults}
}

// Next is the next round. A plan has no end.
func (p *Plan) Next() Round {
	p.rounds++
	if len(p.deck) == 0 {
		p.deals++
		p.deck = slices.Clone(p.faults)
		p.rand.Shuffle(len(p.deck), func(i, j int) { p.deck[i], p.deck[j] = p.deck[j], p.deck[i] })
	}
	size := 1
	if p.deals%singlesEvery != 2%singlesEvery {
		size = 2 + p.rand.IntN(mostTogether-1)
	}
	return Round{p.rounds, p.acts(p.together(size))}
}

// together takes up to size faults from the deck that go together: the first
// one, and then the first that fit.
func (p *Plan) together(size int) []Fault {
	var chosen []Fault
	var taken Takes
	for i := 0; i < len(p.deck) && len(chosen) < size; {
		f := p.deck[i]
		if len(chosen) > 0 && !taken.leaves(f.Takes) {
			i++
			continue
		}
		taken = taken.and(f.Takes)
		chosen = append(chosen, f)
		p.deck = slices.Delete(p.deck, i, i+1)
	}
	return chosen
}

// acts decides by chance what is left to chance.
func (p *Plan) acts(chosen []Fault) []Act {
	acts := make([]Act, 0, len(chosen))
	within := spread
	for _, f := range chosen {
		hold := f.Hold[0]
		if more := f.Hold[1] - f.Hold[0]; more > 0 {
			hold += time.Duration(p.rand.Int64N(int64(more)))
		}
		if f.Name == longOutageName && p.deals == longOutageDeck {
			hold = longOutage
			within = longOutage - 30*time.Second
		}
		acts = append(acts, Act{Fault: f, Hold: hold.Round(time.Millisecond), Seed: p.rand.Uint64()})
	}
	for i := range acts {
		// Of a single one it does not matter, and of the long outage it is the
		// beginning that the others lie in.
		if after := time.Duration(p.rand.Int64N(int64(within))); len(acts) > 1 && acts[i].Hold != longOutage {
			acts[i].After = after.Round(time.Millisecond)
		}
	}
	slices.SortFunc(acts, func(a, b Act) int { return int(a.After - b.After) })
	return acts
}

// nodes is how many there are to take.
const nodes = 3

// leaves tells whether a fault can have what it takes beside what is taken.
func (t Takes) leaves(want Takes) bool {
	switch {
	case t.Alone || want.Alone:
		return false
	case t.Postgres && want.Postgres, t.Wire && want.Wire, t.Network && want.Network, t.Stream && want.Stream:
		return false
	default:
		return t.Nodes+want.Nodes <= nodes
	}
}

func (t Takes) and(more Takes) Takes {
	return Takes{
		Nodes:    t.Nodes + more.Nodes,
		Postgres: t.Postgres || more.Postgres,
		Wire:     t.Wire || more.Wire,
		Network:  t.Network || more.Network,
		Stream:   t.Stream || more.Stream,
		Alone:    t.Alone || more.Alone,
	}
}

// FaultGroups are the words that --faults takes, in the order of the list;
// single faults' names are taken too.
func FaultGroups() []string {
	var groups []string
	for _, f := range faults() {
		if !slices.Contains(groups, f.Group) {
			groups = append(groups, f.Group)
		}
	}
	return groups
}

// ChooseFaults are the faults of some groups or names; all of them if none is
// given. A word that is neither is an error. Their order does not depend on that
// of the words, so that a seed means the same plan.
func ChooseFaults(words []string) ([]Fault, error) {
	all := faults()
	if len(words) == 0 {
		return all, nil
	}
	is := func(f Fault, w string) bool { return f.Name == w || f.Group == w }
	for _, w := range words {
		if !slices.ContainsFunc(all, func(f Fault) bool { return is(f, w) }) {
			return nil, fmt.Errorf("there is no fault %q; there are the groups %s, and the faults that `app drill --list` shows",
				w, strings.Join(FaultGroups(), ", "))
		}
	}
	return slices.DeleteFunc(all, func(f Fault) bool {
		return !slices.ContainsFunc(words, func(w string) bool { return is(f, w) })
	}), nil
}
