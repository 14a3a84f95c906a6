package drill

import (
	"bufio"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
)

// Ledger remembers a run: a directory with a file for each publisher, into
// which it writes every message before it sends it, and what it was told about
// it. So a publisher that dies or gives up leaves an entry with an unknown
// outcome, and a run of millions of messages takes no memory. Its methods may
// be called from several goroutines.
type Ledger struct {
	dir string

	mu       sync.Mutex
	books    map[string]*Book
	names    []string // of the books, in the order in which they were opened
	loads    int      // that have run
	removals []Removal
	err      error // the first one in writing removals down

	offered, settled, acked atomic.Int64
	lastSeq                 atomic.Uint64
}

// NewLedger makes the directory, which must not have a ledger yet. Close it.
func NewLedger(dir string) (*Ledger, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("make the ledger's directory: %w", err)
	}
	return &Ledger{dir: dir, books: make(map[string]*Book)}, nil
}

// Book is the publisher's own part of the ledger. A publisher is whoever sends
// one message after another, or one batch after another. A publisher whose
// book was closed may open it again, and goes on where it was.
func (l *Ledger) Book(publisher string) (*Book, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	b := l.books[publisher]
	if b == nil {
		b = &Book{ledger: l, publisher: publisher, path: filepath.Join(l.dir, url.PathEscape(publisher))}
	}
	if err := b.open(); err != nil {
		return nil, fmt.Errorf("open the book of publisher %s: %w", publisher, err)
	}
	if l.books[publisher] == nil {
		l.books[publisher] = b
		l.names = append(l.names, publisher)
	}
	return b, nil
}

// load is a number for a load that begins, so that the books of several are
// told apart.
func (l *Ledger) load() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.loads++
	return l.loads
}

// inOrder are all books so far, in the order in which they were opened.
func (l *Ledger) inOrder() []*Book {
	l.mu.Lock()
	defer l.mu.Unlock()
	books := make([]*Book, 0, len(l.names))
	for _, name := range l.names {
		books = append(books, l.books[name])
	}
	return books
}

// Removal says that the drill itself took messages From to To, both included,
// out of an incarnation of the stream, and that Postgres may not have had them:
// what is missing exactly there is nobody's fault.
type Removal struct {
	Incarnation string // as in landfall.streams
	From, To    uint64
	Why         string // for people
}

// removalsFile is where removals are written down, beside the books: no
// publisher's file has a name with a slash in it, escaped or not.
const removalsFile = "removed%2F"

// Removed enters what a fault removed, before it does.
func (l *Ledger) Removed(r Removal) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.removals = append(l.removals, r)
	f, err := os.OpenFile(filepath.Join(l.dir, removalsFile), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err == nil {
		_, err = fmt.Fprintf(f, "removed %s %d %d %q\n", r.Incarnation, r.From, r.To, r.Why)
		err = errors.Join(err, f.Close())
	}
	if l.err == nil && err != nil {
		l.err = fmt.Errorf("write down what was removed: %w", err)
	}
}

// Removals are all that were entered.
func (l *Ledger) Removals() []Removal {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.removals)
}

// Tally is how far a run is.
type Tally struct {
	Offered int
	Settled int    // an outcome is known, or the publisher gave up
	Acked   int    // of those, promised
	LastSeq uint64 // highest sequence acknowledged
}

// Tally counts, at any moment of the run, and costs nothing. What is settled
// was offered, and what is acknowledged is settled.
func (l *Ledger) Tally() Tally {
	t := Tally{LastSeq: l.lastSeq.Load()}
	t.Acked = int(l.acked.Load())
	t.Settled = int(l.settled.Load())
	t.Offered = int(l.offered.Load())
	return t
}

// Close closes all books. What they could not write is an error here; the
// files stay.
func (l *Ledger) Close() error {
	var errs []error
	for _, b := range l.inOrder() {
		errs = append(errs, b.Close())
	}
	return errors.Join(append(errs, l.trouble())...)
}

// flush has everything in the files, and returns what could not be written.
func (l *Ledger) flush() error {
	var errs []error
	for _, b := range l.inOrder() {
		errs = append(errs, b.flush())
	}
	return errors.Join(append(errs, l.trouble())...)
}

func (l *Ledger) trouble() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.err
}

// bookBuffer is small: a run has hundreds of publishers.
const bookBuffer = 4 << 10

// newBookWriter is a buffered writer for a book's file.
func newBookWriter(f *os.File) *bufio.Writer { return bufio.NewWriterSize(f, bookBuffer) }
