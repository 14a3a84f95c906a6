package status

import (
	"slices"
	"sync"
	"time"

	"landfall/message"
)

// track is what this node was told of one stream's way into Postgres, and who
// waits to hear more.
type track struct {
	mu          sync.Mutex
	incarnation string    // of the last announcement
	cursor      uint64    // its last sequence
	heard       time.Time // when it came
	cleanFrom   uint64    // from here to the cursor all was announced as rows, without a hole
	waiters     map[uint64][]*waiter
	wake        chan struct{} // for the asker: somebody came to wait, or must be asked for now
}

// waiter is somebody who waits for one message.
type waiter struct {
	seq    uint64
	id     string
	floor  uint64
	answer chan message.Receipt // has room, and is sent to once

	// Of the track.
	urgent bool      // the cursor has passed it, or is not to be believed: ask
	since  time.Time // when it began to wait, or Postgres was last asked for it
}

func newTrack() *track {
	return &track{waiters: map[uint64][]*waiter{}, wake: make(chan struct{}, 1)}
}

// last is what the last announcement said, and when; zero if there was none.
func (t *track) last() (incarnation string, cursor uint64, heard time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.incarnation, t.cursor, t.heard
}

func (t *track) at() uint64 {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.cursor
}

// join takes a waiter in, or answers it from what was heard.
func (t *track) join(w *waiter) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.cleanFrom <= w.seq && w.seq <= t.cursor && w.seq > w.floor {
		w.answer <- w.stored()
		return
	}
	w.urgent = w.seq <= t.cursor || w.seq <= w.floor
	w.since = time.Now()
	if w.urgent || len(t.waiters) == 0 {
		t.rouse()
	}
	t.waiters[w.seq] = append(t.waiters[w.seq], w)
}

// stored is what an announcement says of the waiter's message.
func (w *waiter) stored() message.Receipt {
	return message.Receipt{Seq: w.seq, State: message.Stored, ID: w.id}
}

// leave forgets a waiter, if it was not answered.
func (t *track) leave(w *waiter) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.keep(w.seq, func(other *waiter) bool { return other != w })
}

// keep drops the waiters for a sequence that are not to stay.
func (t *track) keep(seq uint64, stays func(*waiter) bool) {
	rest := slices.DeleteFunc(t.waiters[seq], func(w *waiter) bool { return !stays(w) })
	if len(rest) == 0 {
		delete(t.waiters, seq)
		return
	}
	t.waiters[seq] = rest
}

// hear takes note of a commit. Whatever does not continue what was heard
// before (a hole, another incarnation, a cursor that went back) begins anew.
func (t *track) hear(a announcement) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if a.Incarnation != t.incarnation || a.From != t.cursor+1 {
		t.cleanFrom = a.From
	}
	if !a.Clean {
		t.cleanFrom = a.To + 1
	}
	t.incarnation, t.cursor, t.heard = a.Incarnation, a.To, time.Now()
	if a.To-a.From < uint64(len(t.waiters)) {
		for seq := a.From; seq <= a.To; seq++ {
			t.passed(seq, a.Clean)
		}
		return
	}
	for seq := range t.waiters {
		if a.From <= seq && seq <= a.To {
			t.passed(seq, a.Clean)
		}
	}
}

// passed answers those who wait for a sequence that became a row; for the
// others Postgres is asked.
func (t *track) passed(seq uint64, clean bool) {
	t.keep(seq, func(w *waiter) bool {
		if clean && seq > w.floor {
			w.answer <- w.stored()
			return false
		}
		w.urgent = true
		t.rouse()
		return true
	})
}

// settle answers those for whose message Postgres has an answer.
func (t *track) settle(receipts []message.Receipt) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, r := range receipts {
		if r.State == message.Pending {
			continue
		}
		t.keep(r.Seq, func(w *waiter) bool {
			if r.ID != w.id {
				return true // another message, of another incarnation
			}
			w.answer <- r
			return false
		})
	}
}

// rouse wakes the asker, now or when it comes to wait.
func (t *track) rouse() {
	select {
	case t.wake <- struct{}{}:
	default:
	}
}
