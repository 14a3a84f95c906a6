package drill

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"
)

// overloadLane offers a node ten times what it lets in: first in bytes, then
// in messages, each for a minute in a closed loop, in whose middle another
// node is killed. Only 200, 429 and, while a leader is elected, 503 are
// answered, memory stays within bounds, and every 200 is kept.
func overloadLane(t *testing.T) {
	t.Run("bytes", func(t *testing.T) { overload(t, 640, 1<<20-1024, time.Minute) })
	t.Run("messages", func(t *testing.T) { overload(t, 40_960, 200, time.Minute) })
}

// What a node's memory may grow to above its idle figure: what it lets in many
// times over, and what each connection takes. A message that is slow to be
// acknowledged is published again every second, the server queues every copy
// for its log and its peers, and Go collects garbage when the heap has doubled.
const (
	overloadMiB      = 2048
	connectionsOfMiB = 16
)

func overload(t *testing.T, clients, size int, d time.Duration) {
	clients = roomFor(t, clients)
	// Stored messages leave the streams at once, so that the disks hold out.
	r := upRig(t, Options{MaxBytes: "6GiB", StreamKeys: "replay_window: 1s"})
	nc := r.dial()
	ctx := within(t, 10*time.Minute)
	target := r.Addresses()[0]
	m := memory{t, r.PID(target.Name)}
	idle, _ := m.read()
	m.forget()

	crowd := newCrowd(t, target.HTTP, clients, size)
	over, stop := context.WithCancel(ctx)
	defer stop()
	var g errgroup.Group
	g.Go(func() error { return crowd.run(over) })
	var series []int
	g.Go(func() error {
		_ = poll(over, d/12, func(context.Context) (bool, error) { // it ends with the crowd
			now, _ := m.read()
			series = append(series, now)
			return false, nil
		})
		return nil
	})
	pause(ctx, d/3)
	// The worst other node to lose: it leads and stores.
	victim := r.Addresses()[1].Name
	r.must(LeadBoth(ctx, nc, Stream, victim))
	t.Logf("killing %s", victim)
	r.must(r.killAgain(ctx, nc, victim))
	pause(ctx, d*2/3)
	stop()
	r.must(g.Wait())
	now, most := m.read()
	t.Logf("%d clients with %d bytes each: %s", clients, size, crowd.tally())
	t.Logf("memory of %s: %d MiB idle, %d MiB at most, %d MiB in the end; over time %v", target.Name, idle, most, now, series)
	if limit := idle + overloadMiB + clients/connectionsOfMiB; most > limit {
		t.Errorf("that is more than %d MiB", limit)
	}
	crowd.judge(t)
	// What was offered and not acknowledged is of unknown outcome: sent again,
	// it is, once the crowd is gone, and then everything has to be a row.
	r.must(crowd.finish(ctx))
	r.stored(ctx, crowd.ledger.Tally().LastSeq)
	r.proves(crowd.ledger)
	t.Logf("%s", crowd.tally())
}

// roomFor is how many of so many clients there can be: each takes an open file
// here and one in the node.
func roomFor(t *testing.T, clients int) int {
	t.Helper()
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	// A connection that ends lingers while the next one is made, and a node
	// has files of its own.
	if want := uint64(clients * 5 / 3); limit.Max < want {
		// Only root may raise it, and not everywhere.
		raised := syscall.Rlimit{Cur: want, Max: want}
		if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &raised); err != nil {
			clients = int(limit.Max) * 3 / 5
			t.Logf("ulimit -n %d leaves room for %d clients", limit.Max, clients)
		}
	}
	return clients
}

// crowd is many clients that each send one message at a time to one node, and
// repeat it until it is acknowledged.
type crowd struct {
	url    string
	size   int
	ledger *Ledger
	book   *Book // one for all: each may not have an open file more
	doors  []*http.Client
	left   []pending // by client: what it had not been promised at the end

	mu      sync.Mutex
	answers map[int]int // by status
	broken  map[string]int
	slow    atomic.Int64 // the longest answer, in milliseconds
}

type pending struct {
	m   Message
	ref Ref
}

