package drill

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"
)

// Publishers of a drill. A tenth of the rate comes in batches, the rest in
// equal parts through HTTP and the NATS client port.
const (
	soakHTTP    = 48
	soakNATS    = 64
	soakBatches = 2

	// Changes come beside that rate, in this relation to it.
	soakChangers = 8
	changesShare = 0.2

	batchSubject = "messages.batch"
	batchShare   = 0.1

	// One message in so many is of an unusual kind.
	badEvery    = 499
	binaryEvery = 97
	largeEvery  = 991
	largeBody   = 64 << 10

	// badBeginning is what Postgres refuses at the beginning of a message:
	// see refuseBad. A batch's lines are JSON.
	badBeginning = `"refuse this`
)

// underLoad publishes while a story goes on; when it is over, what is under way
// is settled, and nothing new offered.
func (k *soak) underLoad(ctx context.Context, story func(context.Context) error) error {
	s := k.site
	http := s.Cluster.HTTPDoor(soakHTTP + soakBatches + soakChangers)
	defer http.Close()
	client, err := s.Cluster.NATSDoor()
	if err != nil {
		return err
	}
	defer client.Close()
	k.meter = &meter{ledger: s.Ledger, sql: s.SQL}
	run, stop := runName(), make(chan struct{})
	load := Load{
		Rate: k.Rate * (1 - batchShare), Patience: soakPatience, Gate: s.Gate, Stop: stop,
		Ways: []Way{
			{Name: "http", Door: noRefusals{http, s.Found}, Publishers: soakHTTP, Compose: soakCompose(run, "http")},
			{Name: "nats", Door: noRefusals{client, s.Found}, Publishers: soakNATS, Compose: soakCompose(run, "nats")},
		},
	}

	g, gctx := errgroup.WithContext(ctx)
	g.Go(func() error { return load.Run(gctx, s.Ledger) })
	for n := range soakBatches {
		name := fmt.Sprintf("%s-batch%d", run, n)
		book, err := s.Ledger.Book(name)
		if err != nil {
			return err
		}
		p := &batchPublisher{
			door: http, book: book, gate: s.Gate, name: name, compose: batchCompose, found: s.Found,
			every: time.Duration(soakBatches * batchLines / (k.Rate * batchShare) * float64(time.Second)),
		}
		g.Go(func() error { return p.run(gctx, stop) })
	}
	for n := range soakChangers {
		name := fmt.Sprintf("%s-%d", run, n)
		book, err := s.Changes.Book(name)
		if err != nil {
			return err
		}
		c := &changer{
			door: noRefusals{[]Door{http, client}[n%2], s.Found}, book: book, gate: s.Gate, name: name,
			every: time.Duration(soakChangers / (k.Rate * changesShare) * float64(time.Second)),
		}
		g.Go(func() error { return c.run(gctx, stop) })
	}
	watched, unwatch := context.WithCancel(gctx)
	defer unwatch()
	var watchers errgroup.Group
	for _, watch := range []func(context.Context) error{k.meter.watchAcks, k.meter.watchRows, k.supervise, k.live} {
		watchers.Go(func() error { return watch(watched) })
	}
	g.Go(func() error {
		defer close(stop)
		return story(gctx)
	})
	err = g.Wait()
	unwatch()
	return errors.Join(err, watchers.Wait())
}

// noRefusals is a door that has nothing to refuse for good: whatever it does
// refuse is a finding, also where an attempt before leaves the outcome unknown.
type noRefusals struct {
	Door
	found func(format string, args ...any)
}

func (d noRefusals) Try(ctx context.Context, attempt int, m Message) (Receipt, error) {
	r, err := d.Door.Try(ctx, attempt, m)
	if no := (*Refusal)(nil); errors.As(err, &no) {
		d.found("%s was refused for good: %v", m.ID, err)
	}
	return r, err
}

// soakCompose makes messages of a run, most of them as the demo's.
func soakCompose(run, door string) func(n int) Message {
	plain := compose(run, door)
	return func(n int) Message {
		m := plain(n)
		switch {
		case n%badEvery == badEvery-1:
			m.Bad = true
			m.Body = append([]byte(badBeginning+`" `), m.Body...)
		case n%binaryEvery == binaryEvery-1:
			m.Body = append([]byte{0, 0xff, 0xfe}, m.Body...) // neither text nor without a NUL
		case n%largeEvery == largeEvery-1:
			m.Body = append(m.Body, strings.Repeat(" ", largeBody)...)
		}
		return m
	}
}

// batchCompose makes a line of a batch.
func batchCompose(key string, line int) Message {
	m := Message{
		ID: fmt.Sprintf("%s/%d", key, line), Subject: batchSubject,
		Body: fmt.Appendf(nil, `{"batch":%q,"line":%d,"note":"%s"}`, key, line, strings.Repeat("landfall ", 20)),
	}
	if line == batchLines/2 && strings.HasSuffix(key, "7") {
		m.Bad = true
		m.Body = fmt.Appendf(nil, `%s %s"`, badBeginning, m.ID)
	}
	return m
}

// live keeps one line of progress.
func (k *soak) live(ctx context.Context) error {
	_ = poll(ctx, 200*time.Millisecond, func(context.Context) (bool, error) {
		t := k.site.Ledger.Tally()
		stored, longest := k.meter.now()
		k.n.show("          %s of %s · %d faults · %d acknowledged · %d stored · %d open · longest without an acknowledgement %s",
			time.Since(k.began).Round(time.Second), k.Duration, k.report.count(), t.Acked, stored, t.Offered-t.Settled, seconds(longest))
		return false, nil
	}) // it ends with ctx alone
	return nil
}
