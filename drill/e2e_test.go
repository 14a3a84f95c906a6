package drill

import (
	"context"
	"fmt"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"golang.org/x/sync/errgroup"

	"landfall/pgserver/pgtest"
)

// program is the binary under test, built by the first test that needs it and
// removed by TestMain.
var program = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", programPrefix(os.Getpid()))
	if err != nil {
		return "", err
	}
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	return BuildBinary(ctx, dir)
})

// programPrefix names the directory of a test process's binary.
func programPrefix(pid int) string { return fmt.Sprintf("landfall-test-binary-%d-", pid) }

// rig is a cluster of real processes in a test.
type rig struct {
	*Cluster
	t   *testing.T
	url string // the database
}

// newRig makes a cluster that is not started. Its end is the test's, with the
// nodes' troubles in the test's log if it failed.
func newRig(t *testing.T, o Options) *rig {
	t.Helper()
	path, err := program()
	if err != nil {
		t.Fatal(err)
	}
	if o.DatabaseURL == "" {
		o.DatabaseURL = pgtest.Database(t)
	}
	o.Binary = path
	if o.MaxBytes == "" {
		o.MaxBytes = "64MiB"
	}
	c, err := NewCluster(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Log(c.Trouble(10))
		}
		if err := c.Close(); err != nil {
			t.Error(err)
		}
		if !c.PortsFree() {
			t.Error("somebody still listens on the cluster's ports")
		}
	})
	return &rig{c, t, o.DatabaseURL}
}

// upRig is a cluster whose nodes are ready.
func upRig(t *testing.T, o Options) *rig {
	t.Helper()
	r := newRig(t, o)
	if err := r.Up(within(t, time.Minute)); err != nil {
		t.Fatal(err)
	}
	return r
}

func (r *rig) must(err error) {
	r.t.Helper()
	if err != nil {
		r.t.Fatal(err)
	}
}

// dial connects for the test's own questions.
func (r *rig) dial() *nats.Conn {
	r.t.Helper()
	nc, err := r.Dial("test")
	r.must(err)
	r.t.Cleanup(nc.Close)
	return nc
}

// load publishes through both doors while story goes on, and returns when
// both are over.
func (r *rig) load(ledger *Ledger, messages int, rate float64, story func(context.Context) error) {
	r.t.Helper()
	http := r.HTTPDoor(32)
	defer http.Close()
	client, err := r.NATSDoor()
	r.must(err)
	defer client.Close()
	run := runName()
	load := Load{Messages: messages, Rate: rate, Patience: time.Minute, Ways: []Way{
		{Door: http, Publishers: 32, Compose: compose(run, "http")},
		{Door: client, Publishers: 64, Compose: compose(run, "nats")},
	}}
	g, ctx := errgroup.WithContext(within(r.t, 2*time.Minute))
	g.Go(func() error { return load.Run(ctx, ledger) })
	g.Go(func() error { return story(ctx) })
	r.must(g.Wait())
}

// settled waits until so much of the load is over.
func settled(ctx context.Context, ledger *Ledger, n int) error {
	return poll(ctx, 5*time.Millisecond, func(context.Context) (bool, error) { return ledger.Tally().Settled >= n, nil })
}

// proves waits until Postgres has everything, and holds it against the ledger:
// all of it acknowledged, and all of it kept.
func (r *rig) proves(ledger *Ledger) Verdict {
	r.t.Helper()
	ctx := within(r.t, time.Minute)
	r.stored(ctx, ledger.Tally().LastSeq)
	v, err := Check(ctx, r.url, ledger)
	r.must(err)
	r.t.Log(v.Proof())
	if !v.Holds() || v.Acked != v.Offered {
		r.t.Errorf("the promise does not hold: %+v", v)
	}
	return v
}

// stored waits until Postgres has the stream up to seq.
func (r *rig) stored(ctx context.Context, seq uint64) {
	r.t.Helper()
	w, err := NewWatch(ctx, r.url)
	r.must(err)
	defer w.Close()
	r.must(w.AwaitCursor(ctx, Stream, seq, 45*time.Second))
}

// send publishes one message through a door and enters it into the ledger.
func (r *rig) send(ledger *Ledger, door Door, m Message) Told {
	r.t.Helper()
	b := book(r.t, ledger, "test")
	ref := b.Offer(m, time.Now())
	told := Deliver(within(r.t, time.Minute), door, m, time.Minute)
	b.Tell(ref, told)
	r.must(b.Close())
	if told.Outcome != Acked {
		r.t.Errorf("message %.40s: %+v", m.ID, told)
	}
	return told
}

func (r *rig) nodeNames() []string {
	var names []string
	for _, n := range r.Addresses() {
		names = append(names, n.Name)
	}
	return names
}

// killAgain kills a node, waits until others lead, and starts it again.
func (r *rig) killAgain(ctx context.Context, nc *nats.Conn, node string) error {
	how, err := r.Kill(ctx, node)
	if err != nil {
		return err
	}
	if how != "signal: killed" {
		return fmt.Errorf("%s ended with %q", node, how)
	}
	if _, err := AwaitLeaders(ctx, nc, Stream, func(l Leaders) bool { return l.Stream != node && l.Consumer != node }); err != nil {
		return err
	}
	if err := r.Start(node); err != nil {
		return err
	}
	return r.AwaitReady(ctx, node)
}

// agree is an error if the replicas differ.
func (r *rig) agree(ctx context.Context, nc *nats.Conn) error {
	findings, err := Replicas(ctx, nc, Stream, r.nodeNames())
	if err == nil && len(findings) > 0 {
		err = fmt.Errorf("%s", findings)
	}
	return err
}
