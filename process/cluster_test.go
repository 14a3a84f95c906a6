package process

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"landfall/cluster"
	"landfall/node/nodetest"
	"landfall/pgserver/pgtest"
)

func TestMain(m *testing.M) { pgtest.Main(m) }

// testCluster is a cluster in this process: the nodes as the binary runs them, on
// free ports, and its database.
type testCluster struct {
	t      *testing.T
	config *cluster.Config
	token  string // that requests carry
	files  uint64 // that each node may open; 0: what the system says
	level  slog.Level
	log    syncBuffer
	stops  map[string]func() error
	nodes  map[string]*running // as last started
	db     *pgxpool.Pool
}

// newCluster describes a cluster on a database of its own; nothing runs yet.
func newCluster(t *testing.T, nodes int, databaseURL string) *testCluster {
	t.Helper()
	c := &testCluster{t: t, config: nodetest.Config(t, nodes), stops: map[string]func() error{}, nodes: map[string]*running{}}
	c.config.MessagesTable = "public.messages"
	c.config.Postgres = cluster.Postgres{URL: databaseURL, Migrate: true}
	db, err := pgxpool.New(t.Context(), databaseURL)
	if err != nil {
		t.Fatal(err)
	}
	c.db = db
	t.Cleanup(func() {
		c.stopAll()
		db.Close()
	})
	return c
}

// start runs the nodes named, or all, and does not wait for them.
func (c *testCluster) start(names ...string) {
	c.t.Helper()
	if len(names) == 0 {
		for _, n := range c.config.Nodes {
			names = append(names, n.Name)
		}
	}
	for _, name := range names {
		c.startWith(c.config, name)
	}
}

// startWith runs one node by a configuration of its own.
func (c *testCluster) startWith(config *cluster.Config, name string) {
	c.t.Helper()
	log := slog.New(slog.NewTextHandler(io.MultiWriter(c.t.Output(), &c.log), &slog.HandlerOptions{Level: c.level}))
	ctx, cancel := context.WithCancel(context.Background())
	r, err := prepare(Options{Config: config, Node: name, Log: log, Version: "test", Files: c.files})
	if err != nil {
		c.t.Fatal(err)
	}
	c.nodes[name] = r
	ended := make(chan error, 1)
	go func() { ended <- r.run(ctx) }()
	c.stops[name] = func() error { cancel(); return <-ended }
}

// stop ends a node the way SIGTERM does, and fails the test if it ended badly.
func (c *testCluster) stop(name string) {
	c.t.Helper()
	stop := c.stops[name]
	delete(c.stops, name)
	if err := stop(); err != nil {
		c.t.Errorf("node %s: %v", name, err)
	}
}

// await asks until ok, and fails the test after a minute.
func (c *testCluster) await(what string, ok func() (bool, error)) {
	c.t.Helper()
	var last error
	deadline := time.Now().Add(time.Minute)
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for time.Now().Before(deadline) {
		var is bool
		if is, last = ok(); is && last == nil {
			return
		}
		<-tick.C
	}
	c.t.Fatalf("%s: not so within a minute; last error: %v", what, last)
}

// awaitReady waits until the node answers that it can acknowledge.
func (c *testCluster) awaitReady(name string) {
	c.t.Helper()
	n, _ := c.config.Node(name)
	c.await(name+" is ready", func() (bool, error) {
		resp, err := http.Get("http://" + n.HTTP + "/readyz")
		if err != nil {
			return false, err
		}
		defer resp.Body.Close()
		if resp.StatusCode != http.StatusOK {
			body, err := io.ReadAll(resp.Body)
			return false, fmt.Errorf("%s: %s %w", resp.Status, body, err)
		}
		return true, nil
	})
}

// receipt is what the door answers.
type receipt struct {
	Status    int
	Stream    string
	Seq       uint64
	MsgID     string `json:"msg_id"`
	Duplicate bool
	Detail    string
}

// publish sends one message through a node's HTTP door.
func (c *testCluster) publish(node, subject, key, body string) receipt {
	c.t.Helper()
	n, _ := c.config.Node(node)
	req, err := http.NewRequest(http.MethodPost, "http://"+n.HTTP+"/v1/publish/"+subject, strings.NewReader(body))
	if err != nil {
		c.t.Fatal(err)
	}
	if c.token != "" {
		req.Header.Set("Authorization", "Bearer "+c.token)
	}
	if key != "" {
		req.Header.Set("Idempotency-Key", key)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		c.t.Fatal(err)
	}
	defer resp.Body.Close()
	var r receipt
	if err := json.NewDecoder(resp.Body).Decode(&r); err != nil {
		c.t.Fatal(err)
	}
	r.Status = resp.StatusCode
	return r
}

// jetStream connects to the client ports, as a NATS client does.
func (c *testCluster) jetStream() jetstream.JetStream {
	c.t.Helper()
	var urls []string
	for _, n := range c.config.Nodes {
		urls = append(urls, "nats://"+n.Client)
	}
	nc, err := nats.Connect(strings.Join(urls, ","), nats.MaxReconnects(-1))
	if err != nil {
		c.t.Fatal(err)
	}
	c.t.Cleanup(nc.Close)
	js, err := jetstream.New(nc)
	if err != nil {
		c.t.Fatal(err)
	}
	return js
}

// count runs a query that returns one number.
func (c *testCluster) count(query string, args ...any) int {
	c.t.Helper()
	var n int
	if err := c.db.QueryRow(c.t.Context(), query, args...).Scan(&n); err != nil {
		c.t.Fatal(err)
	}
	return n
}

// awaitCursor waits until Postgres has the stream up to seq.
func (c *testCluster) awaitCursor(seq uint64) {
	c.t.Helper()
	c.await(fmt.Sprintf("Postgres has the stream up to %d", seq), func() (bool, error) {
		var at int64
		err := c.db.QueryRow(c.t.Context(), "SELECT last_seq FROM landfall.streams ORDER BY id DESC LIMIT 1").Scan(&at)
		return uint64(at) >= seq, err
	})
}

// stopAll ends all nodes at the same time.
func (c *testCluster) stopAll() {
	c.t.Helper()
	var all sync.WaitGroup
	for name, stop := range c.stops {
		all.Go(func() {
			if err := stop(); err != nil {
				c.t.Errorf("node %s: %v", name, err)
			}
		})
	}
	all.Wait()
	clear(c.stops)
}

// clone copies a directory with its owners and modes.
func clone(t *testing.T, from, to string) {
	t.Helper()
	if out, err := exec.Command("cp", "-a", from, to).CombinedOutput(); err != nil {
		t.Fatalf("copy %s: %v\n%s", from, err, out)
	}
}

// syncBuffer is what the nodes have logged.
type syncBuffer struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (b *syncBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(p)
}

// logged tells whether a node has logged the words.
func (c *testCluster) logged(words string) bool {
	c.log.mu.Lock()
	defer c.log.mu.Unlock()
	return bytes.Contains(c.log.text.Bytes(), []byte(words))
}
