package producer

// A batch has at most so much in flight: enough to keep a leader that syncs
// every message busy, little enough that many batches fit into memory.
const (
	windowMessages = 1024    // places, a power of two
	windowBytes    = 4 << 20 // of bodies and headers; one larger message goes alone
)

// condition is what an item in the window waits for.
type condition uint8

const (
	waiting condition = iota // for an acknowledgement
	known                    // JetStream knew its id: for being compared with what is stored
	settled                  // for nothing, but that those before it are settled too
)

// place is where an item of the batch is until it and all before it are
// acknowledged or refused for good.
type place struct {
	n         uint64    // the item's number
	m         *incoming // nil once it is settled
	size      int       // bytes of m
	condition condition
	attempt   uint32 // in which it was sent last; 0: not yet
	refused   bool   // that attempt is known to have stored nothing
	unknown   bool   // an earlier attempt may have stored it
	err       error  // why it is refused for good
}

// window holds the places of the items in flight, in the batch's order, in a
// ring that grows to what is needed. Positions count up from 0 for ever.
type window struct {
	ring     []place
	first    uint64 // position of the oldest place
	next     uint64 // position of the next one
	oldest   uint64 // position of the oldest one waiting; next: none is
	waiting  int    // how many are
	messages int    // messages not settled
	bytes    int    // of them
}

func (w *window) empty() bool { return w.first == w.next }

// at returns the place at a position, or nil if there is none any more.
func (w *window) at(pos uint64) *place {
	if pos < w.first || pos >= w.next {
		return nil
	}
	return &w.ring[pos&uint64(len(w.ring)-1)]
}

// fits tells whether another message of that size may be in flight.
func (w *window) fits(size int) bool {
	return w.next-w.first < windowMessages && (w.messages == 0 || w.bytes+size <= windowBytes)
}

// add puts an item at the end. One that is refused already is settled.
func (w *window) add(it item, size int) (uint64, *place) {
	if int(w.next-w.first) == len(w.ring) {
		w.grow()
	}
	pos := w.next
	w.next++
	p := w.at(pos)
	*p = place{n: it.n, m: it.m, size: size, err: it.err}
	if it.err != nil {
		p.m, p.condition = nil, settled
		if w.oldest == pos {
			w.oldest = w.next
		}
		return pos, p
	}
	w.waiting++
	w.messages++
	w.bytes += size
	return pos, p
}

func (w *window) grow() {
	ring := make([]place, max(16, 2*len(w.ring)))
	for pos := w.first; pos < w.next; pos++ {
		ring[pos&uint64(len(ring)-1)] = *w.at(pos)
	}
	w.ring = ring
}

// heard takes the place from those waiting. It tells whether it was the
// oldest of them.
func (w *window) heard(pos uint64, now condition) bool {
	w.at(pos).condition = now
	w.waiting--
	if pos != w.oldest {
		return false
	}
	for w.oldest < w.next && w.at(w.oldest).condition != waiting {
		w.oldest++
	}
	return true
}

// settle frees what the place holds of memory, but not yet the place.
func (w *window) settle(p *place) {
	p.m, p.condition = nil, settled
	w.messages--
	w.bytes -= p.size
}

// retire takes the first place out if it is settled.
func (w *window) retire() (place, bool) {
	p := w.at(w.first)
	if p == nil || p.condition != settled {
		return place{}, false
	}
	w.first++
	return *p, true
}
