package producer

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

func TestTooMuchInFlight(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		o            Options
		header, body int // bytes
	}{
		"messages":         {Options{MaxInFlight: 2}, 0, 40},
		"bytes":            {Options{MaxInFlightBytes: 3000}, 0, 1000},
		"bytes of headers": {Options{MaxInFlightBytes: 3000}, 1000, 40},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				w := &world{events: []event{lost}}
				message := post("messages", strings.Repeat("x", c.body), "X-Message-A", strings.Repeat("y", c.header))
				d := w.door(c.o)
				var held sync.WaitGroup
				var answers [2]*httptest.ResponseRecorder
				for i := range answers {
					held.Go(func() { answers[i] = message.at(d) })
					synctest.Wait()
				}
				refusedWith(t, message.at(d), 429, "busy")
				held.Wait()
				for _, a := range answers {
					refusedWith(t, a, 503, "no-quorum")
				}
				w.events = []event{ack}
				acked(t, message.at(d))
				if d.gate.messages != 0 || d.gate.bytes != 0 {
					t.Errorf("%d messages and %d bytes are left in flight", d.gate.messages, d.gate.bytes)
				}
			})
		})
	}
}

// A message larger than the room for all still passes when it is alone.
func TestLargeMessageAlone(t *testing.T) {
	t.Parallel()
	w := &world{events: []event{ack}}
	acked(t, post("messages", strings.Repeat("x", 1000)).at(w.door(Options{MaxInFlightBytes: 10})))
}

// recorded collects the errors of refused requests.
type recorded struct {
	slog.Handler
	errs chan error
}

func (h recorded) Enabled(context.Context, slog.Level) bool { return true }
func (h recorded) Handle(_ context.Context, r slog.Record) error {
	r.Attrs(func(a slog.Attr) bool {
		if err, ok := a.Value.Any().(error); ok {
			h.errs <- err
		}
		return true
	})
	return nil
}

