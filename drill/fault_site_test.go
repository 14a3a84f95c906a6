package drill

import (
	"context"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"golang.org/x/sync/errgroup"
)

// testSite is a site on a rig, for faults that need no network, disks or ways
// to Postgres of their own.
type testSite struct {
	*Site
	r *rig
}

// testWindow is a duplicate window that a test can wait out.
const testWindow = 2 * time.Second

// newTestSite starts three nodes and makes a site of them.
func newTestSite(t *testing.T) *testSite {
	t.Helper()
	return testSiteOn(upRig(t, Options{StreamKeys: testKeys()}))
}

// testKeys are those of the stream of a test site.
func testKeys() string { return "replay_window: 10m, duplicate_window: " + testWindow.String() }

// testSiteOn makes a site of three nodes that run.
func testSiteOn(r *rig) *testSite {
	t := r.t
	t.Helper()
	pool, err := pgxpool.New(t.Context(), r.url)
	r.must(err)
	t.Cleanup(pool.Close)
	r.stored(within(t, time.Minute), 0) // Postgres knows the stream
	ledger, err := NewLedger(t.TempDir())
	r.must(err)
	t.Cleanup(func() {
		if err := ledger.Close(); err != nil {
			t.Error(err)
		}
	})
	return &testSite{&Site{
		Cluster: r.Cluster, Conn: r.dial(), SQL: pool, Ledger: ledger, Gate: NewGate(),
		DuplicateWindow: testWindow, ReplayWindow: 10 * time.Minute, Say: t.Logf,
	}, r}
}

// suffer lets faults happen one after the other under a light load, waits
// after each until all has recovered, and proves the ledger in the end.
func (s *testSite) suffer(ctx context.Context, acts ...Act) Verdict {
	s.r.t.Helper()
	s.underLoad(ctx, 200, func(ctx context.Context) error {
		for _, act := range acts {
			began := time.Now()
			if err := act.Fault.Inflict(ctx, s.Site, act); err != nil {
				return err
			}
			healed := time.Now()
			if err := s.recovered(ctx); err != nil {
				return err
			}
			s.r.t.Logf("%s with seed %d took %s, recovery %s", act.Fault.Name, act.Seed, seconds(healed.Sub(began)), seconds(time.Since(healed)))
		}
		return nil
	})
	return s.judge(ctx)
}

// recovered waits until every node acknowledges, and Postgres has everything.
func (s *testSite) recovered(ctx context.Context) error {
	if err := s.awaitBack(ctx, s.nodeNames()...); err != nil {
		return err
	}
	for _, node := range s.nodeNames() {
		if err := s.storedThrough(ctx, node); err != nil {
			return err
		}
	}
	return nil
}

// underLoad publishes through both doors while a story goes on.
func (s *testSite) underLoad(ctx context.Context, rate float64, story func(context.Context) error) {
	s.r.t.Helper()
	http := s.Cluster.HTTPDoor(16)
	defer http.Close()
	client, err := s.Cluster.NATSDoor()
	s.r.must(err)
	defer client.Close()
	run, stop := runName(), make(chan struct{})
	load := Load{Rate: rate, Patience: 2 * time.Minute, Gate: s.Gate, Stop: stop, Ways: []Way{
		{Name: "http", Door: http, Publishers: 16, Compose: compose(run, "http")},
		{Name: "nats", Door: client, Publishers: 16, Compose: compose(run, "nats")},
	}}
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return load.Run(ctx, s.Ledger) })
	g.Go(func() error {
		defer close(stop)
		return story(ctx)
	})
	s.r.must(g.Wait())
}

// judge holds Postgres against the ledger, once everything is stored.
func (s *testSite) judge(ctx context.Context) Verdict {
	t := s.r.t
	t.Helper()
	s.r.must(s.recovered(ctx))
	v, err := Check(ctx, s.r.url, s.Ledger)
	s.r.must(err)
	t.Log(v.Proof())
	if !v.Holds() || v.Acked != v.Offered {
		t.Errorf("the promise does not hold: %+v", v)
	}
	for _, found := range s.Findings() {
		t.Errorf("found: %s", found)
	}
	if err := s.Cluster.Fallen(); err != nil {
		t.Error(err)
	}
	return v
}

// actsOf are one act of each of the faults named, or of all of them, as short
// as they come, with fresh seeds.
func actsOf(t *testing.T, faults []Fault, names ...string) []Act {
	t.Helper()
	var acts []Act
	for _, f := range faults {
		if len(names) == 0 || slices.Contains(names, f.Name) {
			acts = append(acts, Act{Fault: f, Hold: f.Hold[0], Seed: rand.Uint64()})
		}
	}
	if len(names) > 0 && len(acts) != len(names) {
		t.Fatalf("there are not all of the faults %v", names)
	}
	return acts
}
