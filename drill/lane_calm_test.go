package drill

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"golang.org/x/sync/errgroup"
)

var calmFor = flag.Duration("calm", time.Hour, "how long the lane calm takes")

const (
	calmBatch   = 20_000 // messages of an HTTP batch
	calmBatches = 2      // at a time, at each node
	calmClients = 2      // NATS clients that publish without waiting
	calmPending = 4000   // messages of a client that it has no answer for yet
	calmBody    = 256    // bytes of a message

	calmTimeout = 10 * time.Second // until a client gives a message up
)

// calm is full load and no fault: as much as the cluster takes, through HTTP
// batches at every node and through asynchronous NATS clients.
type calm struct {
	*rig
	http, async atomic.Int64 // acknowledged
	elections   atomic.Int64 // announced

	mu      sync.Mutex
	refused map[string]int // answers other than 200, by what they were
}

// calmLane counts elections while nothing fails. There should be none: a leader
// that is only busy must not be taken for dead.
func calmLane(t *testing.T) {
	// The replay window is as long as ids are remembered: a shorter one would
	// shorten that, too.
	c := &calm{rig: upRig(t, Options{MaxBytes: "2GiB", StreamKeys: "replay_window: 30s"}), refused: map[string]int{}}
	ctx := within(t, *calmFor+5*time.Minute)
	nc := c.dial()
	if _, err := AwaitLeaders(ctx, nc, Stream, func(Leaders) bool { return true }); err != nil {
		t.Fatal(err)
	}
	pause(ctx, 5*time.Second) // until all have heard of their leaders
	for _, subject := range []string{"$JS.EVENT.ADVISORY.STREAM.LEADER_ELECTED.>", "$JS.EVENT.ADVISORY.CONSUMER.LEADER_ELECTED.>"} {
		_, err := nc.Subscribe(subject, func(m *nats.Msg) {
			c.elections.Add(1)
			t.Errorf("an election: %s %s", m.Subject, m.Data)
		})
		c.must(err)
	}
	before := c.counted(ctx)
	working, stop := context.WithTimeout(ctx, *calmFor)
	defer stop()
	began := time.Now()
	var g errgroup.Group
	for _, n := range c.Addresses() {
		for i := range calmBatches {
			g.Go(func() error { return c.batches(working, n, fmt.Sprintf("calm-%s-%d", n.Name, i)) })
		}
	}
	for range calmClients {
		g.Go(func() error { return c.client(working) })
	}
	g.Go(func() error { return c.makeRoom(working, began) })
	c.must(g.Wait())
	took := time.Since(began)
	all := int(c.http.Load() + c.async.Load())
	t.Logf("%s: %d messages (%d/s), %d through HTTP, %d through NATS", took.Round(time.Second), all, rate(all, took), c.http.Load(), c.async.Load())
	for what, times := range c.refused {
		t.Logf("%d answers: %s", times, what)
		if strings.Contains(what, "stream-full") {
			t.Errorf("the stream had no room, with Postgres there")
		}
	}
	after := c.counted(ctx)
	t.Logf("elections announced: %d; counted by the nodes before %v, after %v", c.elections.Load(), before, after)
	for what, times := range after {
		if times != before[what] {
			t.Errorf("%s: %d elections", what, times-before[what])
		}
	}
	c.lag(ctx, nc, all)
}

// batches sends one batch after the other to a node.
func (c *calm) batches(ctx context.Context, n Addresses, name string) error {
	client := &http.Client{Transport: &http.Transport{}}
	defer client.CloseIdleConnections()
	line := []byte(`{"of":"` + name + `","pad":"`)
	line = append(append(line, bytes.Repeat([]byte("x"), calmBody-len(line)-3)...), "\"}\n"...)
	for number := 0; ctx.Err() == nil; number++ {
		body, in := io.Pipe()
		go func() {
			w := bufio.NewWriterSize(in, 64<<10)
			for i := 0; i < calmBatch && ctx.Err() == nil; i++ { // at the end the batch that is under way is a shorter one
				if _, err := w.Write(line); err != nil {
					break
				}
			}
			_ = in.CloseWithError(w.Flush())
		}()
		req, err := http.NewRequest(http.MethodPost, "http://"+n.HTTP+"/v1/publish/messages.calm", body)
		if err != nil {
			return err
		}
		req.Header.Set("Content-Type", "application/x-ndjson")
		req.Header.Set("Idempotency-Key", name+"-"+strconv.Itoa(number))
		resp, err := client.Do(req)
		if err != nil {
			return err
		}
		text, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		if err != nil {
			return err
		}
		c.answered(resp.StatusCode, text)
	}
	return nil
}

