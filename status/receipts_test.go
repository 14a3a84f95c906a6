package status

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sync/errgroup"

	"landfall/message"
)

// What was announced as rows is answered without Postgres, before the wait and
// during it.
func TestAnnouncedRows(t *testing.T) {
	t.Parallel()
	inFakeTime(t, func(w *timeless) {
		first, far := w.await(3, id(3), 0), w.await(6, id(6), 0)
		w.pass(quiet - time.Millisecond)
		w.open(first)
		w.commits("a", 1, 4, true)
		w.is(first, row(3), quiet-time.Millisecond)
		w.open(far)
		if w.Cursor("S") != 4 {
			t.Errorf("the cursor is at %d", w.Cursor("S"))
		}
		w.commits("a", 5, 9, true)
		w.is(far, row(6), quiet-time.Millisecond)
		for seq := uint64(1); seq <= 9; seq++ {
			w.is(w.await(seq, id(seq), 0), row(seq), 0)
		}
		w.were()
	})
}

// Where announcements stay out Postgres is asked: about all who wait, again and
// again.
func TestLostAnnouncements(t *testing.T) {
	t.Parallel()
	inFakeTime(t, func(w *timeless) {
		one := w.await(1, id(1), 0)
		w.pass(quiet / 2)
		two, third := w.await(2, id(2), 0), w.await(3, id(3), 0)
		twice := w.await(2, id(2), 0)
		w.take(row(2), poison(3))
		w.pass(quiet / 2)
		w.is(two, row(2), quiet/2)
		w.is(twice, row(2), quiet/2)
		w.is(third, poison(3), quiet/2)
		w.open(one)
		w.pass(quiet)
		w.open(one)
		w.take(row(1))
		w.pass(quiet)
		w.is(one, row(1), 3*quiet)
		w.were([]uint64{1, 2, 3}, []uint64{1}, []uint64{1})
		w.pass(time.Minute)
		w.were([]uint64{1, 2, 3}, []uint64{1}, []uint64{1}) // nobody waits, nobody asks
	})
}

// A hole between announcements is no row, and what was heard before it counts
// no more.
func TestHoleBetweenAnnouncements(t *testing.T) {
	t.Parallel()
	inFakeTime(t, func(w *timeless) {
		w.commits("a", 1, 4, true)
		lost := w.await(6, id(6), 0)
		w.commits("a", 8, 9, true)
		w.open(lost)
		w.is(w.await(8, id(8), 0), row(8), 0)
		w.were()
		early := w.await(2, id(2), 0)
		w.were([]uint64{2})
		w.take(row(2), row(6))
		w.pass(quiet)
		w.is(early, row(2), quiet)
		w.is(lost, row(6), quiet)
	})
}

// A batch with anything but rows has Postgres asked once, at once, for those
// who wait for it, and for those who come later.
func TestCarefulAnnouncements(t *testing.T) {
	t.Parallel()
	inFakeTime(t, func(w *timeless) {
		repeat := message.Receipt{Seq: 4, State: message.Duplicate, Of: 3, ID: id(4)}
		good, bad, again, next := w.await(2, id(2), 0), w.await(3, id(3), 0), w.await(4, id(4), 0), w.await(5, id(5), 0)
		w.take(row(2), poison(3), repeat, row(6))
		w.commits("a", 1, 4, false)
		w.is(good, row(2), 0)
		w.is(bad, poison(3), 0)
		w.is(again, repeat, 0)
		w.open(next)
		w.were([]uint64{2, 3, 4})
		w.is(w.await(3, id(3), 0), poison(3), 0)
		w.were([]uint64{2, 3, 4}, []uint64{3})
		w.commits("a", 5, 5, true)
		w.is(next, row(5), 0)
		w.is(w.await(5, id(5), 0), row(5), 0)
		w.were([]uint64{2, 3, 4}, []uint64{3})
	})
}

