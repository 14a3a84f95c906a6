package drill

import (
	"context"
	"math/rand/v2"
	"slices"
	"time"
)

// Fault is one kind of fault: what a drill does to a cluster, to Postgres, or
// to what lies between them.
type Fault struct {
	Name  string // "kill-leader"
	Group string // what --faults chooses by: "kill"
	About string // one line for people: "kill -9 of the node that leads the stream"
	Takes Takes  // what it has for itself while it lasts

	// Hold is how long it lasts, at least and at most. Both are 0 for a fault
	// that is over as soon as it has happened.
	Hold [2]time.Duration

	// Lacks tells why it cannot be had on this machine, or "". nil: it can.
	Lacks func(*Site) string

	// Inflict makes it happen, lets it last, and undoes it, also when ctx
	// ends in the middle. An error means that the drill itself could not do
	// what it wanted, not that the cluster suffered.
	Inflict func(ctx context.Context, s *Site, a Act) error
}

// Act is one fault of a plan: everything about it that chance decides. What
// depends on the moment, such as who leads, is found out when it happens.
type Act struct {
	Fault Fault
	After time.Duration // from the beginning of its round
	Hold  time.Duration
	Seed  uint64
}

// Rand is the act's own source of chance, the same for the same act.
func (a Act) Rand() *rand.Rand { return rand.New(rand.NewPCG(a.Seed, 0)) }

// Takes is what a fault has for itself while it lasts. Faults of one round
// never take the same.
type Takes struct {
	Nodes    int  // of the three; which ones, is found out when it happens: see Site.Claim
	Postgres bool // the server process, its directory, its tables' locks
	Wire     bool // the way between the nodes and Postgres
	Network  bool // the way between the nodes
	Stream   bool // the stream and its consumer
	Alone    bool // nothing else may happen
}

// faults are all that there are, in the order in which they are listed.
func faults() []Fault {
	return slices.Concat(
		killFaults(), termFaults(), stopFaults(), netFaults(), clientFaults(),
		postgresFaults(), wireFaults(), diskFaults(), streamFaults(),
	)
}