// A client that vanishes or stalls in the middle of its body has published
// nothing, whatever it had sent.
func TestBrokenBodies(t *testing.T) {
	t.Parallel()
	logged := recorded{errs: make(chan error, 8)}
	d, _, js := opened(t, Options{BodyTimeout: 200 * time.Millisecond, Log: slog.New(logged)})
	srv := httptest.NewUnstartedServer(d)
	srv.Config = Server(watched(d), slog.New(slog.DiscardHandler))
	srv.Start()
	t.Cleanup(srv.Close)
	const head = "POST /v1/publish/messages HTTP/1.1\r\nHost: x\r\n"
	for name, c := range map[string]struct {
		sent   string
		vanish bool
		want   error
	}{
		"vanishes":          {head + "Content-Length: 100\r\n\r\n0123456789", true, errBodyBroken},
		"vanishes, chunked": {head + "Transfer-Encoding: chunked\r\n\r\na\r\n0123456789\r\n", true, errBodyBroken},
		"breaks its chunks": {head + "Transfer-Encoding: chunked\r\n\r\nnonsense\r\n", false, errBodyBroken},
		"stalls":            {head + "Content-Length: 100\r\n\r\n0123456789", false, errBodySlow},
	} {
		conn, err := net.Dial("tcp", srv.Listener.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := conn.Write([]byte(c.sent)); err != nil {
			t.Fatal(err)
		}
		if c.vanish {
			_ = conn.Close()
		} else {
			res, err := http.ReadResponse(bufio.NewReader(conn), nil)
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			if res.StatusCode != refusalOf(c.want).status {
				t.Errorf("%s: status %d", name, res.StatusCode)
			}
			_ = conn.Close()
		}
		select {
		case err := <-logged.errs:
			if !errors.Is(err, c.want) {
				t.Errorf("%s: %v, want %v", name, err, c.want)
			}
		case <-time.After(10 * time.Second):
			t.Fatalf("%s: no end of the request", name)
		}
	}
	if n := state(t, js, "MESSAGES").LastSeq; n != 0 {
		t.Errorf("%d messages were stored", n)
	}
}

// A hold longer than the time for the body is not mistaken for a client that
// went away, and a body of unknown length arrives whole.
func TestHoldOverAConnection(t *testing.T) {
	t.Parallel()
	w := &world{events: []event{lost, ack}}
	d := w.door(Options{BodyTimeout: 100 * time.Millisecond})
	srv := httptest.NewServer(watched(d))
	t.Cleanup(srv.Close)
	body := strings.Repeat("0123456789", 5000)
	res, err := http.Post(srv.URL+"/v1/publish/messages", "", struct{ *strings.Reader }{strings.NewReader(body)})
	if err != nil {
		t.Fatal(err)
	}
	_ = res.Body.Close()
	if res.StatusCode != 200 || len(w.stored) != 1 || string(w.stored[0].Data) != body {
		t.Errorf("status %d, stored %d", res.StatusCode, len(w.stored))
	}
	res, err = http.Post(srv.URL+"/v1/publish/messages", "", struct{ *strings.Reader }{strings.NewReader(strings.Repeat("x", 1<<20))})
	if err != nil {
		t.Fatal(err)
	}
	_ = res.Body.Close()
	if res.StatusCode != 413 {
		t.Errorf("too large and of unknown length: status %d", res.StatusCode)
	}
}

// A stream that is full refuses, and says why.
func TestFullStream(t *testing.T) {
	t.Parallel()
	d, _, js := opened(t, Options{Deadline: 300 * time.Millisecond})
	for i := range 2 {
		acked(t, post("small.a", fmt.Sprint(i)).at(d))
	}
	p := refusedWith(t, post("small.a", "x", "Idempotency-Key", "k").at(d), 503, "stream-full")
	if !strings.Contains(p.Detail, "maximum messages exceeded") {
		t.Errorf("detail %q does not name the cause", p.Detail)
	}
	if st := state(t, js, "SMALL"); st.LastSeq != 2 {
		t.Errorf("last sequence %d", st.LastSeq)
	}
	acked(t, post("messages", "x").at(d)) // the other stream takes on
	s, err := js.Stream(t.Context(), "SMALL")
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Purge(t.Context()); err != nil {
		t.Fatal(err)
	}
	if r := acked(t, post("small.a", "x", "Idempotency-Key", "k").at(d)); r.Duplicate || r.Seq != 3 {
		t.Errorf("after there is room again: %+v", r)
	}
}

// Batches have half of the room together, but each of them one message at
// least, and give back all they have.
func TestShares(t *testing.T) {
	t.Parallel()
	g := &gate{maxMessages: 8, maxBytes: 1000, maxBatches: 2}
	a, errA := g.enterBatch()
	b, errB := g.enterBatch()
	if _, err := g.enterBatch(); errA != nil || errB != nil || !errors.Is(err, errBusy) {
		t.Fatal(errA, errB, err)
	}
	take := func(s *share, n int, want bool) {
		t.Helper()
		if got := s.take(n); got != want {
			t.Errorf("take %d: %v; %d messages, %d bytes", n, got, g.batched.messages, g.batched.bytes)
		}
	}
	take(a, 700, true) // the first, whatever its size
	take(a, 1, false)
	take(b, 400, true)
	take(b, 1, false)
	a.give(700)
	take(b, 100, true)
	take(b, 1, false)
	b.give(400)
	b.give(100)
	for range 4 {
		take(b, 1, true)
	}
	take(b, 1, false)
	take(a, 1, true)
	take(a, 1, false)
	for range 3 {
		if _, err := g.enter(); err != nil {
			t.Error(err)
		}
	}
	if _, err := g.enter(); !errors.Is(err, errBusy) {
		t.Errorf("one more: %v", err)
	}
	b.give(1)
	take(b, 1, false) // the gate is full
	if err := b.reserve(480); err != nil {
		t.Error(err)
	}
	if err := a.reserve(30); !errors.Is(err, errBusy) {
		t.Errorf("more than there is: %v", err)
	}
	a.hold(5000) // whatever there is
	take(a, 1, false)
	if g.batched.bytes < 5000 {
		t.Errorf("%d bytes", g.batched.bytes)
	}
	a.leave()
	b.leave()
	if g.batched.messages != 0 || g.batched.bytes != 0 || g.messages != 3 || g.bytes != 0 || g.batches != 0 {
		t.Errorf("left: %+v", g)
	}
}
