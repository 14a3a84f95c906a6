package node_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"golang.org/x/sync/errgroup"

	"landfall/cluster"
	"landfall/node"
	"landfall/node/nodetest"
)

// nodeProcess, when set, makes this test binary run one node: its value is
// "NAME CONFIG", the cluster's configuration as JSON.
const nodeProcess = "LANDFALL_TEST_NODE"

func TestMain(m *testing.M) {
	if text := os.Getenv(nodeProcess); text != "" {
		if err := runNode(text); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

// runNode runs a node until standard input closes: with the test, however
// that ends.
func runNode(text string) error {
	var config struct {
		Name    string
		Cluster *cluster.Config
	}
	if err := json.Unmarshal([]byte(text), &config); err != nil {
		return err
	}
	n, err := node.Start(node.Options{Config: config.Cluster, Name: config.Name, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		return err
	}
	_, err = io.Copy(io.Discard, os.Stdin)
	nodetest.Kill(n)
	return err
}

// startProcess runs a node in a process of its own, to be killed.
func startProcess(t *testing.T, c *cluster.Config, name string) *os.Process {
	t.Helper()
	text, err := json.Marshal(map[string]any{"Name": name, "Cluster": c})
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), nodeProcess+"="+string(text))
	cmd.Stderr = t.Output()
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = stdin.Close()
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	return cmd.Process
}

// A leader that is killed, without a chance to say goodbye, is replaced in
// about one and a half election timeouts. Stock timers take 4 to 9 seconds.
func TestElectionAfterKill(t *testing.T) {
	t.Parallel()
	c := nodetest.Config(t, 3)
	victim := startProcess(t, c, "n3")
	nodes := make([]*node.Node, 2)
	ctx, cancel := context.WithTimeout(t.Context(), nodetest.Patience)
	defer cancel()
	var g errgroup.Group
	for i := range nodes {
		g.Go(func() (err error) {
			if nodes[i], err = nodetest.StartNode(t, c, c.Nodes[i].Name); err != nil {
				return err
			}
			if err = nodes[i].WaitReady(ctx); err != nil {
				return err
			}
			return nodes[i].EnsureStreams(ctx)
		})
	}
	if err := g.Wait(); err != nil {
		t.Fatal(err)
	}
	nc := nodetest.Connect(t, nodes[0])
	publish(t, nc, "messages", 1, 100, 100)
	nodetest.Await(t, "the victim to lead the stream", func() bool {
		// Unanswered while nobody leads; then asked again.
		brief, done := context.WithTimeout(ctx, 500*time.Millisecond)
		defer done()
		info, err := jetStream(t, nc).Stream(brief, "MESSAGES")
		if err != nil {
			return false
		}
		if info.CachedInfo().Cluster.Leader == "n3" {
			return true
		}
		_, _ = nc.RequestWithContext(brief, "$JS.API.STREAM.LEADER.STEPDOWN.MESSAGES",
			[]byte(`{"placement":{"preferred":"n3"}}`))
		return false
	})

	if err := victim.Kill(); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	js := jetStream(t, nc)
	for attempt := 0; ; attempt++ {
		try, done := context.WithTimeout(ctx, 100*time.Millisecond)
		_, err := js.Publish(try, "messages", []byte("after"), jetstream.WithRetryAttempts(0))
		done()
		if err == nil {
			break
		}
		if ctx.Err() != nil {
			t.Fatalf("no acknowledgement any more: %v", err)
		}
	}
	took := time.Since(began)
	t.Logf("acknowledged again after %s", took)
	if took > 3*time.Second {
		t.Errorf("the election took %s", took)
	}
}
