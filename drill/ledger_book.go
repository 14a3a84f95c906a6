package drill

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"sync"
	"time"
)

// Book is one publisher's part of a ledger. What it cannot write it remembers:
// it is an error of Close, of the ledger's, and of reading the entries.
type Book struct {
	ledger    *Ledger
	publisher string
	path      string

	mu   sync.Mutex
	file *os.File // nil while it is closed
	w    *bufio.Writer
	line []byte      // buffer
	told []toldSoFar // by place
	err  error       // the first one
}

// Ref is a message's place in its book, from 0.
type Ref int

// toldSoFar is what a book has to remember of a message.
type toldSoFar uint8

const (
	toldNothing toldSoFar = iota
	toldSomething
	promised
)

var errBookOpen = errors.New("it is open: a publisher is one sender")

func (b *Book) open() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.file != nil {
		return errBookOpen
	}
	how := os.O_CREATE | os.O_APPEND | os.O_WRONLY
	if len(b.told) == 0 {
		how |= os.O_EXCL // another ledger's
	}
	f, err := os.OpenFile(b.path, how, 0o600)
	if err != nil {
		return err
	}
	b.file, b.w = f, newBookWriter(f)
	return nil
}

// Offer enters a message before it is sent for the first time. A batch offers
// all of its lines, in their order, before it tells of any.
func (b *Book) Offer(m Message, due time.Time) Ref {
	b.mu.Lock()
	defer b.mu.Unlock()
	r := Ref(len(b.told))
	b.told = append(b.told, toldNothing)
	b.line = appendOffer(b.line[:0], r, m, due)
	b.write()
	b.ledger.offered.Add(1)
	return r
}

// Tell enters what became of it. The first acknowledgement stands: a promise
// is not taken back by what a later attempt is told.
func (b *Book) Tell(r Ref, t Told) {
	b.mu.Lock()
	defer b.mu.Unlock()
	before := b.told[r]
	if before == promised {
		return
	}
	b.told[r] = toldSomething
	b.line = appendTold(b.line[:0], r, t)
	b.write()
	if before == toldNothing {
		b.ledger.settled.Add(1)
	}
	if t.Outcome != Acked {
		return
	}
	b.told[r] = promised
	b.ledger.acked.Add(1)
	for {
		last := b.ledger.lastSeq.Load()
		if t.Seq <= last || b.ledger.lastSeq.CompareAndSwap(last, t.Seq) {
			return
		}
	}
}

// write appends the line. Whoever publishes has better to do than to look
// after the ledger's disk: an error is kept for later.
func (b *Book) write() {
	if b.err != nil {
		return
	}
	if b.w == nil {
		b.fail(os.ErrClosed)
		return
	}
	if _, err := b.w.Write(b.line); err != nil {
		b.fail(err)
	}
}

func (b *Book) fail(err error) {
	if b.err == nil {
		b.err = fmt.Errorf("write the book of publisher %s: %w", b.publisher, err)
	}
}

// flush has everything in the file.
func (b *Book) flush() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.flushed()
	return b.err
}

func (b *Book) flushed() {
	if b.w != nil && b.err == nil {
		if err := b.w.Flush(); err != nil {
			b.fail(err)
		}
	}
}

// Close ends the book, and returns what could not be written into it. It may
// be closed twice.
func (b *Book) Close() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.flushed()
	if b.file != nil {
		if err := b.file.Close(); err != nil {
			b.fail(err)
		}
		b.file, b.w = nil, nil
	}
	return b.err
}
