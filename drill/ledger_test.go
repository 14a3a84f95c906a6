package drill

import (
	"fmt"
	"sync"
	"testing"
	"time"
)

func TestLedgerKeepsPromises(t *testing.T) {
	t.Parallel()
	l := NewLedger(1)
	r := l.Offer(Message{ID: "a", Subject: "messages.a", Body: []byte("one")}, at(0))
	l.Tell(r, Told{Outcome: Unknown, At: at(1)})
	l.Tell(r, Told{Outcome: Acked, At: at(2), Stream: "MESSAGES", Seq: 7})
	l.Tell(r, Told{Outcome: Unknown, At: at(3)})
	l.Tell(r, Told{Outcome: Refused, At: at(4)})
	got := l.Entries()[0]
	want := Entry{ID: "a", Subject: "messages.a", Body: HashOf([]byte("one")), Offered: at(0),
		Outcome: Acked, Told: at(2), Stream: "MESSAGES", Seq: 7}
	if got != want {
		t.Errorf("got %+v\nwant %+v", got, want)
	}
	if tally := l.Tally(); tally != (Tally{Offered: 1, Settled: 1, Acked: 1, LastSeq: 7}) {
		t.Errorf("tally %+v", tally)
	}
}

func TestLedgerOfManyPublishers(t *testing.T) {
	t.Parallel()
	const publishers, each = 8, 500
	l := NewLedger(0)
	var wg sync.WaitGroup
	for p := range publishers {
		wg.Go(func() {
			for n := range each {
				r := l.Offer(Message{ID: fmt.Sprintf("%d-%d", p, n)}, time.Now())
				l.Tell(r, Told{Outcome: Acked, At: time.Now(), Seq: uint64(p*each + n + 1)})
			}
		})
	}
	wg.Wait()
	if tally := l.Tally(); tally != (Tally{Offered: 4000, Settled: 4000, Acked: 4000, LastSeq: 4000}) {
		t.Errorf("tally %+v", tally)
	}
	seen := make(map[uint64]bool)
	for _, e := range l.Entries() {
		var p, n int
		if _, err := fmt.Sscanf(e.ID, "%d-%d", &p, &n); err != nil || e.Seq != uint64(p*each+n+1) || seen[e.Seq] {
			t.Fatalf("entry %+v holds what was told of another", e)
		}
		seen[e.Seq] = true
	}
}
