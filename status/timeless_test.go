package status

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats.go"

	"landfall/message"
)

// ledger is a Postgres of one stream.
type ledger struct {
	mu    sync.Mutex
	has   map[uint64]message.Receipt
	away  error
	asked [][]uint64 // question by question, in order
	at    []time.Time
	takes time.Duration // a question
	now   int           // questions being answered
	most  int           // of them at the same time
}

func newLedger() *ledger { return &ledger{has: map[uint64]message.Receipt{}} }

// take has Postgres store something.
func (l *ledger) take(rs ...message.Receipt) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, r := range rs {
		l.has[r.Seq] = r
	}
}

func (l *ledger) outage(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.away = err
}

func (l *ledger) Receipts(ctx context.Context, stream string, seqs []uint64) ([]message.Receipt, error) {
	if stream != "S" {
		return nil, fmt.Errorf("asked about stream %q", stream)
	}
	l.mu.Lock()
	l.asked, l.at = append(l.asked, slices.Sorted(slices.Values(seqs))), append(l.at, time.Now())
	l.now++
	l.most = max(l.most, l.now)
	takes := l.takes
	l.mu.Unlock()
	if takes > 0 {
		select {
		case <-time.After(takes):
		case <-ctx.Done():
		}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.now--
	if l.away != nil {
		return nil, l.away
	}
	got := make([]message.Receipt, len(seqs))
	for i, seq := range seqs {
		r, ok := l.has[seq]
		if !ok {
			r = message.Receipt{Seq: seq, State: message.Pending}
		}
		got[i] = r
	}
	return got, ctx.Err()
}

func (l *ledger) Unstored(_ context.Context, _ string, first, last uint64, each func(message.Receipt)) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	for seq := first; seq <= last; seq++ {
		if r := l.has[seq]; r.Rejected() {
			each(r)
		}
	}
	return l.away
}

// questions are those asked so far.
func (l *ledger) questions() [][]uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.asked)
}

// id of message seq.
func id(seq uint64) string { return fmt.Sprintf("id-%d", seq) }

// row is message seq, stored.
func row(seq uint64) message.Receipt {
	return message.Receipt{Seq: seq, State: message.Stored, ID: id(seq)}
}

func poison(seq uint64) message.Receipt {
	return message.Receipt{Seq: seq, State: message.DeadLettered, ID: id(seq), SQLState: "22021", Reason: "poison"}
}

func newReceipts(t *testing.T, nc *nats.Conn, l Ledger) *Receipts {
	t.Helper()
	r, err := NewReceipts(ReceiptsOptions{Cluster: "landfall", Streams: []string{"S", "T"}, Conn: nc, Ledger: l})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// timeless is receipts in fake time: announcements are made by hand, and come
// at once.
type timeless struct {
	*Receipts
	*ledger
	t       *testing.T
	waiting sync.WaitGroup
}

// inFakeTime runs f with receipts at work.
func inFakeTime(t *testing.T, f func(w *timeless)) {
	t.Helper()
	nc := connect(t, startServer(t))
	synctest.Test(t, func(t *testing.T) {
		w := &timeless{t: t, ledger: newLedger()}
		w.Receipts = newReceipts(t, nc, w.ledger)
		ctx, stop := context.WithCancel(t.Context())
		a := &asker{track: w.tracks["S"], stream: "S", ledger: w.ledger, log: w.o.Log}
		ended := make(chan error, 1)
		go func() { ended <- a.run(ctx) }()
		f(w)
		w.waiting.Wait()
		if n := len(w.tracks["S"].waiters); n != 0 {
			t.Errorf("%d are still waiting", n)
		}
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}

// commits has the sink announce that what is there now from from to to is in
// Postgres.
func (w *timeless) commits(incarnation string, from, to uint64, clean bool) {
	w.tracks["S"].hear(announcement{Stream: "S", Incarnation: incarnation, From: from, To: to, Clean: clean})
	synctest.Wait()
}

// awaited is what comes of an Await.
type awaited struct {
	mu sync.Mutex
	outcome
}

type outcome struct {
	message.Receipt
	err   error
	after time.Duration
	done  bool
}

func (a *awaited) set(to outcome) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.outcome = to
}

func (a *awaited) get() outcome {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.outcome
}

// await begins to wait for message seq, for two minutes at most, and returns
// where the answer will be once everything has come to rest.
func (w *timeless) await(seq uint64, id string, floor uint64) *awaited {
	got := &awaited{}
	began := time.Now()
	w.waiting.Go(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
		defer cancel()
		r, err := w.Await(ctx, "S", seq, id, floor)
		got.set(outcome{r, err, time.Since(began), true})
	})
	synctest.Wait()
	return got
}

// pass lets fake time go by.
func (w *timeless) pass(d time.Duration) {
	<-time.After(d)
	synctest.Wait()
}

// is checks an answer.
func (w *timeless) is(got *awaited, want message.Receipt, after time.Duration) {
	w.t.Helper()
	synctest.Wait()
	if got := got.get(); !got.done || got.err != nil || got.Receipt != want || got.after != after {
		w.t.Errorf("%+v, want %+v after %v", got, want, after)
	}
}

func (w *timeless) open(got *awaited) {
	w.t.Helper()
	synctest.Wait()
	if got := got.get(); got.done {
		w.t.Errorf("answered with %+v", got)
	}
}

// were checks what Postgres was asked.
func (w *timeless) were(want ...[]uint64) {
	w.t.Helper()
	if diff := cmp.Diff(want, w.questions()); diff != "" {
		w.t.Errorf("questions: %s", diff)
	}
}
