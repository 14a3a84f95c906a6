package drill

import (
	"context"
	"crypto/rand"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"landfall/pgserver"
	"landfall/pgserver/pgtest"
)

// testToken has what YAML, URLs and headers must not trip over.
const testToken = "t0ken:$HOME/#?@%41&"

// machinesRig is a rig whose nodes run on three machines. A fourth one,
// "stranger", runs none of them. The machines go after the nodes have ended.
type machinesRig struct {
	*rig
	machines *Machines
}

func upMachines(t *testing.T) *machinesRig {
	t.Helper()
	m, err := NewMachines("n1", "n2", "n3", "stranger")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := m.Close(); err != nil {
			t.Error(err)
		}
	})
	t.Log("the machines are ", m.Where)
	o := pgserver.Options{}
	if m.Isolated() {
		o.Listen, o.Password = m.Gateway, rand.Text()
	}
	server := pgtest.Start(t, o)
	url := server.URL()
	if m.Isolated() {
		url = server.NetworkURL()
	}
	return &machinesRig{upRig(t, Options{DatabaseURL: url, Machines: m, Token: testToken}), m}
}

// others are the nodes that are not the one named.
func (r *machinesRig) others(node string) []string {
	var names []string
	for _, name := range r.nodeNames() {
		if name != node {
			names = append(names, name)
		}
	}
	return names
}

// unplug cuts a node off from everything; where there is no cable to pull, it
// freezes. The return value undoes it.
func (r *machinesRig) unplug(node string) (plug func() error, err error) {
	if r.machines.Isolated() {
		return func() error { return r.machines.Plug(node) }, r.machines.Unplug(node)
	}
	return func() error { return r.Cont(node) }, r.Stop(node)
}

// leadBoth makes one node lead and store.
func (r *machinesRig) leadBoth(ctx context.Context, nc *nats.Conn) string {
	r.t.Helper()
	now, err := AwaitLeaders(ctx, nc, Stream, func(Leaders) bool { return true })
	r.must(err)
	r.must(LeadBoth(ctx, nc, Stream, now.Stream))
	return now.Stream
}

// publishTo sends messages through some of the nodes alone, all of which must
// be acknowledged in time.
func (r *machinesRig) publishTo(ctx context.Context, ledger *Ledger, n int, nodes []string) error {
	door := r.HTTPDoor(8, nodes...)
	defer door.Close()
	load := Load{Messages: n, Rate: 100, Patience: time.Minute, Ways: []Way{
		{Door: door, Publishers: 8, Compose: compose(runName(), strings.Join(nodes, "-"))},
	}}
	return load.Run(ctx, ledger)
}

// The demo's proof on three machines with the token, and then a pulled cable.
func TestMachines(t *testing.T) {
	t.Parallel()
	r := upMachines(t)
	nc := r.dial()
	ledger := newLedger(t)
	r.load(ledger, 2000, 500, func(ctx context.Context) error {
		if err := settled(ctx, ledger, 500); err != nil {
			return err
		}
		return r.killAgain(ctx, nc, r.leadBoth(ctx, nc))
	})
	r.load(ledger, 2000, 500, func(ctx context.Context) error {
		if err := settled(ctx, ledger, 2500); err != nil {
			return err
		}
		lost := r.leadBoth(ctx, nc)
		plug, err := r.unplug(lost)
		if err != nil {
			return err
		}
		pulled := time.Now()
		if err := r.publishTo(ctx, ledger, 300, r.others(lost)); err != nil {
			return err
		}
		t.Logf("without %s the others had everything after %s", lost, time.Since(pulled).Round(time.Millisecond))
		if err := plug(); err != nil {
			return err
		}
		plugged := time.Now()
		if err := r.AwaitReady(ctx, lost); err != nil {
			return err
		}
		t.Logf("%s was back %s after its cable", lost, time.Since(plugged).Round(time.Millisecond))
		// And it is no ornament: it takes messages again.
		return r.publishTo(ctx, ledger, 100, []string{lost})
	})
	if r.Fallen() != nil {
		t.Error(r.Fallen())
	}
	r.proves(ledger)
}

// The node that leads no longer reaches the others, but its clients reach it:
// it has no majority, and must not acknowledge.
func TestMachinesLeaderCutOff(t *testing.T) {
	t.Parallel()
	r := upMachines(t)
	ctx := within(t, time.Minute)
	nc := r.dial()
	ledger := newLedger(t)
	r.must(r.publishTo(ctx, ledger, 100, r.nodeNames()))
	cut := r.leadBoth(ctx, nc)
	nc.Close() // it may be connected to any of them

	mend := r.partFromOthers(cut)
	m := Message{ID: "cut-off", Subject: "messages.cut", Body: []byte("said to a leader without a majority")}
	b := book(t, ledger, "cut-off")
	ref := b.Offer(m, time.Now())
	client, err := r.NATSDoor(cut)
	r.must(err)
	defer client.Close()
	door := r.HTTPDoor(1, cut)
	defer door.Close()
	asked := make(chan int, 1)
	go func() { asked <- r.status(http.MethodPost, cut, "/v1/publish/"+m.Subject, testToken, m) }()
	if receipt, err := client.Try(ctx, 0, m); err == nil {
		t.Errorf("a leader without a majority acknowledged %+v over NATS", receipt)
	}
	if r.machines.Isolated() {
		r.must(r.publishTo(ctx, ledger, 100, r.others(cut)))
	}
	if status := <-asked; status != http.StatusServiceUnavailable {
		t.Errorf("a leader without a majority answered %d", status)
	}
	if status := r.status(http.MethodGet, cut, "/readyz", "", Message{}); status != http.StatusServiceUnavailable {
		t.Errorf("cut off, its readiness is %d", status)
	}
	mend()
	r.must(r.AwaitReady(ctx))
	// The same message again, now that it can be promised.
	b.Tell(ref, Deliver(ctx, door, m, time.Minute))
	r.must(r.publishTo(ctx, ledger, 50, []string{cut}))
	r.proves(ledger)
}

// partFromOthers leaves a node to its clients alone. Where the network cannot
// be cut, the others freeze.
func (r *machinesRig) partFromOthers(node string) (mend func()) {
	r.t.Helper()
	others := r.others(node)
	if r.machines.Isolated() {
		r.must(r.machines.Part(node, others...))
		return func() { r.must(r.machines.Join(node, others...)) }
	}
	for _, other := range others {
		r.must(r.Stop(other))
	}
	return func() {
		for _, other := range others {
			r.must(r.Cont(other))
		}
	}
}

// status asks a node over HTTP, with a token or without, and returns the
// status of the answer; 0 if there was none.
func (r *machinesRig) status(method, node, path, token string, m Message) int {
	host := r.addresses([]string{node}, func(n Addresses) string { return n.HTTP })[0]
	return r.statusAt(method, host, path, token, m)
}

// statusAt is status with the host:port.
func (r *machinesRig) statusAt(method, host, path, token string, m Message) int {
	ctx, cancel := context.WithTimeout(r.t.Context(), 20*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, "http://"+host+path, strings.NewReader(string(m.Body)))
	if err != nil {
		r.t.Error(err)
		return 0
	}
	if m.ID != "" {
		req.Header.Set("Idempotency-Key", m.ID)
	}
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		r.t.Error(err)
		return 0
	}
	resp.Body.Close()
	return resp.StatusCode
}
