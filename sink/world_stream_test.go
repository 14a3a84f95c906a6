package sink

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"landfall/message"
)

// stream is a JetStream stream with its one consumer.
type stream struct {
	incarnation string
	held        []message.Message // by sequence, ascending; what at least one replica has
	last        uint64
	maxBytes    int64
	bytes       uint64
	clock       time.Time // of the last message
	shrunk      time.Time // when messages were last lost without Landfall's doing

	electing bool            // nobody answers
	old      *message.Stream // what a paused leader still tells

	next    uint64  // of the consumer
	pulls   []*pull // every one that still takes messages
	turn    int     // which of the open ones is next
	thieves int     // messages that closed pulls will yet take
	stalled bool    // the consumer delivers nothing until it is reset
	resets  int

	births int               // of incarnations
	reborn int               // incarnations given to a stream that was there
	cuts   int               // tails lost
	ledger map[key]published // everything ever published
	order  []key             // of it
	let    map[key]bool      // what was lost without Landfall's doing
	purged map[key]bool      // what the sink let go
	purges []uint64          // below which
}

var errElecting = errors.New("no leader answers")

// first is the sequence of the first message held.
func (s *stream) first() uint64 {
	if len(s.held) == 0 {
		return s.last + 1
	}
	return s.held[0].Seq
}

// index is where the first message at or after seq is held.
func (s *stream) index(seq uint64) int {
	i, _ := slices.BinarySearchFunc(s.held, seq, func(m message.Message, seq uint64) int {
		switch {
		case m.Seq < seq:
			return -1
		case m.Seq > seq:
			return 1
		}
		return 0
	})
	return i
}

func (s *stream) state() message.Stream {
	return message.Stream{
		Name: "MESSAGES", Incarnation: s.incarnation, First: s.first(), Last: s.last,
		Messages: uint64(len(s.held)), Bytes: s.bytes, MaxBytes: s.maxBytes,
	}
}

// remove takes away the messages held[i:j].
func (s *stream) remove(i, j int) []message.Message {
	gone := slices.Clone(s.held[i:j])
	s.held = slices.Delete(s.held, i, j)
	for i := range gone {
		s.bytes -= uint64(gone[i].Size())
	}
	return gone
}

// recreate removes the stream and makes a new one of the same name.
func (w *world) recreate() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.letGo(w.stream.remove(0, len(w.stream.held)))
	w.stream.last = 0
	w.birth()
	for _, n := range w.nodes {
		clear(n.missing)
	}
}

func (w *world) birth() {
	w.stream.births++
	w.stream.incarnation = fmt.Sprintf("incarnation %d", w.stream.births)
}

// letGo notes that messages were lost: Postgres may have them or not.
func (w *world) letGo(ms []message.Message) {
	for i := range ms {
		w.stream.shrunk = time.Now()
		w.stream.let[keyOf(ms[i].Time)] = true
	}
}

// elect ends the pulls, and for a second nobody leads; elected ends it.
func (w *world) elect() {
	w.do(func() {
		w.stream.electing, w.stream.old = true, nil
		w.breakPulls()
	})
	w.pass(time.Second)
}

func (w *world) elected() {
	w.do(func() {
		w.stream.electing = false
		for _, n := range w.nodes {
			n.turned = time.Now()
		}
	})
}

// cut loses the stream's tail behind seq, as when a majority of the disks
// comes back from an old copy.
func (w *world) cut(seq uint64) {
	w.elect()
	defer w.elected()
	w.do(func() {
		s := &w.stream
		if seq >= s.last {
			return
		}
		s.cuts++
		w.letGo(s.remove(s.index(seq+1), len(s.held)))
		s.last = seq
		for _, n := range w.nodes {
			for at := range n.missing {
				if at > seq {
					delete(n.missing, at)
				}
			}
		}
	})
}

// lose takes messages from every replica; but while a cut has not been noticed
// none by which it will be, at the cursor or where a batch in hand will move it:
// two losses at once that hide one another are beyond the promise.
func (w *world) lose(seqs ...uint64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, seq := range seqs {
		row := w.pg.row(w.stream.incarnation)
		if w.stream.cuts > w.stream.reborn && row != nil && row.cursor.Seq <= seq {
			continue
		}
		if i := w.stream.index(seq); i < len(w.stream.held) && w.stream.held[i].Seq == seq {
			w.letGo(w.stream.remove(i, i+1))
		}
	}
}

// purge is one by hand: whatever is below seq, in Postgres or not.
func (w *world) purge(seq uint64) {
	w.do(func() { w.letGo(w.stream.remove(0, w.stream.index(seq))) })
}

// deliver hands what the consumer has to the pulls; in do. Messages that
// the replica of the consumer's leader has lost are skipped.
func (w *world) deliver() {
	s := &w.stream
	if s.stalled || s.electing {
		return
	}
	local := w.leader().missing
	for i := s.index(s.next); i < len(s.held); i++ {
		m := s.held[i]
		if local[m.Seq] {
			continue
		}
		p := w.taker()
		if p == nil {
			return
		}
		if !p.closed {
			p.ready = append(p.ready, m)
			signal(p.wake)
		}
		s.next = m.Seq + 1
	}
}

// leader is the node that really leads the consumer.
func (w *world) leader() *node {
	for _, n := range w.nodes {
		if n.leads {
			return n
		}
	}
	return w.nodes[0]
}

// taker is the pull that takes the next message: closed ones first, if they
// still take any, the open ones in turn.
func (w *world) taker() *pull {
	s := &w.stream
	s.pulls = slices.DeleteFunc(s.pulls, func(p *pull) bool { return p.closed && s.thieves == 0 || p.err != nil })
	for _, p := range s.pulls {
		if p.closed {
			s.thieves--
			return p
		}
	}
	for range s.pulls {
		s.turn++
		if p := s.pulls[s.turn%len(s.pulls)]; len(p.ready) < 2*maxRows {
			return p
		}
	}
	return nil
}

// breakPulls ends every pull, as a change of leaders does; in do.
func (w *world) breakPulls() {
	for _, p := range w.stream.pulls {
		p.err = errors.New("the consumer went away")
		signal(p.wake)
	}
	w.stream.pulls = nil
}