// A stream that was made anew has its numbers from 1 again: what is known of
// the old one says nothing of what was sent since.
func TestAnotherIncarnation(t *testing.T) {
	t.Parallel()
	inFakeTime(t, func(w *timeless) {
		w.commits("old", 1, 9, true)
		old := row(5)
		old.ID = "somebody else's"
		w.take(old)
		floor := w.Cursor("S")
		got := w.await(5, id(5), floor)
		w.open(got)
		w.were([]uint64{5}) // at once
		w.pass(10 * quiet)
		w.open(got)
		w.take(row(5))
		asked := len(w.questions())
		w.commits("new", 1, 6, true)
		w.is(got, row(5), 10*quiet) // asked at once, not believed
		if n := len(w.questions()); n != asked+1 {
			t.Errorf("%d questions for an announcement at the floor", n-asked)
		}
		if w.Cursor("S") != 6 {
			t.Errorf("the cursor is at %d", w.Cursor("S"))
		}
		// Of the old one nothing is known any more; it does not go on in the new one.
		w.take(message.Receipt{Seq: 8, State: message.Stored, ID: "somebody else's"})
		beyond := w.await(8, id(8), 6)
		w.commits("another", 7, 7, true)
		w.open(beyond)
		w.is(w.await(7, id(7), 6), row(7), 0)
		behind := w.await(6, id(6), 0)
		w.open(behind) // in "another", 6 was not announced
		w.take(row(6), row(8))
		w.pass(quiet)
		w.is(behind, row(6), quiet)
		w.is(beyond, row(8), quiet)
	})
}

// A message that JetStream knew already is asked for at once.
func TestKnownToJetStream(t *testing.T) {
	t.Parallel()
	inFakeTime(t, func(w *timeless) {
		w.commits("a", 1, 9, true)
		w.take(row(3))
		w.is(w.await(3, id(3), math.MaxUint64), row(3), 0)
		w.were([]uint64{3})
		pending := w.await(10, id(10), math.MaxUint64)
		w.open(pending)
		w.take(poison(10))
		w.commits("a", 10, 10, false)
		w.is(pending, poison(10), 0)
		w.were([]uint64{3}, []uint64{10}, []uint64{10})
	})
}

// Another message's receipt under the same number is no answer, whatever it
// says, and each of two who wait for one number gets his own.
func TestAnotherMessagesReceipt(t *testing.T) {
	t.Parallel()
	inFakeTime(t, func(w *timeless) {
		for seq, state := range []message.State{message.Stored, message.DeadLettered, message.Duplicate, message.Gap} {
			w.take(message.Receipt{Seq: uint64(seq + 1), State: state, ID: "another", Reason: "r"})
		}
		var all []*awaited
		for seq := uint64(1); seq <= 4; seq++ {
			all = append(all, w.await(seq, id(seq), 0))
		}
		other := w.await(1, "another", 0)
		w.pass(quiet)
		w.is(other, message.Receipt{Seq: 1, State: message.Stored, ID: "another", Reason: "r"}, quiet)
		for _, got := range all {
			w.open(got)
		}
		w.commits("a", 1, 4, true)
		for i, got := range all {
			w.is(got, row(uint64(i+1)), quiet)
		}
	})
}

// A Postgres that is away is asked less and less often, at most once a second,
// and answers when it is back.
func TestPostgresAway(t *testing.T) {
	t.Parallel()
	inFakeTime(t, func(w *timeless) {
		w.outage(errors.New("away"))
		began := time.Now()
		got := w.await(1, id(1), 0)
		w.pass(4500 * time.Millisecond)
		w.take(row(1))
		w.outage(nil)
		urgent := w.await(2, id(2), math.MaxUint64) // no reason to ask sooner
		w.open(got)
		w.pass(500 * time.Millisecond)
		w.is(got, row(1), 5*time.Second)
		w.take(row(2))
		w.pass(quiet)
		w.is(urgent, row(2), 500*time.Millisecond+quiet)
		var at []time.Duration
		for _, when := range w.at {
			at = append(at, when.Sub(began))
		}
		ms := time.Millisecond
		if diff := cmp.Diff([]time.Duration{250 * ms, 500 * ms, 1000 * ms, 2000 * ms, 3000 * ms, 4000 * ms, 5000 * ms, 5250 * ms}, at); diff != "" {
			t.Error(diff)
		}
		// The next outage begins anew.
		w.outage(errors.New("away again"))
		asked := len(w.questions())
		last := w.await(3, id(3), 0)
		w.pass(2 * quiet)
		if n := len(w.questions()) - asked; n != 2 {
			t.Errorf("%d questions in the first half second", n)
		}
		w.commits("a", 3, 3, true) // an announcement needs no Postgres
		w.is(last, row(3), 2*quiet)
	})
}

