package drill

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"golang.org/x/sync/errgroup"

	"landfall/pgserver/pgtest"
)

// crampedDoor counts the attempts that were refused because the stream was full.
type crampedDoor struct {
	Door
	full *atomic.Int64
}

func (d crampedDoor) Try(ctx context.Context, attempt int, m Message) (Receipt, error) {
	r, err := d.Door.Try(ctx, attempt, m)
	if isFull(err) {
		d.full.Add(1)
	}
	return r, err
}

// pacedDoor lets nobody in while much is on its way to Postgres: where Postgres
// stands still for a moment, a small stream would be right to refuse more.
type pacedDoor struct {
	Door
	*pace
}

const unstored = 500 // messages

// pace is how far the stream and Postgres are, for many publishers.
type pace struct {
	watch *Watch
	acked atomic.Uint64

	mu     sync.Mutex
	stored uint64
}

func (d pacedDoor) Try(ctx context.Context, attempt int, m Message) (Receipt, error) {
	if err := d.await(ctx); err != nil {
		return Receipt{}, err
	}
	r, err := d.Door.Try(ctx, attempt, m)
	for seen := d.acked.Load(); r.Seq > seen && !d.acked.CompareAndSwap(seen, r.Seq); seen = d.acked.Load() {
	}
	return r, err
}

func (p *pace) await(ctx context.Context) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	for p.acked.Load() > p.stored+unstored {
		if err := p.watch.AwaitCursor(ctx, Stream, p.acked.Load()-unstored, time.Minute); err != nil {
			return err
		}
		stored, _, err := p.watch.Cursor(ctx, Stream)
		if err != nil {
			return err
		}
		p.stored = stored
	}
	return nil
}

func isFull(err error) bool {
	var status *StatusError
	if errors.As(err, &status) {
		return strings.Contains(status.Body, "urn:landfall:problem:stream-full")
	}
	var api *jetstream.APIError
	return errors.As(err, &api) && api.ErrorCode == errStoreFailed
}

// A stream has room for what Postgres does not have yet, and for no more. While
// Postgres is there, nobody is refused, though several times as much goes
// through as the stream holds; while it is away, they are, and nothing of what
// was acknowledged is dropped.
func TestRoom(t *testing.T) {
	t.Parallel()
	server := pgtest.Server(t)
	r := upRig(t, Options{DatabaseURL: server.URL(), MaxBytes: "24MiB"})
	ledger := newLedger(t)
	ctx := within(t, 3*time.Minute)
	var full atomic.Int64
	web := r.HTTPDoor(32)
	t.Cleanup(web.Close)
	client, err := r.NATSDoor()
	r.must(err)
	t.Cleanup(client.Close)
	large := func(way string) func(int) Message {
		run := runName()
		return func(n int) Message {
			id := fmt.Sprintf("%s-%s-%d", run, way, n)
			return Message{ID: id, Subject: "messages.room", Body: []byte(id + strings.Repeat(".", 4<<10))}
		}
	}
	watch, err := NewWatch(ctx, r.url)
	r.must(err)
	t.Cleanup(watch.Close)
	overHTTP, overNATS := crampedDoor{web, &full}, crampedDoor{client, &full}
	paced := &pace{watch: watch}
	load := Load{Messages: 12_000, Rate: 1e6, Patience: 2 * time.Minute, Ways: []Way{
		{Name: "http", Door: pacedDoor{overHTTP, paced}, Publishers: 32, Compose: large("http")},
		{Name: "nats", Door: pacedDoor{overNATS, paced}, Publishers: 64, Compose: large("nats")},
	}}
	r.must(load.Run(ctx, ledger))
	if n := full.Load(); n > 0 {
		t.Errorf("%d attempts were refused for lack of room, with Postgres there", n)
	}

	r.must(server.Kill())
	load.Ways[0].Door, load.Ways[1].Door = overHTTP, overNATS
	load.Ways[0].Compose, load.Ways[1].Compose = large("http"), large("nats")
	var g errgroup.Group
	g.Go(func() error { return load.Run(ctx, ledger) })
	r.refusedForLackOfRoom(ctx, ledger)
	t.Logf("without Postgres the stream was full after %d messages more", ledger.Tally().Acked-12_000)
	r.must(server.Restart(ctx))
	r.must(g.Wait())
	if full.Load() == 0 {
		t.Error("no publisher was told that the stream is full")
	}
	r.stored(ctx, ledger.Tally().LastSeq)
	v, err := Check(ctx, r.url, ledger)
	r.must(err)
	t.Log(v.Proof())
	if !v.Holds() || v.Acked < 24_000 {
		t.Errorf("the promise does not hold: %+v", v)
	}
}

// refusedForLackOfRoom publishes at one node until it is refused, and looks at
// what a user of the HTTP door gets from a full stream.
func (r *rig) refusedForLackOfRoom(ctx context.Context, ledger *Ledger) {
	r.t.Helper()
	book, err := ledger.Book("asking for room")
	r.must(err)
	defer book.Close() //nolint:errcheck // the ledger keeps it
	for n := 0; ; n++ {
		m := Message{ID: fmt.Sprintf("room-%d", n), Subject: "messages.room", Body: bytes.Repeat([]byte("."), 64<<10)}
		ref := book.Offer(m, time.Now())
		req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+r.HTTPHosts()[0]+"/v1/publish/"+m.Subject, bytes.NewReader(m.Body))
		r.must(err)
		req.Header.Set("Idempotency-Key", m.ID)
		resp, err := http.DefaultClient.Do(req)
		r.must(err)
		body, err := io.ReadAll(resp.Body)
		r.must(errors.Join(err, resp.Body.Close()))
		if receipt, err := readAnswer(resp.StatusCode, body); err == nil {
			book.Tell(ref, Told{Outcome: Acked, At: time.Now(), Stream: receipt.Stream, Seq: receipt.Seq, Duplicate: receipt.Duplicate})
			continue
		}
		if !isFull(&StatusError{resp.StatusCode, string(body)}) || resp.StatusCode != http.StatusServiceUnavailable || resp.Header.Get("Retry-After") == "" {
			r.t.Errorf("status %d, Retry-After %q: %s", resp.StatusCode, resp.Header.Get("Retry-After"), body)
		}
		book.Tell(ref, Told{Outcome: Unknown, At: time.Now()})
		return
	}
}
