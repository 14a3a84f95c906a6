package cli

import (
	"bytes"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"

	"landfall/node/nodetest"
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

// ended is what the test itself says on a node's NOTIFY_SOCKET, behind the
// node's last word.
const ended = "the process has ended"

// notified is a node that was given a NOTIFY_SOCKET.
type notified struct {
	t      *testing.T
	socket *net.UnixConn
	cmd    *exec.Cmd
	exit   chan error
	heard  []string
	log    bytes.Buffer // to be read once exit has said something
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
	addresses := nodetest.FreeAddresses(t, 3*len(nodes))
	for i, name := range nodes {
		a := addresses[3*i:]
		config += fmt.Sprintf("  %s: { client: %q, route: %q, http: %q }\n", name, a[0], a[1], a[2])
	}
	file := filepath.Join(dir, "cluster.yaml")
	if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	n := &notified{t: t, exit: make(chan error, 1)}
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
	var waiting sync.WaitGroup
	waiting.Go(func() {
		n.exit <- n.cmd.Wait()
		if self, err := net.Dial("unixgram", path); err == nil {
			_, _ = self.Write([]byte(ended))
			_ = self.Close()
		}
	})
	t.Cleanup(func() {
		_ = n.cmd.Process.Kill() // an error if it has ended
		waiting.Wait()
	})
	return n
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
		if err != nil || string(buffer[:size]) == ended {
			_ = n.cmd.Process.Kill()
			n.t.Fatalf("never said %q, but %q: %v, %v\n%s", words, n.heard, err, <-n.exit, &n.log)
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
	if err := <-n.exit; err != nil {
		n.t.Errorf("%v\n%s", err, &n.log)
	}
	n.exit <- nil // for who reads the log
}
