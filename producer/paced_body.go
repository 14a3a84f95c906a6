package producer

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync"
	"time"
)

// minRate is how fast a batch must come at least, in bytes for each second
// that the door waits for it.
const minRate = 1 << 10

// pacedBody is the body of a batch as it comes from the connection. There is
// no limit to how long it takes in all, but every read must bring something
// in time, and all of them together minRate. Time in which the door does not
// read, because it holds what it has, does not count.
//
// Every failure is made a refusal here, before decoders see it: one of them
// takes io.ErrUnexpectedEOF at a frame's end for a proper end.
type pacedBody struct {
	body     io.Reader
	deadline func(time.Time) error // of the connection's reads
	timeout  time.Duration         // for one read
	whole    func()                // called at the proper end

	waited time.Duration // for all reads
	bytes  int64

	mu      sync.Mutex // guards the rest, and keeps the deadlines in order
	stopped error      // why reading is to end before the end, if it is
	err     error      // the end; io.EOF: the proper one. Written by the reader
	read    bool       // a read found that end: there is nothing behind it, for now
}

// newPacedBody reads the request's body, whose answer w is. The context ends
// when the client goes away after it has sent the whole body. The returned
// function leaves the body as it is.
//
// The request's own context ends also when its body breaks off or stalls. By
// that the batch is not given up: what was sent of it is in flight, and a
// client that has closed its half of the connection, or is slow, may still
// read what has become of it.
func newPacedBody(w http.ResponseWriter, r *http.Request, timeout time.Duration) (*pacedBody, context.Context, func()) {
	ctx, cancel := context.WithCancel(context.WithoutCancel(r.Context()))
	stop := func() bool { return true }
	p := &pacedBody{
		body: r.Body, deadline: http.NewResponseController(w).SetReadDeadline, timeout: timeout,
		whole: func() { stop = context.AfterFunc(r.Context(), cancel) },
	}
	return p, ctx, func() {
		p.leave()
		stop()
		cancel()
	}
}

func (p *pacedBody) Read(b []byte) (int, error) {
	start := time.Now()
	if err := p.begin(start); err != nil {
		return 0, err
	}
	n, err := p.body.Read(b)
	p.waited += time.Since(start)
	p.bytes += int64(n)
	return n, p.judge(err)
}

// begin gives a read its deadline, or says why there is none to come.
func (p *pacedBody) begin(now time.Time) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.err == nil {
		p.err = p.stopped
	}
	if p.err == nil {
		_ = p.deadline(now.Add(p.timeout)) // not a connection: no deadline
	}
	return p.err
}

// judge makes of what a read said the end, if it is that.
func (p *pacedBody) judge(err error) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case errors.Is(err, io.EOF):
		p.err = io.EOF
		// net/http reads on in the background to notice when the client goes
		// away; a deadline that passes would look like that.
		_ = p.deadline(time.Time{})
		p.whole()
	case err != nil && p.stopped != nil:
		p.err = p.stopped
	case err != nil:
		p.err = fmt.Errorf("after %d bytes: %w", p.bytes, bodyError(err))
	case p.waited > p.timeout && float64(p.bytes) < minRate*p.waited.Seconds():
		p.err = fmt.Errorf("%w: %d bytes in %v of waiting, and %d a second are needed", errBodySlow, p.bytes, p.waited.Round(time.Second), minRate)
		_ = p.deadline(time.Now()) // net/http would wait for more of the same before it answers
	}
	p.read = p.err != nil
	return p.err
}

// stop ends the reading with that error, also a read that waits for the
// client, unless the end was there before. Any goroutine may call it.
func (p *pacedBody) stop(err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.err == nil && p.stopped == nil {
		p.stopped = err
		_ = p.deadline(time.Now())
	}
}

// leave hands the connection back to net/http. Nobody reads any more.
func (p *pacedBody) leave() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.stopped == nil {
		p.stopped = context.Canceled // whoever stops it now comes too late
	}
	if !p.read {
		_ = p.deadline(time.Now().Add(lingering))
	}
}
