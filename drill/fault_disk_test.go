package drill

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"golang.org/x/sync/errgroup"

	"landfall/drill/volume"
	"landfall/pgserver"
	"landfall/pgserver/pgtest"
)

// siteRig is a site whose nodes and Postgres have disks of their own, where
// they can be had, and machines, likewise.
type siteRig struct {
	*rig
	*Site
	ledger *Ledger
}

// upSite starts everything. Disks go after those who use them have ended.
func upSite(t *testing.T) *siteRig {
	t.Helper()
	m, err := NewMachines("n1", "n2", "n3")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := m.Close(); err != nil {
			t.Error(err)
		}
	})
	o := Options{DatabaseURL: "known later"}
	if m.Isolated() {
		o.Machines, o.Token = m, testToken
	}
	r := &siteRig{rig: newRig(t, o), ledger: newLedger(t)}
	began := time.Now()
	r.Site = &Site{Cluster: r.rig.Cluster, Machines: m, Ledger: r.ledger, Gate: NewGate(), Say: func(format string, args ...any) {
		t.Logf("%6.1fs %s", time.Since(began).Seconds(), fmt.Sprintf(format, args...))
	}}
	r.mount()
	so := pgserver.Options{}
	if r.Disks != nil {
		so.Dir = r.Disks[postgresName].Path()
	}
	if m.Isolated() {
		so.Listen, so.Password = m.Gateway, rand.Text()
	}
	r.Server = pgtest.Start(t, so)
	r.url = r.Server.URL()
	r.opts.DatabaseURL = r.url
	if m.Isolated() {
		r.opts.DatabaseURL = r.Server.NetworkURL()
	}
	r.SQL, err = pgxpool.New(t.Context(), r.url)
	r.must(err)
	t.Cleanup(r.SQL.Close)
	r.must(r.Up(within(t, time.Minute)))
	r.stored(within(t, time.Minute), 0) // the tables are there
	r.Conn = r.dial()
	return r
}

func (r *siteRig) mount() {
	r.t.Helper()
	if why := volume.Lacking(); why != "" {
		r.t.Log("no disks: ", why)
		return
	}
	r.Disks = make(map[string]*volume.Volume)
	for name, size := range map[string]int64{"n1": 1 << 30, "n2": 1 << 30, "n3": 1 << 30, postgresName: 2 << 30} {
		at := r.DataPath(name)
		if name == postgresName {
			at = filepath.Join(r.Dir(), name)
		}
		v, err := volume.Create(filepath.Join(r.Dir(), name+".img"), at, size)
		r.must(err)
		r.Disks[name] = v
		r.t.Cleanup(func() {
			if err := errors.Join(r.End(), v.Close()); err != nil {
				r.t.Error(err)
			}
		})
	}
}

// suffer inflicts faults one after the other under a light load, waits after
// each until all nodes are ready again, and proves that everything was kept.
func (r *siteRig) suffer(acts ...Act) {
	r.t.Helper()
	http := r.HTTPDoor(16)
	defer http.Close()
	client, err := r.NATSDoor()
	r.must(err)
	defer client.Close()
	run, stop := runName(), make(chan struct{})
	load := Load{Rate: 200, Patience: time.Minute, Gate: r.Gate, Stop: stop, Ways: []Way{
		{Name: "http", Door: http, Publishers: 16, Compose: compose(run, "http")},
		{Name: "nats", Door: client, Publishers: 16, Compose: compose(run, "nats")},
	}}
	supervised, done := context.WithCancel(r.t.Context())
	g, ctx := errgroup.WithContext(within(r.t, 4*time.Minute))
	g.Go(func() error { return r.supervise(supervised) })
	g.Go(func() error { return load.Run(ctx, r.ledger) })
	g.Go(func() error {
		defer done()
		defer close(stop)
		for _, act := range acts {
			if err := r.suffers(ctx, act); err != nil {
				return fmt.Errorf("%s: %w", act.Fault.Name, err)
			}
		}
		return nil
	})
	r.must(g.Wait())
	over := time.Now()
	r.proves(r.ledger)
	r.Say("everything is stored, and checked, %s after the load", time.Since(over).Round(10*time.Millisecond))
}

