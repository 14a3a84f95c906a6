package cli

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestServiceManager runs one node of three, and one alone, as systemd does, and
// reads what they say.
func TestServiceManager(t *testing.T) {
	t.Parallel()
	waiting := startNotified(t, "n1", "n2", "n3")
	waiting.hears("STATUS=starting: waiting for n2, n3")
	waiting.stop()
	waiting.hears("STOPPING=1")
	waiting.hears("STATUS=stopping")
	if slices.Contains(waiting.heard, "READY=1") {
		t.Errorf("ready without the others: %q", waiting.heard)
	}

	alone := startNotified(t, "n1")
	alone.hears("READY=1")
	alone.hears("STATUS=ready")
	if slices.Contains(alone.heard, "STOPPING=1") {
		t.Errorf("stopping before it was told to: %q", alone.heard)
	}
	alone.stop()
	alone.hears("STOPPING=1")
	alone.hears("STATUS=stopping")
	if last := alone.heard[len(alone.heard)-1]; last != "STATUS=stopping" {
		t.Errorf("the last word is %q", last)
	}
}

// notified is a node that was given a NOTIFY_SOCKET.
type notified struct {
	t      *testing.T
	socket *net.UnixConn
	cmd    *exec.Cmd
	heard  []string
	log    bytes.Buffer
}

// startNotified runs the first of the nodes.
func startNotified(t *testing.T, nodes ...string) *notified {
	t.Helper()
	// The path of a socket has to be short.
	dir, err := os.MkdirTemp("", "landfall-cli-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	config := "cluster: notified\nstreams:\n  MESSAGES: { subjects: [messages], max_bytes: 16MiB }\n" +
		"postgres:\n  url: postgres://app:app@127.0.0.1:1/app\nnodes:\n"
	for _, n := range nodes {
		config += fmt.Sprintf("  %s: { client: %q, route: %q, http: %q }\n", n, freeAddress(t), freeAddress(t), freeAddress(t))
	}
	file := filepath.Join(dir, "cluster.yaml")
	if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	n := &notified{t: t}
	path := filepath.Join(dir, "notify")
	if n.socket, err = net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = n.socket.Close() })
	n.cmd = exec.Command("app", "--node", nodes[0], "--config", file)
	n.cmd.Dir, n.cmd.Stderr = dir, &n.log
	n.cmd.Env = append(os.Environ(), "NOTIFY_SOCKET="+path)
	if err := n.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if n.cmd.ProcessState == nil {
			_ = n.cmd.Process.Kill()
			_ = n.cmd.Wait()
		}
	})
	return n
}

// freeAddress is from below the range that systems take outgoing ports from.
func freeAddress(t *testing.T) string {
	t.Helper()
	for range 100 {
		address := fmt.Sprintf("127.0.0.1:%d", 15000+rand.IntN(15000))
		if l, err := net.Listen("tcp", address); err == nil {
			l.Close()
			return address
		}
	}
	t.Fatal("no free port found")
	return ""
}

// hears reads until the words have been said.
func (n *notified) hears(words string) {
	n.t.Helper()
	if err := n.socket.SetReadDeadline(time.Now().Add(30 * time.Second)); err != nil {
		n.t.Fatal(err)
	}
	buffer := make([]byte, 4096)
	for !slices.Contains(n.heard, words) {
		size, err := n.socket.Read(buffer)
		if err != nil {
			n.t.Fatalf("never said %q, but %q: %v", words, n.heard, err)
		}
		n.heard = append(n.heard, string(buffer[:size]))
	}
}

// stop ends the node the way systemd does.
func (n *notified) stop() {
	n.t.Helper()
	if err := n.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		n.t.Fatal(err)
	}
	if err := n.cmd.Wait(); err != nil {
		n.t.Errorf("%v\n%s", err, strings.TrimSpace(n.log.String()))
	}
}
