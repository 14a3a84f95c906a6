package drill

import (
	"bufio"
	"fmt"
	"io"
	"iter"
	"os"
	"strings"
)

// Entries reads all entries back: one publisher after the other, each in its
// own order. One publisher's are in memory at a time. Publishers may go on
// meanwhile; what they have not entered yet is not there. An error is the last
// that comes; what could not be written is one.
func (l *Ledger) Entries() iter.Seq2[Entry, error] {
	return func(yield func(Entry, error) bool) {
		if err := l.flush(); err != nil {
			yield(Entry{}, fmt.Errorf("read the ledger: %w", err))
			return
		}
		for _, b := range l.inOrder() {
			entries, err := b.read()
			if err != nil {
				yield(Entry{}, fmt.Errorf("read the book of publisher %s: %w", b.publisher, err))
				return
			}
			for i := range entries {
				if !yield(entries[i], nil) {
					return
				}
			}
		}
	}
}

// read returns one publisher's entries.
func (l *Ledger) read(publisher string) ([]Entry, error) {
	l.mu.Lock()
	b := l.books[publisher]
	l.mu.Unlock()
	if b == nil {
		return nil, os.ErrNotExist
	}
	return b.read()
}

// read returns the book's entries.
func (b *Book) read() ([]Entry, error) {
	f, err := os.Open(b.path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	r := bookReader{publisher: b.publisher}
	lines := bufio.NewReaderSize(f, 64<<10)
	for {
		text, err := lines.ReadString('\n')
		if err == io.EOF {
			// A line without an end is being written by a publisher that goes on.
			return r.entries, nil
		}
		if err != nil {
			return nil, err
		}
		if err := r.line(strings.TrimSuffix(text, "\n")); err != nil {
			return nil, err
		}
	}
}

// bookReader puts a book's lines together.
type bookReader struct {
	publisher string
	entries   []Entry
	turn      int
	told      bool // something was, in this turn
}

func (r *bookReader) line(text string) error {
	l, err := parseBookLine(text)
	switch {
	case err != nil:
		return err
	case l.offer && l.place == len(r.entries):
		if r.told {
			r.turn++
			r.told = false
		}
		l.entry.Publisher, l.entry.Place, l.entry.Turn, l.entry.ToldIn = r.publisher, l.place, r.turn, r.turn
		r.entries = append(r.entries, l.entry)
	case !l.offer && l.place < len(r.entries):
		r.entries[l.place].tell(l.told, r.turn)
		r.told = true
	default:
		return fmt.Errorf("%w in its place: %q", errBookLine, text)
	}
	return nil
}