// Who waits no longer is forgotten, and an answer that is there counts though
// time is up.
func TestWaitEnds(t *testing.T) {
	t.Parallel()
	inFakeTime(t, func(w *timeless) {
		got := w.await(1, id(1), 0)
		other := w.await(1, id(1), 0)
		w.pass(time.Minute)
		w.await(1, id(1), 0)
		w.pass(time.Minute)
		if got := got.get(); !got.done || !errors.Is(got.err, context.DeadlineExceeded) || got.after != 2*time.Minute || !other.get().done {
			t.Errorf("%+v", got)
		}
		if n := len(w.tracks["S"].waiters[1]); n != 1 {
			t.Errorf("%d wait, want the last one", n)
		}
		w.commits("a", 1, 2, true)
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		if r, err := w.Await(ctx, "S", 2, id(2), 0); err != nil || r != row(2) {
			t.Errorf("%+v, %v", r, err)
		}
		if _, err := w.Await(ctx, "S", 3, id(3), 0); !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
	})
}

// Many who wait share questions, one at a time, of a bounded size.
func TestManyWait(t *testing.T) {
	t.Parallel()
	inFakeTime(t, func(w *timeless) {
		const many = 2*askAtOnce + 500
		w.takes = 400 * time.Millisecond
		var all []*awaited
		for seq := uint64(1); seq <= many; seq++ {
			got := &awaited{}
			all = append(all, got)
			w.waiting.Go(func() {
				r, err := w.Await(context.Background(), "S", seq, id(seq), 0)
				got.set(outcome{r, err, 0, true})
			})
			if seq%2 == 0 {
				w.take(row(seq))
			}
		}
		synctest.Wait()
		w.pass(quiet + 3*w.takes)
		for i, one := range all {
			if got := one.get(); got.done != (i%2 == 1) || got.done && got.Receipt != row(uint64(i+1)) {
				t.Fatalf("%d: %+v", i+1, got)
			}
		}
		for _, asked := range w.questions() {
			if len(asked) > askAtOnce {
				t.Errorf("%d sequences in one question", len(asked))
			}
		}
		w.commits("a", 1, many, true)
		w.waiting.Wait()
		if w.most != 1 {
			t.Errorf("%d questions at the same time", w.most)
		}
	})
}

// A commit that comes while Postgres answers the question before it is asked
// about again.
func TestCommitDuringAQuestion(t *testing.T) {
	t.Parallel()
	inFakeTime(t, func(w *timeless) {
		w.takes = 10 * time.Millisecond
		got := w.await(2, id(2), 5)
		w.pass(5 * time.Millisecond)
		w.commits("a", 1, 2, false)
		w.pass(5 * time.Millisecond)
		w.take(row(2))
		w.pass(10 * time.Millisecond)
		w.is(got, row(2), 20*time.Millisecond)
	})
}

// Over a real server every node hears of every commit.
func TestNodesHearOfCommits(t *testing.T) {
	t.Parallel()
	s := startServer(t)
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	var all errgroup.Group
	var nodes []*Receipts
	l := newLedger()
	for range 3 {
		nc := connect(t, s)
		r := newReceipts(t, nc, l)
		nodes = append(nodes, r)
		all.Go(func() error { return r.Run(ctx) })
	}
	seq := uint64(0)
	commit := func(rows, dead, duplicates int) {
		seq += uint64(rows + dead + duplicates)
		nodes[0].Announce("S", message.Outcome{Cursor: message.Cursor{Incarnation: "a", Seq: seq}, Rows: rows, DeadLetters: dead, Duplicates: duplicates})
	}
	for _, r := range nodes {
		eventually(t, "a node hears", func() bool { commit(1, 0, 0); return r.Cursor("S") > 0 })
	}
	floor := seq
	for i := uint64(1); i <= 6; i++ {
		l.take(row(floor + i)) // for who comes to ask behind the careful commit
	}
	l.take(poison(floor + 4))
	ctx, cancel := context.WithTimeout(ctx, 15*time.Second)
	defer cancel()
	var waits errgroup.Group
	for _, r := range nodes {
		waits.Go(func() error {
			for i := uint64(1); i <= 6; i++ {
				want := row(floor + i)
				if i == 4 {
					want = poison(floor + i)
				}
				got, err := r.Await(ctx, "S", floor+i, id(floor+i), floor)
				if err != nil || got != want {
					return fmt.Errorf("%+v, %w; want %+v", got, err, want)
				}
			}
			return nil
		})
	}
	commit(3, 0, 0)
	commit(0, 1, 0)
	commit(2, 0, 0)
	if err := waits.Wait(); err != nil {
		t.Error(err)
	}
	if n := nodes[0].Cursor("T"); n != 0 {
		t.Errorf("stream T is at %d", n)
	}
	stop()
	if err := all.Wait(); err != nil {
		t.Errorf("stopped with %v", err)
	}
}

