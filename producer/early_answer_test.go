package producer

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"testing"
	"time"
)

// A batch that ends before its body says so at once, also to a client that is
// silent and would send more some time.
func TestBatchThatEndsEarlyAnswersAtOnce(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		subject string
		end     func(e *endpoint)
		problem string
	}{
		"no room in the stream": {subject: "small.a", end: func(*endpoint) {}, problem: "stream-full"},
		"the node is stopping":  {subject: "messages", end: func(e *endpoint) { e.Drain() }, problem: "stopping"},
	} {
		for _, length := range []string{"Transfer-Encoding: chunked\r\n\r\n6\r\n1\n2\n3\n\r\n", "Content-Length: 100\r\n\r\n1\n2\n3\n"} {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				e := serve(t, Options{Deadline: 500 * time.Millisecond, BodyTimeout: time.Hour}, nil, nil)
				conn, err := net.Dial("tcp", e.srv.Listener.Addr().String())
				if err != nil {
					t.Fatal(err)
				}
				defer func() { _ = conn.Close() }()
				_, err = fmt.Fprintf(conn, "POST /v1/publish/%s HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-ndjson\r\nIdempotency-Key: k\r\n%s", c.subject, length)
				if err != nil {
					t.Fatal(err)
				}
				eventually(t, "something is stored", func() bool {
					return state(t, e.js, "MESSAGES").Msgs == 3 || state(t, e.js, "SMALL").Msgs == 2
				})
				c.end(e)
				if err := conn.SetReadDeadline(time.Now().Add(20 * time.Second)); err != nil {
					t.Fatal(err)
				}
				res, err := http.ReadResponse(bufio.NewReader(conn), nil)
				if err != nil {
					t.Fatal(err)
				}
				got := readTold(t, res)
				if got.Code != 503 || got.Type != "urn:landfall:problem:"+c.problem || got.Through < 2 || got.Through != got.Acknowledged || got.header.Get("Retry-After") == "" {
					t.Errorf("%+v", got)
				}
				e.free(t)
			})
		}
	}
}

// Whoever is refused unread is told so although it is silent and sends no more
// of its body for now.
func TestRefusedUnread(t *testing.T) {
	t.Parallel()
	e := serve(t, Options{BodyTimeout: time.Hour, MaxBatches: 1, Token: "secret"}, nil, nil)
	held, err := e.gate.enterBatch()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(held.leave)
	for token, want := range map[string]int{"secret": 429, "wrong": 401} {
		t.Run(token, func(t *testing.T) {
			t.Parallel()
			conn, err := net.Dial("tcp", e.srv.Listener.Addr().String())
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = conn.Close() }()
			_, err = io.WriteString(conn, "POST /v1/publish/messages HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer "+token+
				"\r\nContent-Type: application/x-ndjson\r\nIdempotency-Key: k\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n1\n\r\n")
			if err != nil {
				t.Fatal(err)
			}
			if err := conn.SetReadDeadline(time.Now().Add(4 * lingering)); err != nil {
				t.Fatal(err)
			}
			res, err := http.ReadResponse(bufio.NewReader(conn), nil)
			if err != nil {
				t.Fatal(err)
			}
			if got := readTold(t, res); got.Code != want {
				t.Errorf("%+v", got)
			}
		})
	}
}

// Batches that come to their end while the node is stopping are whole.
func TestBatchThatEndsWhileDraining(t *testing.T) {
	t.Parallel()
	e := serve(t, Options{}, nil, nil)
	r, w := io.Pipe()
	var sender sync.WaitGroup
	sender.Go(func() {
		if got := e.batch(t, "k", "", r); got.Code != 200 || got.Messages != 2 {
			t.Errorf("%+v", got)
		}
	})
	for _, line := range []string{"1\n", "2\n"} {
		if _, err := io.WriteString(w, line); err != nil {
			t.Fatal(err)
		}
		e.Drain()
	}
	_ = w.Close()
	sender.Wait()
	e.free(t)
}

// A message that there is no room for is read to its end: its client hears
// 429 whatever it does while it sends, and goes on on the same connection.
func TestBusyDoorHearsClientsOut(t *testing.T) {
	t.Parallel()
	e := serve(t, Options{MaxInFlight: 1}, nil, nil)
	full, err := e.gate.enter()
	if err != nil {
		t.Fatal(err)
	}
	conn, err := net.Dial("tcp", e.srv.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	if err := conn.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
		t.Fatal(err)
	}
	answers := bufio.NewReader(conn)
	body := make([]byte, 1<<20-1024)
	for _, want := range []int{429, 429, 200} {
		if want == 200 {
			full.leave()
		}
		// Everything is sent before anything is read.
		if _, err := fmt.Fprintf(conn, "POST /v1/publish/messages HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%s", len(body), body); err != nil {
			t.Fatal(err)
		}
		res, err := http.ReadResponse(answers, nil)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.Copy(io.Discard, res.Body); err != nil || res.StatusCode != want {
			t.Fatalf("answered %s, %v, want %d", res.Status, err, want)
		}
		_ = res.Body.Close()
	}
}
