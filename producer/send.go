package producer

import (
	"context"
	"fmt"
	"io"
	"sync"
	"time"
)

// flight is the sending of one batch. Three goroutines work on it, and send
// waits for all: one reads the items and sends each for the first time, one
// compares repeats with what is stored (compare.go), and send's own watches
// over the unanswered ones (resend.go). Answers come on a fourth, the lane's.
// Nobody waits for the network while holding mu, but to hand it a message.
type flight struct {
	backend  *Backend
	stream   string
	bell     *bell
	deadline time.Duration
	room     room
	lane     lane
	wake     chan struct{} // tells send's goroutine that there is something to do
	unread   func()        // called when no more items are wanted; may be nil

	mu     sync.Mutex // guards the rest
	reader sync.Cond  // the reader may go on
	resume int        // not before so few messages are in flight
	repeat sync.Cond  // there are repeats to compare
	known  []repeat   // those
	window window
	tally  tally
	watch  watch
	read   bool  // all items were read
	cut    error // why they end before their end
	over   bool  // the batch has ended
	err    error // why before its end
}

// send has the items acknowledged by their stream's quorum, many at a time,
// in their order wherever a leader takes them in order. What is in flight is
// repeated under its ids as long as there is hope and time: an error comes
// when nothing was acknowledged for the door's deadline, when no repeat can
// help, or when the items end with one. The tally is the truth in every case;
// what it does not count may be stored or not, and is safe to repeat.
//
// send returns only when the items' next has. unread, if it is not nil, is
// called once no more of them are wanted, and makes next return soon.
func (d *Door) send(ctx context.Context, b *Backend, stream string, r room, in items, unread func()) (tally, error) {
	if b.Conn == nil {
		return tally{}, fmt.Errorf("%w: it has no connection for batches", errNotOpen)
	}
	f := d.newFlight(b, stream, r)
	f.unread = unread
	l, err := openLane(b.Conn, stream, f.answered)
	if err != nil {
		if final := hopeless(err); final != nil {
			return tally{}, fmt.Errorf("%w: %w", final, err)
		}
		return tally{}, err
	}
	f.lane = l
	return f.run(ctx, in)
}

func (d *Door) newFlight(b *Backend, stream string, r room) *flight {
	f := &flight{
		backend: b, stream: stream, bell: d.bells[stream], deadline: d.o.Deadline,
		room: r, wake: make(chan struct{}, 1),
	}
	f.reader.L, f.repeat.L = &f.mu, &f.mu
	f.watch.attempt = 1
	return f
}

// run returns when everything of the batch has ended.
func (f *flight) run(ctx context.Context, in items) (tally, error) {
	working, cancel := context.WithCancel(ctx)
	defer cancel()
	var others sync.WaitGroup
	others.Go(func() { f.readItems(in) })
	others.Go(func() { f.compareRepeats(working) })
	f.mind(ctx)
	cancel()
	if f.unread != nil {
		f.unread()
	}
	others.Wait()
	f.lane.close()
	return f.close()
}

// close gives back the room of what is left. Nobody else is there any more.
func (f *flight) close() (tally, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for pos := f.window.first; pos < f.window.next; pos++ {
		switch p := f.window.at(pos); {
		case p.condition != settled:
			f.room.give(p.size)
		case p.err != nil:
			f.tally.refuse(p)
		}
	}
	if f.err != nil {
		return f.tally, f.err
	}
	return f.tally, f.cut
}

// maxVain is how many items in a row may be refused before a batch is read no
// further: what is sent is not what was meant.
const maxVain = 100_000

// readItems sends every item for the first time, as fast as window and room allow.
func (f *flight) readItems(in items) {
	vain := 0 // items refused, one after the other
	for {
		it, err := in.next()
		if it.err == nil {
			vain = 0
		} else if vain++; vain > maxVain {
			err = fmt.Errorf("%w: %d items in a row were refused", errVain, vain)
		}
		if err != nil {
			f.endOfItems(err)
			return
		}
		if !f.admit(it) {
			return
		}
	}
}

func (f *flight) endOfItems(err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.read = true
	if err != io.EOF { //nolint:errorlint // one that is wrapped is a body that broke off
		f.cut = err
	}
	f.tell()
}

// admit sends one item, once there is room for it. It is false if the batch
// has ended.
func (f *flight) admit(it item) bool {
	size := 0
	if it.err == nil {
		size = it.m.size()
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	for !f.over && !f.hasRoom(it, size) {
		// Not for each single place that becomes free: a reader that sleeps
		// and wakes for every message costs more than the messages.
		f.resume = f.window.messages * 7 / 8
		if !f.over {
			f.reader.Wait()
		}
	}
	if f.over {
		return false
	}
	if f.window.waiting == 0 {
		f.watch.begin(time.Now())
	}
	pos, p := f.window.add(it, size)
	if it.err != nil {
		f.retire()
		return true
	}
	f.transmit(pos, p)
	return true
}

// hasRoom takes the room, if there is.
func (f *flight) hasRoom(it item, size int) bool {
	switch {
	case f.watch.phase != flowing || !f.window.fits(size):
		return false
	case it.err != nil || f.room.take(size):
		return true
	}
	if f.window.messages == 0 { // nothing of ours would ever make any
		f.end(fmt.Errorf("%w: there is no room for a single message", errBusy))
	}
	return false
}
