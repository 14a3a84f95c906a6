package producer

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"sync"

	"github.com/nats-io/nats.go"
)

// maxHeaderBytes is what JetStream stores of headers at most: their length is
// kept in 16 bits (error 10097).
const maxHeaderBytes = 1<<16 - 1

// gate bounds what is in flight, so that an outage of the streams fills the
// clients' queues and not this process's memory.
type gate struct {
	maxMessages int
	maxBytes    int64

	mu       sync.Mutex
	messages int
	bytes    int64
}

// enter takes room for one message, or refuses. The slot must be left.
func (g *gate) enter() (*slot, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.messages >= g.maxMessages {
		return nil, fmt.Errorf("%w: %d messages are in flight at this node, its limit", errBusy, g.messages)
	}
	g.messages++
	return &slot{gate: g}, nil
}

// slot is the room that one message has.
type slot struct {
	gate  *gate
	bytes int64
}

// grow takes room for n more bytes, or refuses. A single message always has
// room when nothing else is there, whatever the limit.
func (s *slot) grow(n int) error {
	g := s.gate
	g.mu.Lock()
	defer g.mu.Unlock()
	if others := g.bytes - s.bytes; others > 0 && g.bytes+int64(n) > g.maxBytes {
		return fmt.Errorf("%w: %d bytes are in flight at this node, its limit is %d", errBusy, g.bytes, g.maxBytes)
	}
	g.bytes += int64(n)
	s.bytes += int64(n)
	return nil
}

func (s *slot) leave() {
	g := s.gate
	g.mu.Lock()
	defer g.mu.Unlock()
	g.messages--
	g.bytes -= s.bytes
}

// headerSize is what the headers take of the payload, in NATS's encoding.
func headerSize(h nats.Header) int {
	n := len("NATS/1.0\r\n") + len("\r\n")
	for k, vs := range h {
		for _, v := range vs {
			n += len(k) + len(": ") + len(v) + len("\r\n")
		}
	}
	return n
}

// bodyLimit is how large the body beside those headers may be.
func (d *Door) bodyLimit(h nats.Header) (int, error) {
	size := headerSize(h)
	if size > maxHeaderBytes || size >= d.o.MaxPayload {
		return 0, fmt.Errorf("%w: they take %d bytes, %d are allowed", errHeadersTooLarge, size, min(maxHeaderBytes, d.o.MaxPayload-1))
	}
	return d.o.MaxPayload - size, nil
}

// readBody reads a whole body of at most limit bytes into the slot's room. A
// body that breaks off or is too slow is an error: nothing of it is published.
func readBody(r *http.Request, limit int, s *slot) ([]byte, error) {
	if r.ContentLength > int64(limit) {
		return nil, tooLarge(limit)
	}
	// A declared length is reserved at once; without one the room grows with
	// what comes, so that many small chunked bodies do not look like large ones.
	size := 4096
	if r.ContentLength >= 0 {
		size = int(r.ContentLength) + 1 // one more, to see the end without growing
	}
	if err := s.grow(size); err != nil {
		return nil, err
	}
	buf := make([]byte, 0, size)
	for {
		n, err := r.Body.Read(buf[len(buf):cap(buf)])
		buf = buf[:len(buf)+n]
		switch {
		case len(buf) > limit:
			return nil, tooLarge(limit)
		case errors.Is(err, io.EOF):
			return buf, nil
		case errors.Is(err, os.ErrDeadlineExceeded):
			return nil, fmt.Errorf("%w: %d bytes came in time", errBodySlow, len(buf))
		case err != nil:
			return nil, fmt.Errorf("%w after %d bytes: %w", errBodyBroken, len(buf), err)
		}
		if len(buf) == cap(buf) {
			more := min(cap(buf), limit+1-cap(buf))
			if err := s.grow(more); err != nil {
				return nil, err
			}
			buf = append(make([]byte, 0, cap(buf)+more), buf...)
		}
	}
}

func tooLarge(limit int) error {
	return fmt.Errorf("%w: beside its headers it may have %d bytes", errTooLarge, limit)
}
