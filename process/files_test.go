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

// TestConnections fills both doors with idle connections: neither takes more
// than its share of the files, and those who are in go on.
func TestConnections(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 1, pgtest.Database(t))
	c.files = 3 * 20
	c.start()
	c.awaitReady("n1")
	http.DefaultClient.CloseIdleConnections()
	js := c.jetStream()
	n1 := c.config.Nodes[0]

	idle := c.fill(n1.HTTP, "GET /healthz HTTP/1.1\r\nHost: n1\r\n\r\n", "HTTP/1.1 200", 20)
	late := c.dial(n1.HTTP)
	if _, err := late.Write([]byte("GET /healthz HTTP/1.1\r\nHost: n1\r\n\r\n")); err != nil {
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
	idle[0].Close()
	if said, err := hear(late, 10*time.Second); !strings.HasPrefix(said, "HTTP/1.1 200") {
		t.Errorf("when another had left HTTP answered %q, %v", said, err)
	}
}

// fill opens connections and asks something on each.
func (c *testCluster) fill(address, ask, want string, count int) []net.Conn {
	c.t.Helper()
	var all []net.Conn
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
		all = append(all, conn)
	}
	return all
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
