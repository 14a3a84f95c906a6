package drill

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"
)

// readyPoll is how often leavers ask each node whether it is ready: at most
// so long after a node's /readyz turned 503 it is still sent requests.
const readyPoll = 50 * time.Millisecond

// leavers are callers that never repeat a request: each sends to the next of the
// nodes that said to be ready when they were last asked.
type leavers struct {
	nodes  []Addresses
	client *http.Client
	ready  []atomic.Bool // by node
	turn   atomic.Uint64
	acked  atomic.Int64

	mu    sync.Mutex
	calls []call
}

// call is one request of a caller.
type call struct {
	due, told time.Time
	failed    string // "": acknowledged
}

// newLeavers makes leavers that take all nodes to be ready.
func newLeavers(nodes []Addresses, callers int) *leavers {
	c := &leavers{nodes: nodes, ready: make([]atomic.Bool, len(nodes)), client: &http.Client{
		Timeout:   httpAttempt,
		Transport: &http.Transport{Proxy: nil, MaxIdleConnsPerHost: callers},
	}}
	for i := range c.ready {
		c.ready[i].Store(true)
	}
	return c
}

// run has the callers send at the rate, by an absolute schedule, until stop is
// closed. Each has a book of its own in the ledger.
func (c *leavers) run(ctx context.Context, ledger *Ledger, callers int, rate float64, stop <-chan struct{}) error {
	defer c.client.CloseIdleConnections()
	run, start := runName(), time.Now()
	var next atomic.Int64
	var g errgroup.Group
	for i := range callers {
		book, err := ledger.Book(fmt.Sprintf("leaver-%d", i))
		if err != nil {
			return err
		}
		g.Go(func() error {
			for {
				n := int(next.Add(1)) - 1
				due := start.Add(time.Duration(float64(n) / rate * float64(time.Second)))
				pause(ctx, time.Until(due))
				select {
				case <-stop:
					return book.Close()
				case <-ctx.Done():
					return errors.Join(book.Close(), context.Cause(ctx))
				default:
				}
				m := compose(run, "leaver")(n)
				ref := book.Offer(m, due)
				receipt, err := c.send(ctx, m)
				told := Told{Outcome: Unknown, At: time.Now(), Stream: receipt.Stream, Seq: receipt.Seq, Duplicate: receipt.Duplicate}
				one := call{due: due, told: told.At}
				if err != nil {
					one.failed = err.Error()
				} else {
					told.Outcome = Acked
					c.acked.Add(1)
				}
				book.Tell(ref, told)
				c.mu.Lock()
				c.calls = append(c.calls, one)
				c.mu.Unlock()
			}
		})
	}
	return g.Wait()
}

// send makes the one request. The body cannot be read again, so that net/http
// does not repeat it either.
func (c *leavers) send(ctx context.Context, m Message) (Receipt, error) {
	node, err := c.pick()
	if err != nil {
		return Receipt{}, err
	}
	body := struct{ io.Reader }{bytes.NewReader(m.Body)}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+node.HTTP+"/v1/publish/"+m.Subject, body)
	if err != nil {
		return Receipt{}, err
	}
	req.ContentLength = int64(len(m.Body))
	req.Header.Set("Idempotency-Key", m.ID)
	resp, err := c.client.Do(req)
	if err != nil {
		return Receipt{}, fmt.Errorf("%s: %w", node.Name, err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		return Receipt{}, fmt.Errorf("%s: read answer: %w", node.Name, err)
	}
	if resp.StatusCode != http.StatusOK {
		return Receipt{}, fmt.Errorf("%s: status %d: %s", node.Name, resp.StatusCode, text)
	}
	var r Receipt
	return r, json.Unmarshal(text, &r)
}

var errNobodyReady = errors.New("no node is ready")

func (c *leavers) pick() (Addresses, error) {
	for range c.nodes {
		if i := int(c.turn.Add(1) % uint64(len(c.nodes))); c.ready[i].Load() {
			return c.nodes[i], nil
		}
	}
	return Addresses{}, errNobodyReady
}

// ask keeps up to date who is ready, until ctx ends.
func (c *leavers) ask(ctx context.Context) {
	client := &http.Client{Timeout: time.Second}
	defer client.CloseIdleConnections()
	var all sync.WaitGroup
	for i, n := range c.nodes {
		all.Go(func() {
			tick := time.NewTicker(readyPoll)
			defer tick.Stop()
			for {
				resp, err := client.Get("http://" + n.HTTP + "/readyz")
				if err == nil {
					resp.Body.Close()
				}
				c.ready[i].Store(err == nil && resp.StatusCode == http.StatusOK)
				select {
				case <-ctx.Done():
					return
				case <-tick.C:
				}
			}
		})
	}
	all.Wait()
}

// between is what became of the calls in a stretch of time.
func (c *leavers) between(from, to time.Time) (s stretch) {
	c.mu.Lock()
	defer c.mu.Unlock()
	var told []time.Time
	for _, one := range c.calls {
		switch {
		case one.failed != "" && !one.told.Before(from) && one.told.Before(to):
			s.failed = append(s.failed, one.failed)
		case one.failed == "" && !one.told.Before(from) && one.told.Before(to):
			told = append(told, one.told)
			s.wait = max(s.wait, one.told.Sub(one.due))
		}
	}
	slices.SortFunc(told, time.Time.Compare)
	last := from
	for _, at := range append(told, to) {
		s.gap = max(s.gap, at.Sub(last))
		last = at
	}
	s.acked = len(told)
	return s
}

