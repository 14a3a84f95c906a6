package drill

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/nats-io/nats.go"

	"landfall/drill/pgproxy"
	"landfall/drill/volume"
	"landfall/pgserver"
)

// Site is what a drill works on: three nodes, each with a disk and a way to
// Postgres of its own, the network between them, and those who publish.
type Site struct {
	Cluster  *Cluster
	Machines *Machines                 // network faults need Machines.Isolated
	Disks    map[string]*volume.Volume // by node, and Postgres' own under "postgres"; nil where none can be mounted
	Server   *pgserver.Server
	Ways     map[string]*pgproxy.Proxy // each node's way to Postgres, by node
	Conn     *nats.Conn                // the drill's own, to whichever node lives
	SQL      *pgxpool.Pool             // the drill's own, straight to Postgres: it fails while Postgres is away
	Ledger   *Ledger
	Changes  *Ledger // of the stream of changes; nil where there is none
	Gate     *Gate   // holds the publishers still

	// Settings that faults have to know.
	DuplicateWindow time.Duration
	ReplayWindow    time.Duration

	// Say puts a line into the drill's story.
	Say func(format string, args ...any)

	claims   claims
	findings findings
}

// claims are the nodes that faults have for themselves.
type claims struct {
	mu    sync.Mutex
	taken []string
}

// errNoNode says that all nodes are taken; a plan that keeps to Takes does
// not let it happen.
var errNoNode = errors.New("no node is left for this fault")

// Claim gives a fault a node to itself until release: the first of the
// preferred ones that no other fault has, else any other. Whoever is busy with
// a node must not meet another fault that starts or stops it.
func (s *Site) Claim(preferred ...string) (node string, release func(), err error) {
	s.claims.mu.Lock()
	defer s.claims.mu.Unlock()
	for _, n := range s.Cluster.Addresses() {
		preferred = append(preferred, n.Name)
	}
	for _, name := range preferred {
		if name == "" || slices.Contains(s.claims.taken, name) {
			continue
		}
		s.claims.taken = append(s.claims.taken, name)
		return name, sync.OnceFunc(func() {
			s.claims.mu.Lock()
			defer s.claims.mu.Unlock()
			s.claims.taken = slices.DeleteFunc(s.claims.taken, func(n string) bool { return n == name })
		}), nil
	}
	return "", nil, errNoNode
}

// streams are those that the site has.
func (s *Site) streams() []string {
	if s.Changes == nil {
		return []string{Stream}
	}
	return []string{Stream, ChangesStream}
}

// Leaders tells who leads now; either is "" if nobody says so within a moment.
// Faults take it as a preference.
func (s *Site) Leaders(ctx context.Context) Leaders {
	now, _ := WhoLeads(ctx, s.Conn, Stream) // nobody may, just now
	return now
}

// findings are what faults found wrong with the cluster.
type findings struct {
	mu   sync.Mutex
	list []string
}

// Found enters a breach that no ledger and no table shows: a node that does not
// end as it should, a gap that is not recorded. The story tells it too.
func (s *Site) Found(format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	s.Say("  FOUND: %s", text)
	s.findings.mu.Lock()
	defer s.findings.mu.Unlock()
	s.findings.list = append(s.findings.list, text)
}

// Findings are all breaches entered so far.
func (s *Site) Findings() []string {
	s.findings.mu.Lock()
	defer s.findings.mu.Unlock()
	return slices.Clone(s.findings.list)
}
