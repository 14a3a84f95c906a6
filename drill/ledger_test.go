package drill

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// newLedger is one in a directory of the test's own. What it could not write
// fails the test.
func newLedger(t *testing.T) *Ledger {
	t.Helper()
	l, err := NewLedger(filepath.Join(t.TempDir(), "ledger"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	})
	return l
}

// book opens a publisher's book.
func book(t *testing.T, l *Ledger, publisher string) *Book {
	t.Helper()
	b, err := l.Book(publisher)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// entriesOf are a ledger's entries.
func entriesOf(t *testing.T, l *Ledger) []Entry {
	t.Helper()
	var list []Entry
	for e, err := range l.Entries() {
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, e)
	}
	return list
}

func TestLedgerKeepsPromises(t *testing.T) {
	t.Parallel()
	l := newLedger(t)
	b := book(t, l, "p")
	r := b.Offer(Message{ID: "a", Subject: "messages.a", Body: []byte("one")}, at(0))
	b.Tell(r, Told{Outcome: Unknown, At: at(1)})
	b.Tell(r, Told{Outcome: Acked, At: at(2), Stream: "MESSAGES", Seq: 7})
	b.Tell(r, Told{Outcome: Unknown, At: at(3)})
	b.Tell(r, Told{Outcome: Refused, At: at(4)})
	want := []Entry{{Publisher: "p", ID: "a", Subject: "messages.a", Body: HashOf([]byte("one")), Offered: at(0),
		Outcome: Acked, Told: at(2), Stream: "MESSAGES", Seq: 7}}
	if diff := cmp.Diff(want, entriesOf(t, l)); diff != "" {
		t.Error(diff)
	}
	if tally := l.Tally(); tally != (Tally{Offered: 1, Settled: 1, Acked: 1, LastSeq: 7}) {
		t.Errorf("tally %+v", tally)
	}
}

// A message sent after something was told is of a later turn; the lines of a
// batch are of one, and what is told late is told in the turn of that time.
func TestLedgerTellsTurnsApart(t *testing.T) {
	t.Parallel()
	l := newLedger(t)
	b := book(t, l, "p")
	acked := Told{Outcome: Acked, At: at(1), Stream: Stream, Seq: 1}
	late := b.Offer(Message{ID: "late"}, at(0))
	b.Tell(b.Offer(Message{ID: "single"}, at(0)), acked)
	one, two := b.Offer(Message{ID: "batch/1"}, at(0)), b.Offer(Message{ID: "batch/2"}, at(0))
	b.Tell(one, acked)
	b.Tell(two, acked)
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	b = book(t, l, "p") // it goes on
	b.Offer(Message{ID: "last"}, at(0))
	b.Tell(late, acked)
	var got []string
	for _, e := range entriesOf(t, l) {
		got = append(got, fmt.Sprintf("%d %s %d %d", e.Place, e.ID, e.Turn, e.ToldIn))
	}
	want := []string{"0 late 0 2", "1 single 0 0", "2 batch/1 1 1", "3 batch/2 1 1", "4 last 2 2"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

// Whatever a publisher may send reads back as it was.
func TestLedgerLines(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.OneOf(rapid.String(), rapid.StringMatching(`[a-z"\\ \n\x00-]*`),
			rapid.Map(rapid.SliceOf(rapid.Byte()), func(b []byte) string { return string(b) }))
		m := Message{ID: text.Draw(t, "id"), Subject: text.Draw(t, "subject"), Body: []byte("body"), Bad: rapid.Bool().Draw(t, "bad")}
		place := rapid.IntRange(0, 1<<40).Draw(t, "place")
		line := string(appendOffer(nil, Ref(place), m, at(12)))
		if strings.Count(line, "\n") != 1 {
			t.Fatalf("%q is not one line", line)
		}
		got, err := parseBookLine(strings.TrimSuffix(line, "\n"))
		want := bookLine{place: place, offer: true, entry: Entry{ID: m.ID, Subject: m.Subject, Bad: m.Bad, Body: HashOf(m.Body), Offered: at(12)}}
		if err != nil || got != want {
			t.Fatalf("%q reads as %+v, %v", line, got, err)
		}
		told := Told{Outcome: Outcome(rapid.IntRange(0, 2).Draw(t, "outcome")), At: at(13)}
		if told.Outcome == Acked {
			told.Stream, told.Seq, told.Duplicate = text.Draw(t, "stream"), rapid.Uint64().Draw(t, "seq"), rapid.Bool().Draw(t, "duplicate")
		}
		line = string(appendTold(nil, Ref(place), told))
		if got, err = parseBookLine(strings.TrimSuffix(line, "\n")); err != nil || got != (bookLine{place: place, told: told}) {
			t.Fatalf("%q reads as %+v, %v", line, got, err)
		}
	})
}

