package producer

import (
	"context"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
)

// phase is where a batch stands with its stream's leader.
type phase uint8

const (
	flowing  phase = iota // messages go out, and answers come
	troubled              // something went wrong: nothing new goes out
	pausing               // for a moment, before going back
	probing               // the oldest message went out again, alone
)

// watch is kept over the messages in flight. When one of them is refused, or
// the oldest is not answered, or the leader changes, the batch goes back:
// nothing new goes out, and after a pause everything in flight is sent again
// in order. The oldest goes first and alone, as a probe. A new leader that
// began to listen in the middle of a burst would store its end before its
// beginning; and a stream that refuses everything is not sent everything at
// every attempt.
type watch struct {
	phase    phase
	attempt  uint32    // number of the attempt that is under way, from 1
	pause    backoff   // before the next one
	due      time.Time // when that pause ends
	probe    uint64    // position of the message that probes
	since    time.Time // from when on the oldest is waited for
	progress time.Time // when something was last acknowledged
	last     error     // what went wrong last, since then
	stranger error     // an answer from elsewhere, in this attempt
}

// begin starts the clocks when there is something in flight again.
func (w *watch) begin(now time.Time) { w.since, w.progress = now, now }

// heard notes an acknowledgement. The next one behind the oldest is waited for
// from now on: it may have waited behind it.
func (w *watch) heard(now time.Time, oldest bool) {
	w.progress, w.pause.next, w.last = now, 0, nil
	if oldest {
		w.since = now
	}
}

func (w *watch) trouble(err error) {
	w.last = err
	if w.phase != pausing { // one attempt is one trouble
		w.phase = troubled
	}
}

// silence is the trouble with an attempt that was not answered.
func (w *watch) silence() error {
	if w.stranger != nil {
		return w.stranger
	}
	return errUnanswered
}

// mind watches until the batch has ended.
func (f *flight) mind(ctx context.Context) {
	timer := time.NewTimer(attemptTime)
	defer timer.Stop()
	for {
		bell := f.bell.next() // before going back: what is sent then, a later ring is about
		wait, ended := f.step(time.Now())
		if ended {
			return
		}
		timer.Reset(wait)
		select {
		case <-f.wake:
		case <-timer.C:
		case <-bell.Done():
			f.interrupted(nil, true)
		case s := <-f.lane.changes():
			switch s {
			case nats.CLOSED:
				f.stop(fmt.Errorf("%w: %w", errStopping, nats.ErrConnectionClosed))
			case nats.CONNECTED:
				f.interrupted(nats.ErrDisconnected, true)
			default:
				f.interrupted(nats.ErrDisconnected, false)
			}
		case <-ctx.Done():
			f.stop(fmt.Errorf("%w: %w", errClientGone, context.Cause(ctx)))
		}
	}
}

func (f *flight) stop(err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.end(err)
}

// interrupted makes the batch go back, at once if there is a reason to hope.
func (f *flight) interrupted(err error, hope bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.window.waiting == 0 {
		return
	}
	if err == nil {
		err = f.watch.last
	}
	if err == nil {
		err = f.watch.silence()
	}
	f.watch.trouble(err)
	if hope {
		f.watch.phase, f.watch.due, f.watch.pause.next = pausing, time.Time{}, 0
	}
}

// step does what is due, and tells when something will be.
func (f *flight) step(now time.Time) (wait time.Duration, ended bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	w := &f.watch
	for {
		if f.over || f.read && f.window.empty() {
			f.end(nil)
			return 0, true
		}
		if f.window.waiting == 0 {
			f.flow()
			return attemptTime, false
		}
		left := w.progress.Add(f.deadline).Sub(now)
		if left <= 0 {
			f.giveUp()
			continue
		}
		switch w.phase {
		case flowing:
			if wait := w.since.Add(attemptTime).Sub(now); wait > 0 {
				return min(wait, left), false
			}
			w.trouble(w.silence())
		case troubled:
			w.phase, w.due = pausing, now.Add(w.pause.pause())
		case pausing:
			if wait := w.due.Sub(now); wait > 0 {
				return min(wait, left), false
			}
			f.goBack(now)
		case probing:
			if f.window.oldest != w.probe {
				f.resend()
				break
			}
			if wait := w.since.Add(attemptTime).Sub(now); wait > 0 {
				return min(wait, left), false
			}
			w.trouble(w.silence())
		}
	}
}

// flow lets the reader go on.
func (f *flight) flow() {
	f.watch.phase = flowing
	f.reader.Broadcast()
}

func (f *flight) giveUp() {
	last := f.watch.last
	if last == nil {
		last = f.watch.silence()
	}
	f.end(fmt.Errorf("%w; stream %s was tried for %v, at last: %w", unacknowledged(last), f.stream, f.deadline, last))
}

// goBack begins another attempt with the oldest message.
func (f *flight) goBack(now time.Time) {
	w := &f.watch
	w.attempt++
	w.phase, w.probe, w.since, w.stranger = probing, f.window.oldest, now, nil
	f.transmit(w.probe, f.window.at(w.probe))
}

// resend sends again what is in flight behind the probe, which was answered.
func (f *flight) resend() {
	for pos := f.window.oldest; pos < f.window.next; pos++ {
		p := f.window.at(pos)
		if p == nil || p.condition != waiting || p.attempt == f.watch.attempt {
			continue
		}
		f.transmit(pos, p)
		if f.over || f.watch.phase != probing {
			return // the rest must not overtake this one
		}
	}
	f.flow()
}

// transmit sends a message in the attempt that is under way.
func (f *flight) transmit(pos uint64, p *place) {
	// Until an attempt is answered it may have stored the message.
	p.unknown = p.unknown || p.attempt != 0 && !p.refused
	p.attempt, p.refused = f.watch.attempt, false
	if err := f.lane.send(p.m, tag{pos, p.attempt}); err != nil {
		f.failed(pos, p, err)
	}
}