// stretch is what became of the calls in a stretch of time. Something is on
// offer all the time.
type stretch struct {
	acked  int
	failed []string
	gap    time.Duration // the longest without an acknowledgement
	wait   time.Duration // the longest from when a call was due to its acknowledgement
}

// termOne asks one node to stop, starts it again, and returns what the leavers
// has seen until it was ready for some time.
func (r *rig) termOne(ctx context.Context, c *leavers, node string, after time.Duration) (stretch, error) {
	began := time.Now()
	how, err := r.Term(ctx, node)
	if err != nil || how != "exit status 0" {
		return stretch{}, fmt.Errorf("%s ended with %q: %w", node, how, err)
	}
	stopped := time.Since(began)
	if err := r.Start(node); err != nil {
		return stretch{}, err
	}
	if err := r.AwaitReady(ctx, node); err != nil {
		return stretch{}, err
	}
	ready := time.Since(began)
	pause(ctx, after)
	s := c.between(began, time.Now())
	before := c.between(began.Add(-after), began) // nothing happened then
	r.t.Logf("  %s: stopped after %s, ready again after %s; %d acked, %d failed, longest gap %s (%s before), longest wait %s (%s before)", node,
		stopped.Round(time.Millisecond), ready.Round(time.Millisecond), s.acked, len(s.failed),
		s.gap.Round(time.Millisecond), before.gap.Round(time.Millisecond), s.wait.Round(time.Millisecond), before.wait.Round(time.Millisecond))
	return s, nil
}

// rolling restarts all nodes, one after the other, under load: each is sent
// SIGTERM while the leavers go on, and started again.
func (r *rig) rolling(callers int, rate float64, rounds int, after time.Duration) (led, followed []stretch) {
	r.t.Helper()
	ctx := within(r.t, time.Duration(rounds)*time.Minute+time.Minute)
	nc := r.dial()
	ledger := newLedger(r.t)
	c := newLeavers(r.Addresses(), callers)
	asking, enough := context.WithCancel(ctx)
	stop := make(chan struct{})
	var g errgroup.Group
	g.Go(func() error { c.ask(asking); return nil })
	g.Go(func() error { return c.run(ctx, ledger, callers, rate, stop) })
	g.Go(func() error {
		defer enough()
		defer close(stop)
		if err := poll(ctx, 10*time.Millisecond, func(context.Context) (bool, error) { return c.acked.Load() > int64(rate), nil }); err != nil {
			return err
		}
		for round := range rounds {
			for _, node := range r.nodeNames() {
				now, err := AwaitLeaders(ctx, nc, Stream, func(Leaders) bool { return true })
				if err != nil {
					return err
				}
				r.t.Logf("round %d: SIGTERM to %s, with leaders %+v", round+1, node, now)
				s, err := r.termOne(ctx, c, node, after)
				if err != nil {
					return err
				}
				if node == now.Stream {
					led = append(led, s)
				} else {
					followed = append(followed, s)
				}
			}
		}
		return nil
	})
	r.must(g.Wait())
	failed := map[string]int{}
	for _, s := range slices.Concat(led, followed) {
		for _, f := range s.failed {
			failed[f]++
		}
	}
	for what, times := range failed {
		r.t.Errorf("%d requests failed: %s", times, what)
	}
	r.proves(ledger)
	return led, followed
}

// rollingLane is three rolling restarts under a thousand messages a second.
func rollingLane(t *testing.T) {
	r := upRig(t, Options{MaxBytes: "512MiB"})
	t.Logf("64 callers, 1,000 messages a second in all, /readyz asked every %s", readyPoll)
	led, followed := r.rolling(64, 1000, 3, 2*time.Second)
	for _, part := range []struct {
		what string
		all  []stretch
	}{{"SIGTERM of the stream's leader", led}, {"SIGTERM of a follower", followed}, {"all", slices.Concat(led, followed)}} {
		var gaps, waits []time.Duration
		failed := 0
		for _, s := range part.all {
			gaps, waits, failed = append(gaps, s.gap), append(waits, s.wait), failed+len(s.failed)
		}
		t.Logf("%s, %d times: %d requests failed; longest gap %s; longest wait %s", part.what, len(gaps), failed, lie(gaps), lie(waits))
	}
}

// A rolling restart: who leaves a node when it says that it is not ready, and
// never repeats a request, sees none fail.
func TestRollingRestart(t *testing.T) {
	t.Parallel()
	upRig(t, Options{}).rolling(16, 200, 1, 200*time.Millisecond)
}

// lie says how a few durations lie.
func lie(d []time.Duration) string {
	if len(d) == 0 {
		return "none"
	}
	d = slices.Sorted(slices.Values(d))
	round := func(d time.Duration) string { return strings.TrimSpace(d.Round(time.Millisecond).String()) }
	return fmt.Sprintf("p50 %s, min %s, max %s", round(d[len(d)/2]), round(d[0]), round(d[len(d)-1]))
}
