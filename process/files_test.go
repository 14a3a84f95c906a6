package process

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"landfall/pgserver/pgtest"
)

// TestConnections fills both doors: neither takes more than its share of the
// files, and those who are in go on. Idle connections lock nobody out.
func TestConnections(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 1, pgtest.Database(t))
	c.files = 3 * 20
	c.start()
	c.awaitReady("n1")
	http.DefaultClient.CloseIdleConnections()
	js := c.jetStream()
	n1 := c.config.Nodes[0]

	const health = "GET /healthz HTTP/1.1\r\nHost: n1\r\n\r\n"
	c.fill(n1.HTTP, health, "HTTP/1.1 200", 30) // the idle ones are let go for those that come
	busy := make([]net.Conn, 20)
	for i := range busy {
		busy[i] = c.dial(n1.HTTP)
		_, err := busy[i].Write([]byte("POST /v1/publish/messages HTTP/1.1\r\nHost: n1\r\nContent-Length: 1\r\nExpect: 100-continue\r\n\r\n"))
		if err != nil {
			t.Fatal(err)
		}
		if said, err := hear(busy[i], 10*time.Second); !strings.HasPrefix(said, "HTTP/1.1 100") {
			t.Fatalf("connection %d: %q, %v", i, said, err)
		}
	}
	late := c.dial(n1.HTTP)
	if _, err := late.Write([]byte(health)); err != nil {
		t.Fatal(err)
	}
	if said, err := hear(late, 200*time.Millisecond); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("beyond its share HTTP answered %q, %v", said, err)
	}
	for i := range 30 { // one after the other, so that the last is one too many
		if said, err := hear(c.dial(n1.Client), 10*time.Second); err != nil {
			t.Fatalf("NATS connection %d: %q, %v", i, said, err)
		}
	}
	refused := c.dial(n1.Client)
	if err := refused.SetReadDeadline(time.Now().Add(10 * time.Second)); err != nil {
		t.Fatal(err)
	}
	if said, err := io.ReadAll(refused); err != nil || !strings.Contains(string(said), "maximum connections exceeded") {
		t.Errorf("beyond its share NATS said %q, %v", said, err)
	}
	ack, err := js.Publish(t.Context(), "messages.a", []byte("from one who is in"))
	if err != nil {
		t.Fatal(err)
	}
	c.awaitCursor(ack.Sequence)
	busy[0].Close()
	if said, err := hear(late, 10*time.Second); !strings.HasPrefix(said, "HTTP/1.1 200") {
		t.Errorf("when another had left HTTP answered %q, %v", said, err)
	}
}

// fill opens connections, asks something on each, and leaves them open.
func (c *testCluster) fill(address, ask, want string, count int) {
	c.t.Helper()
	for i := range count {
		conn := c.dial(address)
		_, err := conn.Write([]byte(ask))
		said := ""
		if err == nil {
			said, err = hear(conn, 10*time.Second)
		}
		if !strings.HasPrefix(said, want) {
			c.t.Fatalf("connection %d to %s: %q, %v", i, address, said, err)
		}
	}
}

func (c *testCluster) dial(address string) net.Conn {
	c.t.Helper()
	conn, err := net.Dial("tcp", address)
	if err != nil {
		c.t.Fatal(err)
	}
	c.t.Cleanup(func() { conn.Close() })
	return conn
}

// hear returns what comes first on a connection.
func hear(conn net.Conn, within time.Duration) (string, error) {
	if err := conn.SetReadDeadline(time.Now().Add(within)); err != nil {
		return "", fmt.Errorf("set deadline: %w", err)
	}
	buf := make([]byte, 4096)
	n, err := conn.Read(buf)
	return string(buf[:n]), err
}