func TestLedgerOfManyPublishers(t *testing.T) {
	t.Parallel()
	const publishers, each = 8, 500
	l := newLedger(t)
	var wg sync.WaitGroup
	for p := range publishers {
		b := book(t, l, fmt.Sprintf("p%d", p))
		wg.Go(func() {
			for n := range each {
				r := b.Offer(Message{ID: fmt.Sprintf("%d-%d", p, n)}, time.Now())
				b.Tell(r, Told{Outcome: Acked, At: time.Now(), Seq: uint64(p*each + n + 1)})
			}
		})
	}
	wg.Wait()
	if tally := l.Tally(); tally != (Tally{Offered: 4000, Settled: 4000, Acked: 4000, LastSeq: 4000}) {
		t.Errorf("tally %+v", tally)
	}
	seen := make(map[uint64]bool)
	for _, e := range entriesOf(t, l) {
		var p, n int
		if _, err := fmt.Sscanf(e.ID, "%d-%d", &p, &n); err != nil || e.Seq != uint64(p*each+n+1) || seen[e.Seq] || e.Place != n || e.Publisher != fmt.Sprintf("p%d", p) {
			t.Fatalf("entry %+v holds what was told of another", e)
		}
		seen[e.Seq] = true
	}
	if len(seen) != publishers*each {
		t.Errorf("%d entries", len(seen))
	}
}

func TestLedgerRefuses(t *testing.T) {
	t.Parallel()
	l := newLedger(t)
	b := book(t, l, "a/b") // no file's name, but a publisher's
	if _, err := l.Book("a/b"); err == nil {
		t.Error("a book was opened twice")
	}
	b.Offer(Message{ID: "m"}, at(0))
	if got := entriesOf(t, l); len(got) != 1 || got[0].Publisher != "a/b" {
		t.Errorf("entries %+v", got)
	}
	other, err := NewLedger(l.dir)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := other.Book("a/b"); err == nil {
		t.Error("another ledger's book was taken for a new one")
	}
}

// What could not be written is not taken for what was not sent.
func TestLedgerOfAFullDisk(t *testing.T) {
	t.Parallel()
	full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	if err != nil {
		t.Skip("there is no /dev/full here")
	}
	l, err := NewLedger(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	b := book(t, l, "p")
	if err := b.file.Close(); err != nil {
		t.Fatal(err)
	}
	b.file, b.w = full, newBookWriter(full)
	for n := range 1000 {
		b.Offer(Message{ID: fmt.Sprint(n)}, at(n))
	}
	for _, err = range l.Entries() {
	}
	if err == nil {
		t.Error("the entries were read as if they were all")
	}
	if b.Close() == nil || l.Close() == nil {
		t.Error("nobody says that something is missing")
	}
}

// What is no line of a book, or out of its place, is not passed over.
func TestLedgerOfSpoiledFiles(t *testing.T) {
	t.Parallel()
	const good = "0 offered 2026-01-01T00:00:00.000000Z 00112233445566778899aabbccddeeff messages.x m-1\n"
	for name, text := range map[string]string{
		"a place left out": strings.Replace(good, "0 ", "1 ", 1),
		"twice":            good + good,
		"told of nothing":  good + "1 refused 2026-01-01T00:00:00.000000Z\n",
		"no outcome":       good + "0 maybe 2026-01-01T00:00:00.000000Z\n",
		"too much":         good + "0 refused 2026-01-01T00:00:00.000000Z so there\n",
		"a short hash":     strings.Replace(good, "0011", "", 1),
		"an empty line":    good + "\n",
		"an open quote":    strings.Replace(good, " m-1", ` "m-1`, 1),
	} {
		l := newLedger(t)
		b := book(t, l, "p")
		if err := os.WriteFile(b.path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		var err error
		for _, err = range l.Entries() {
		}
		if err == nil {
			t.Errorf("%s: read without complaint", name)
		}
	}
}
