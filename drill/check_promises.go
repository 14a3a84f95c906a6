package drill

import (
	"encoding/binary"
	"fmt"
)

// promise is what the checker keeps of an entry, and what it found of it.
// There may be millions.
type promise struct {
	id   uint64 // the beginning of its hash
	body Hash
	seq  uint64 // of the acknowledgement

	place  place // of the first row found, or of the dead letter; 0: none
	turn   uint32
	toldIn uint32

	subject   uint32 // among the names
	stream    uint32 // of the acknowledgement, among the names
	outcome   Outcome
	duplicate bool // as in Entry
	bad       bool // as in Message

	rows    uint8 // with its own body and subject; up to 255
	letters uint8 // dead letters, the same
}

// promises are all entries of a ledger, one publisher after the other, and
// found by their ids.
type promises struct {
	ledger *Ledger

	list  []promise
	books []bookOf
	index []uint32 // of the list, plus 1, hashed by id; 0: nobody
	names []string // of streams and subjects
	known map[string]uint32

	reasons map[int]string // of the first dead letters that should not be
}

// bookOf is whose promises begin where in the list.
type bookOf struct {
	publisher string
	first     int
}

func newPromises(l *Ledger) promises {
	offered := l.Tally().Offered
	size := 16
	for size < 2*offered {
		size *= 2
	}
	return promises{
		ledger: l, list: make([]promise, 0, offered), index: make([]uint32, size),
		known: make(map[string]uint32), reasons: make(map[int]string),
	}
}

// add enters an entry. It is false if there is one with that id: then nothing
// is expected of this one.
func (ps *promises) add(e *Entry) bool {
	if n := len(ps.books); n == 0 || ps.books[n-1].publisher != e.Publisher {
		ps.books = append(ps.books, bookOf{e.Publisher, len(ps.list)})
	}
	p := promise{
		id: idHash([]byte(e.ID)), body: e.Body, seq: e.Seq, turn: uint32(e.Turn), toldIn: uint32(e.ToldIn),
		subject: ps.name(e.Subject), outcome: e.Outcome, duplicate: e.Duplicate, bad: e.Bad,
	}
	if e.Outcome == Acked {
		p.stream = ps.name(e.Stream)
	}
	ps.list = append(ps.list, p)
	if 2*len(ps.list) > len(ps.index) { // more than were foretold
		ps.rehash()
	}
	if ps.enter(len(ps.list) - 1) {
		return true
	}
	ps.list[len(ps.list)-1].outcome = Unknown
	return false
}

// enter puts one of the list into the index.
func (ps *promises) enter(i int) bool {
	slot := ps.slot(ps.list[i].id)
	if ps.index[slot] != 0 {
		return false
	}
	ps.index[slot] = uint32(i) + 1
	return true
}

func (ps *promises) rehash() {
	ps.index = make([]uint32, 2*len(ps.index))
	for i := range ps.list[:len(ps.list)-1] {
		ps.enter(i)
	}
}

// slot is where an id is in the index, or would be.
func (ps *promises) slot(id uint64) int {
	mask := len(ps.index) - 1
	slot := int(id) & mask
	for ps.index[slot] != 0 && ps.list[ps.index[slot]-1].id != id {
		slot = (slot + 1) & mask
	}
	return slot
}

// find is the place in the list of the message with that id.
func (ps *promises) find(id []byte) (i int, found bool) {
	at := ps.index[ps.slot(idHash(id))]
	return int(at) - 1, at != 0
}

// idHash stands for an id. That two of ten million are taken for one is less
// likely than one in a hundred thousand, and would be said.
func idHash(id []byte) uint64 {
	h := HashOf(id)
	return binary.BigEndian.Uint64(h[:])
}

// name is the number of a stream or subject.
func (ps *promises) name(s string) uint32 {
	n, found := ps.known[s]
	if !found {
		n = uint32(len(ps.names))
		ps.known[s], ps.names = n, append(ps.names, s)
	}
	return n
}

// entry reads back an entry of which there is something to say.
func (ps *promises) entry(i int) Entry {
	for n := len(ps.books) - 1; n >= 0; n-- {
		b := ps.books[n]
		if b.first > i {
			continue
		}
		entries, err := ps.ledger.read(b.publisher)
		if err != nil || len(entries) <= i-b.first { // a moment ago it could be read
			return Entry{ID: fmt.Sprintf("%d of publisher %s", i-b.first, b.publisher)}
		}
		return entries[i-b.first]
	}
	return Entry{}
}