func (c *calm) answered(status int, text []byte) {
	var a struct {
		Messages     int64
		Acknowledged int64
		Type         string
	}
	if err := json.Unmarshal(text, &a); err != nil {
		a.Type = err.Error()
	}
	if status == http.StatusOK {
		c.http.Add(a.Messages)
		return
	}
	c.http.Add(a.Acknowledged)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.refused[fmt.Sprintf("%d %s", status, a.Type)]++
}

// client publishes without waiting, as fast as answers come.
func (c *calm) client(ctx context.Context) error {
	nc, err := c.Dial("calm")
	if err != nil {
		return err
	}
	defer nc.Close()
	// Without a time of its own nats.go waits for ever for what a leader has lost.
	js, err := jetstream.New(nc, jetstream.WithPublishAsyncMaxPending(calmPending), jetstream.WithPublishAsyncTimeout(calmTimeout), jetstream.WithPublishAsyncErrHandler(
		func(_ jetstream.JetStream, _ *nats.Msg, err error) {
			c.mu.Lock()
			defer c.mu.Unlock()
			c.refused["asynchronously: "+err.Error()]++
		}))
	if err != nil {
		return err
	}
	body := bytes.Repeat([]byte("y"), calmBody)
	acks := make(chan jetstream.PubAckFuture, calmPending)
	var g errgroup.Group
	g.Go(func() error {
		for ack := range acks {
			select {
			case <-ack.Ok():
				c.async.Add(1)
			case <-ack.Err(): //nolint:errcheck // the handler has counted it
			}
		}
		return nil
	})
	for ctx.Err() == nil {
		ack, err := js.PublishAsync("messages.calm", body, jetstream.WithStallWait(time.Minute))
		if err != nil {
			close(acks)
			return errors.Join(err, g.Wait())
		}
		acks <- ack
	}
	close(acks)
	return g.Wait()
}

// makeRoom empties the table now and then, which would fill the disk, and says
// how it is going.
func (c *calm) makeRoom(ctx context.Context, began time.Time) error {
	tick := time.NewTicker(30 * time.Second)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		conn, err := pgx.Connect(ctx, c.url)
		if err == nil {
			_, err = conn.Exec(ctx, "TRUNCATE public.messages")
			_ = conn.Close(context.WithoutCancel(ctx))
		}
		if err != nil && ctx.Err() == nil {
			return fmt.Errorf("make room in Postgres: %w", err)
		}
		all := int(c.http.Load() + c.async.Load())
		c.t.Logf("%s: %d messages (%d/s), %d elections", time.Since(began).Round(time.Second), all, rate(all, time.Since(began)), c.elections.Load())
	}
}

// counted are the elections that the nodes have counted, by node and group.
func (c *calm) counted(ctx context.Context) map[string]int {
	c.t.Helper()
	found := map[string]int{}
	for _, n := range c.Addresses() {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+n.HTTP+"/metrics", nil)
		c.must(err)
		resp, err := http.DefaultClient.Do(req)
		c.must(err)
		for lines := bufio.NewScanner(resp.Body); lines.Scan(); {
			name, value, ok := strings.Cut(lines.Text(), " ")
			if ok && strings.HasPrefix(name, "landfall_elections_total{") {
				times, err := strconv.Atoi(value)
				c.must(err)
				found[n.Name+" "+name] = times
			}
		}
		resp.Body.Close()
	}
	if len(found) != 3*len(c.Addresses()) {
		c.t.Errorf("the nodes' metrics: %v", found)
	}
	return found
}

// lag waits until Postgres has everything.
func (c *calm) lag(ctx context.Context, nc *nats.Conn, all int) {
	c.t.Helper()
	js, err := jetstream.New(nc)
	c.must(err)
	stream, err := js.Stream(ctx, Stream)
	c.must(err)
	last := stream.CachedInfo().State.LastSeq
	began := time.Now()
	c.stored(ctx, last)
	c.t.Logf("the stream has had %d messages, of which %d were acknowledged to somebody; Postgres had the last one %s after the end", last, all, time.Since(began).Round(time.Millisecond))
	if last < uint64(all) {
		c.t.Errorf("that are fewer than were acknowledged")
	}
	conn, err := pgx.Connect(ctx, c.url)
	c.must(err)
	defer conn.Close(context.WithoutCancel(ctx))
	var repeats, odd int
	c.must(conn.QueryRow(ctx, `SELECT (SELECT count(*) FROM landfall.duplicates),
		(SELECT count(*) FROM landfall.dead_letters) + (SELECT count(*) FROM landfall.gaps)`).Scan(&repeats, &odd))
	c.t.Logf("repeats that only Postgres has noticed: %d, and those whose first copy was cleared away with the table", repeats)
	if odd != 0 {
		c.t.Errorf("%d dead letters and gaps", odd)
	}
}
