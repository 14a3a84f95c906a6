package pgproxy

import (
	"slices"
	"time"
)

// Point is a place in what a program and Postgres say to each other.
type Point struct {
	// Statement chooses by the text of a statement that is executed, of
	// which it sees the beginning: textLimit bytes. A text of several
	// statements counts as one that is answered with its first.
	Statement func(sql string) bool

	// After, if given, chooses those statements alone before which in the
	// same transaction another one was executed.
	After func(sql string) bool

	Moment Moment
}

// Moment is when in the life of a statement.
type Moment int

// The moments, in their order.
const (
	Sent     Moment = iota // it has come from the program, and Postgres has nothing of it
	Flowing                // COPY FROM STDIN: Postgres has the first half of a piece of the data
	Answered               // Postgres has carried it out and said so, and the program has not heard
)

// Trap waits for a point, and does something there, once.
type Trap struct {
	proxy *Proxy
	point Point
	left  int           // how often the point is yet to come
	hold  time.Duration // 0: cut
	over  chan struct{}
}

// CutAt has the connection that comes to a point as the n-th cut there, in
// both directions, with resets. Other connections do not notice.
func (p *Proxy) CutAt(point Point, nth int) *Trap { return p.arm(point, nth, 0) }

// HoldAt has the connection that comes to a point as the n-th wait there.
func (p *Proxy) HoldAt(point Point, nth int, d time.Duration) *Trap {
	return p.arm(point, nth, max(d, 1))
}

func (p *Proxy) arm(point Point, nth int, hold time.Duration) *Trap {
	t := &Trap{proxy: p, point: point, left: max(nth, 1), hold: hold, over: make(chan struct{})}
	p.change(func() {
		p.traps = append(p.traps, t)
		p.armed.Store(int32(len(p.traps)))
	})
	return t
}

// Sprung is closed when the trap has done its work.
func (t *Trap) Sprung() <-chan struct{} { return t.over }

// Disarm takes the trap away, and tells whether that was in time: false if a
// connection has come to the point. Disarming twice does no harm.
func (t *Trap) Disarm() bool {
	disarmed := false
	t.proxy.change(func() {
		disarmed = t.left > 0
		t.proxy.remove(t)
	})
	return disarmed
}

// remove takes a trap out of the list; p.mu is held.
func (p *Proxy) remove(t *Trap) {
	p.traps = slices.DeleteFunc(p.traps, func(other *Trap) bool { return other == t })
	p.armed.Store(int32(len(p.traps)))
}

// reached is the trap for a point at which a connection has arrived, or nil.
func (p *Proxy) reached(m Moment, s statement) *Trap {
	if p.armed.Load() == 0 {
		return nil
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, t := range p.traps {
		if t.point.Moment != m || !t.point.Statement(s.sql) {
			continue
		}
		if t.point.After != nil && !s.had(t.point.After) {
			continue
		}
		t.left--
		if t.left == 0 {
			p.remove(t)
			return t
		}
	}
	return nil
}