func TestReceiptsByQuestion(t *testing.T) {
	t.Parallel()
	l := newLedger()
	l.take(row(1), poison(2), row(3), poison(4))
	r := newReceipts(t, connect(t, startServer(t)), l)
	if got, err := r.Receipt(t.Context(), "S", 2); err != nil || got != poison(2) {
		t.Errorf("%+v, %v", got, err)
	}
	var rejected []message.Receipt
	err := r.Unstored(t.Context(), "S", 1, 3, func(r message.Receipt) { rejected = append(rejected, r) })
	if err != nil || !slices.Equal(rejected, []message.Receipt{poison(2)}) {
		t.Errorf("%+v, %v", rejected, err)
	}
	l.outage(errors.New("away"))
	if _, err := r.Receipt(t.Context(), "S", 2); !errors.Is(err, l.away) {
		t.Error(err)
	}
	if n := r.Cursor("X"); n != 0 {
		t.Error(n)
	}
	_, err1 := r.Receipt(t.Context(), "X", 1)
	_, err2 := r.Await(t.Context(), "X", 1, "", 0)
	err3 := r.Unstored(t.Context(), "X", 1, 2, nil)
	for _, err := range []error{err1, err2, err3} {
		if err == nil {
			t.Error("an answer about a stream that does not exist")
		}
	}
}

func TestAnnouncementsOfNothing(t *testing.T) {
	t.Parallel()
	r := newReceipts(t, connect(t, startServer(t)), newLedger())
	for _, said := range []string{
		``, `{`, `[]`, `{}`, `{"stream":"X","incarnation":"a","from":1,"to":2,"clean":true}`,
		`{"stream":"S","from":1,"to":2,"clean":true}`, `{"stream":"S","incarnation":"a","from":0,"to":2}`,
		`{"stream":"S","incarnation":"a","from":3,"to":2}`, `{"stream":"S","incarnation":"a","from":-1,"to":2}`,
		`{"stream":"S","incarnation":"a","from":1,"to":18446744073709551615}`,
	} {
		if err := r.hear([]byte(said)); err == nil {
			t.Errorf("%q was taken for an announcement", said)
		}
	}
	if n := r.Cursor("S"); n != 0 {
		t.Errorf("the cursor is at %d", n)
	}
	if err := r.hear([]byte(`{"stream":"S","incarnation":"a","from":1,"to":2,"of a later version":1}`)); err != nil || r.Cursor("S") != 2 {
		t.Error(err)
	}
}

func TestReceiptsRefuse(t *testing.T) {
	t.Parallel()
	nc := connect(t, startServer(t))
	for name, o := range map[string]ReceiptsOptions{
		"no connection":     {Cluster: "c", Ledger: newLedger()},
		"no ledger":         {Cluster: "c", Conn: nc},
		"cluster of tokens": {Cluster: "a.b", Conn: nc, Ledger: newLedger()},
		"stream of all":     {Cluster: "c", Conn: nc, Ledger: newLedger(), Streams: []string{"*"}},
	} {
		if _, err := NewReceipts(o); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	closed := connect(t, startServer(t))
	r := newReceipts(t, closed, newLedger())
	closed.Close()
	if err := r.Run(t.Context()); err == nil {
		t.Error("runs on a closed connection")
	}
	r.Announce("S", message.Outcome{Cursor: message.Cursor{Incarnation: "a", Seq: 1}, Rows: 1}) // nobody hears it
}