func newCrowd(t *testing.T, host string, clients, size int) *crowd {
	ledger := newLedger(t)
	c := &crowd{url: "http://" + host + "/v1/publish/messages.crowd", size: size, ledger: ledger, book: book(t, ledger, "crowd"),
		left: make([]pending, clients), answers: map[int]int{}, broken: map[string]int{}}
	// An address has 28,000 ports for outgoing connections.
	const perAddress = 15_000
	for i := 0; i*perAddress < clients; i++ {
		from := &net.TCPAddr{IP: net.IPv4(127, 0, 0, byte(1+i))}
		c.doors = append(c.doors, &http.Client{Transport: &http.Transport{
			DialContext:         (&net.Dialer{LocalAddr: from}).DialContext,
			MaxIdleConnsPerHost: perAddress, MaxConnsPerHost: perAddress,
		}})
	}
	return c
}

// run goes on until ctx ends; what is under way then is waited for.
func (c *crowd) run(ctx context.Context) error {
	var g errgroup.Group
	for i := range c.left {
		g.Go(func() error {
			// Bytes that do not compress: Postgres would spend its time on it.
			body := make([]byte, c.size)
			for j := 64; j < len(body); j++ {
				body[j] = byte(rand.Uint32())
			}
			for n := 0; ctx.Err() == nil; n++ {
				id := fmt.Sprintf("crowd-%d-%d", i, n)
				copy(body, id+" ")
				m := Message{ID: id, Subject: "messages.crowd", Body: body}
				ref := c.book.Offer(m, time.Now())
				c.left[i] = pending{m, ref}
				for ctx.Err() == nil && !c.try(i, m, ref) {
					pause(ctx, time.Duration(10+rand.IntN(40))*time.Millisecond)
				}
			}
			return nil
		})
	}
	return g.Wait()
}

// try sends once, and tells whether it was acknowledged.
func (c *crowd) try(client int, m Message, ref Ref) bool {
	began := time.Now()
	// Not bound to the run: every request gets its answer.
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, c.url, bytes.NewReader(m.Body))
	if err != nil {
		c.count(0, err)
		return false
	}
	req.Header.Set("Idempotency-Key", m.ID)
	resp, err := c.doors[client%len(c.doors)].Do(req)
	if err != nil {
		c.count(0, err)
		return false
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	if err != nil {
		c.count(0, err)
		return false
	}
	c.count(resp.StatusCode, nil)
	for took := time.Since(began).Milliseconds(); ; {
		if most := c.slow.Load(); took <= most || c.slow.CompareAndSwap(most, took) {
			break
		}
	}
	if resp.StatusCode == http.StatusTooManyRequests && resp.Header.Get("Retry-After") == "" {
		c.count(0, errors.New("a 429 without Retry-After"))
	}
	receipt, err := readAnswer(resp.StatusCode, answer)
	if err != nil {
		return false
	}
	c.book.Tell(ref, Told{Outcome: Acked, At: time.Now(), Stream: receipt.Stream, Seq: receipt.Seq, Duplicate: receipt.Duplicate})
	return true
}

// count notes an answer, or why there was none.
func (c *crowd) count(status int, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	var op *net.OpError
	switch {
	case err == nil:
		c.answers[status]++
	case errors.As(err, &op):
		var number syscall.Errno
		errors.As(err, &number)
		c.broken[op.Op+": "+number.Error()]++
	default:
		c.broken[err.Error()]++
	}
}

func (c *crowd) tally() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return fmt.Sprintf("answers %v, no answer %v, the slowest %d ms", c.answers, c.broken, c.slow.Load())
}

// judge holds the answers against what may be answered.
func (c *crowd) judge(t *testing.T) {
	t.Helper()
	c.mu.Lock()
	defer c.mu.Unlock()
	for status, n := range c.answers {
		if !slices.Contains([]int{http.StatusOK, http.StatusTooManyRequests, http.StatusServiceUnavailable}, status) {
			t.Errorf("%d answers with status %d", n, status)
		}
	}
	if c.answers[http.StatusOK] == 0 || c.answers[http.StatusTooManyRequests] == 0 {
		t.Error("that was no overload")
	}
}

// finish sends what is left, a few at a time.
func (c *crowd) finish(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(16)
	for i, p := range c.left {
		g.Go(func() error {
			return poll(ctx, 100*time.Millisecond, func(context.Context) (bool, error) { return c.try(i, p.m, p.ref), nil })
		})
	}
	return g.Wait()
}