func (r *siteRig) suffers(ctx context.Context, act Act) error {
	if act.Fault.Lacks != nil {
		if why := act.Fault.Lacks(r.Site); why != "" {
			r.t.Logf("%s cannot be had: %s", act.Fault.Name, why)
			return nil
		}
	}
	if err := settled(ctx, r.ledger, r.ledger.Tally().Settled+20); err != nil {
		return err
	}
	if err := act.Fault.Inflict(ctx, r.Site, act); err != nil {
		return err
	}
	healed := time.Now()
	var last error
	err := poll(ctx, 50*time.Millisecond, func(ctx context.Context) (bool, error) {
		once, cancel := context.WithTimeout(ctx, time.Second)
		defer cancel()
		last = r.AwaitReady(once)
		return last == nil, nil
	})
	if err != nil {
		return errors.Join(err, last)
	}
	if err := settled(ctx, r.ledger, r.ledger.Tally().Settled+20); err != nil {
		return err
	}
	r.Say("%s: all are ready and acknowledge %s after it", act.Fault.Name, time.Since(healed).Round(10*time.Millisecond))
	return nil
}

// supervise starts nodes again that end by themselves, unless a fault has them.
func (r *siteRig) supervise(ctx context.Context) error {
	err := poll(ctx, 250*time.Millisecond, func(context.Context) (bool, error) {
		var gone *EndedError
		if !errors.As(r.Fallen(), &gone) {
			return false, nil
		}
		r.claims.mu.Lock()
		taken := slices.Contains(r.claims.taken, gone.Node)
		r.claims.mu.Unlock()
		if taken {
			return false, nil
		}
		r.Say("  %s ended by itself: %s", gone.Node, gone.How)
		return false, r.Start(gone.Node)
	})
	if ctx.Err() != nil {
		return nil
	}
	return err
}

// act is one of the faults that there are, for so long.
func act(t *testing.T, list []Fault, name string, hold time.Duration) Act {
	t.Helper()
	i := slices.IndexFunc(list, func(f Fault) bool { return f.Name == name })
	if i < 0 {
		t.Fatalf("there is no fault %s", name)
	}
	return Act{Fault: list[i], Hold: hold, Seed: uint64(time.Now().UnixNano())}
}

func TestDiskFaults(t *testing.T) {
	t.Parallel()
	if why := volume.Lacking(); why != "" {
		t.Skip("no disks: ", why)
	}
	upSite(t).suffer(
		act(t, diskFaults(), "fsync-stall", time.Second),
		act(t, diskFaults(), "power-cut-one", 200*time.Millisecond),
		act(t, diskFaults(), "node-disk-full", time.Second),
		withoutPostgres(act(t, diskFaults(), "power-cut-all", 200*time.Millisecond)),
	)
}

// withoutPostgres inflicts a fault when Postgres has been away for some
// hundred messages, which then are nowhere but on the nodes' disks.
func withoutPostgres(a Act) Act {
	inflict := a.Fault.Inflict
	a.Fault.Inflict = func(ctx context.Context, s *Site, a Act) error {
		err := s.Server.Kill()
		if err == nil {
			err = settled(ctx, s.Ledger, s.Ledger.Tally().Settled+300)
		}
		return errors.Join(err, inflict(ctx, s, a), s.awaitPostgres(ctx))
	}
	return a
}

// disksLane inflicts each fault of disks and Postgres for as long as a drill
// might.
func disksLane(t *testing.T) {
	for name, list := range map[string][]Fault{"disk": diskFaults(), "postgres": postgresFaults()} {
		t.Run(name, func(t *testing.T) {
			var acts []Act
			for _, f := range list {
				acts = append(acts, Act{Fault: f, Hold: f.Hold[0]}, Act{Fault: f, Hold: f.Hold[1], Seed: 1})
			}
			upSite(t).suffer(acts...)
		})
	}
}
