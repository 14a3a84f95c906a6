package producer

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/nats-io/nats.go"
	"pgregory.net/rapid"
)

func TestSend(t *testing.T) {
	t.Parallel()
	times := func(n int, e ...event) []event { return slices.Repeat(e, n) }
	for name, c := range map[string]struct {
		events  []event
		items   int
		err     error
		acked   uint64
		refused uint64
		within  time.Duration
	}{
		"nothing":                       {items: 0},
		"at once":                       {items: 3000, acked: 3000, within: 100 * time.Millisecond},
		"a leader that died":            {events: append(times(20, lost), ack), items: 50, acked: 50, within: 1200 * time.Millisecond},
		"a leader that died, one acked": {events: append([]event{ack, lost, storedLost}, ack), items: 3, acked: 3, within: 1200 * time.Millisecond},
		"an election":                   {events: append(times(32, nobody), unavailable, unavailable, ack), items: 30, acked: 30, within: 800 * time.Millisecond},
		"a broken connection":           {events: append(times(2, storedBroken, disconnected), ack), items: 30, acked: 30, within: 500 * time.Millisecond},
		"being decided":                 {events: append(times(30, inProcess), ack), items: 30, acked: 30, within: 500 * time.Millisecond},
		"late answers":                  {events: append(times(30, late), ack), items: 30, acked: 30, within: 1500 * time.Millisecond},
		"late refusals":                 {events: append(times(30, lateFull), ack), items: 30, acked: 30, within: 1500 * time.Millisecond},
		"strangers beside":              {events: []event{andOther}, items: 3000, acked: 3000, within: 100 * time.Millisecond},
		"two answers":                   {events: []event{twice}, items: 3000, acked: 3000, within: 100 * time.Millisecond},
		"some too large":                {events: append(times(3, ack, oversize), ack), items: 10, acked: 7, refused: 3, within: 100 * time.Millisecond},
		"full":                          {events: append(times(5, ack), full), items: 10, err: errStreamFull, acked: 5, within: 10100 * time.Millisecond},
		"no answer":                     {events: []event{storedLost}, items: 10, err: errNoQuorum, within: 10 * time.Second},
		"strangers alone":               {events: []event{elsewhere}, items: 10, err: errStranger, within: 10 * time.Second},
		"a sealed stream":               {events: []event{ack, sealed}, items: 10, err: errRefused, acked: 1, within: 100 * time.Millisecond},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				w, room := &laneWorld{events: c.events, latency: 2 * time.Millisecond}, &cell{}
				start := time.Now()
				got, err := w.sendTo(t.Context(), New(Options{Streams: theStreams}), room, &listed{items: numbered(c.items)})
				if !errors.Is(err, c.err) || c.err == nil && err != nil {
					t.Errorf("error %v, want %v", err, c.err)
				}
				if got.acked != c.acked || got.refused != c.refused || got.duplicates != 0 {
					t.Errorf("%+v", got)
				}
				if took := time.Since(start); took > c.within {
					t.Errorf("took %v, expected %v at most", took, c.within)
				}
				if err == nil && got.through != uint64(c.items) {
					t.Errorf("through %d", got.through)
				}
				if err := errors.Join(room.check(), w.inOrder()); err != nil {
					t.Error(err)
				}
			})
		})
	}
}

// inOrder tells whether each attempt was in the batch's order, and began
// after the one before.
func (w *laneWorld) inOrder() error {
	for i := 1; i < len(w.seen); i++ {
		a, b := w.seen[i-1], w.seen[i]
		if b.attempt < a.attempt || b.attempt == a.attempt && b.pos <= a.pos {
			return fmt.Errorf("sent %+v after %+v", b, a)
		}
	}
	return nil
}

// Whatever happens, what is counted is in the stream, once and as it was sent.
func TestSendNeverLies(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		events := rapid.SliceOfN(rapid.Map(rapid.IntRange(0, int(lastOfLane)), func(i int) event { return event(i) }), 0, 60).Draw(rt, "events")
		calm := rapid.Bool().Draw(rt, "ends well")
		if calm {
			events = append(events, ack)
		}
		count := rapid.IntRange(0, 80).Draw(rt, "items")
		sent := numbered(count)
		w := &laneWorld{
			events:  events,
			latency: time.Duration(rapid.IntRange(0, 50).Draw(rt, "latency")) * time.Millisecond,
			lag:     rapid.IntRange(0, 10).Draw(rt, "lag"),
			every:   rapid.IntRange(0, 5).Draw(rt, "every"),
			broken:  rapid.IntRange(0, 5).Draw(rt, "broken reads"),
		}
		fate := make([]string, count)
		for i := range sent {
			fate[i] = rapid.SampledFrom([]string{"new", "new", "new", "there", "reused", "refused", "made"}).Draw(rt, "fate")
			switch fate[i] {
			case "there":
				w.put(sent[i].m)
			case "reused":
				other := *sent[i].m
				other.data = []byte("another")
				w.put(&other)
			case "refused":
				sent[i] = item{n: sent[i].n, err: errLine}
			case "made":
				sent[i].m.made = true
			}
		}
		before := len(w.stored)
		room := &cell{maxMessages: rapid.IntRange(0, 20).Draw(rt, "room"), maxBytes: rapid.IntRange(0, 1000).Draw(rt, "bytes")}
		in := &listed{items: sent}
		if rapid.IntRange(0, 4).Draw(rt, "cut") == 0 {
			in.end = io.ErrUnexpectedEOF
		}
		rings := rapid.SliceOfN(rapid.IntRange(0, 5000), 0, 3).Draw(rt, "bell")
		breaks := rapid.SliceOfN(rapid.IntRange(0, 5000), 0, 3).Draw(rt, "breaks")
		var got tally
		var err error
		synctest.Test(t, func(t *testing.T) {
			w.status = make(chan nats.Status, len(breaks))
			d := New(Options{Streams: theStreams})
			for _, ms := range rings {
				defer time.AfterFunc(time.Duration(ms)*time.Millisecond, d.bells["MESSAGES"].ring).Stop()
			}
			for i, ms := range breaks {
				s := []nats.Status{nats.RECONNECTING, nats.CONNECTED}[i%2]
				defer time.AfterFunc(time.Duration(ms)*time.Millisecond, func() { w.status <- s }).Stop()
			}
			got, err = w.sendTo(t.Context(), d, room, in)
		})
		whole := errors.Join(room.check(), w.inOrder(), w.check(got, sent, fate, before))
		if err == nil || in.end != nil && errors.Is(err, in.end) {
			whole = errors.Join(whole, checkAll(got, fate))
		} else if calm || refusalOf(err).status != 503 {
			whole = errors.Join(whole, fmt.Errorf("error %w", err))
		}
		if err == nil && in.end != nil {
			whole = errors.Join(whole, errors.New("told nothing of the cut"))
		}
		if whole != nil {
			rt.Fatal(whole)
		}
	})
}

// check that the tally is true of the world, how ever the batch ended.
func (w *laneWorld) check(got tally, sent []item, fate []string, before int) error {
	own, there, refused := uint64(0), uint64(0), uint64(0)
	last := -1 // place of the last new one that was sent once
	var firsts [][2]int
	for i, it := range sent {
		if fate[i] == "refused" || fate[i] == "reused" {
			refused++
			continue
		}
		at, ok := w.ids[it.m.id]
		switch {
		case !ok && uint64(i) < got.through:
			return fmt.Errorf("through %d, but %d is not there", got.through, it.n)
		case !ok:
			continue
		case string(w.stored[at].Data) != string(it.m.data):
			return fmt.Errorf("%d is there as %q", it.n, w.stored[at].Data)
		}
		own++
		if fate[i] == "there" {
			there++
		} else {
			firsts = append(firsts, [2]int{i, at})
		}
	}
	if own < got.acked || there < got.duplicates || refused < got.refused {
		return fmt.Errorf("%d of ours there, %d from before, %d to be refused, but %+v", own, there, refused, got)
	}
	for _, p := range got.problems {
		want := map[string]error{"refused": errLine, "reused": errKeyReused}[fate[p.n-1]]
		if want == nil || !errors.Is(p.err, want) {
			return fmt.Errorf("%d is refused with %w", p.n, p.err)
		}
	}
	if !slices.IsSortedFunc(got.problems, func(a, b refusedItem) int { return int(a.n) - int(b.n) }) {
		return fmt.Errorf("problems in disorder: %v", got.problems)
	}
	if w.repeated() {
		return nil
	}
	for _, f := range firsts {
		if f[1] < last {
			return fmt.Errorf("%d is out of order", f[0]+1)
		}
		last = f[1]
	}
	return nil
}

func (w *laneWorld) repeated() bool {
	return slices.ContainsFunc(w.seen, func(t tag) bool { return t.attempt > 1 })
}

// checkAll checks the tally of a batch of which everything was settled.
func checkAll(got tally, fate []string) error {
	var acked, refused uint64
	for _, f := range fate {
		if f == "refused" || f == "reused" {
			refused++
		} else {
			acked++
		}
	}
	if got.acked != acked || got.refused != refused || got.through != uint64(len(fate)) || len(got.problems) != int(refused) {
		return fmt.Errorf("%d acked and %d refused expected, got %+v", acked, refused, got)
	}
	return nil
}

// While the client is slow to send the next line, acknowledgements are taken.
func TestSendSlowItems(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w, room := &laneWorld{latency: time.Millisecond}, &cell{}
		in := &paced{listed: listed{items: numbered(5)}, before: func() {
			time.Sleep(time.Minute) //nolint:forbidigo // in the bubble's time
			if err := room.check(); err != nil {
				t.Error("after a minute:", err)
			}
		}}
		if got, err := w.sendTo(t.Context(), New(Options{Streams: theStreams}), room, in); err != nil || got.acked != 5 {
			t.Error(got, err)
		}
	})
}

type paced struct {
	listed
	before func()
}

func (p *paced) next() (item, error) {
	p.before()
	return p.listed.next()
}

// What an earlier attempt is refused with, when the next one is under way, is
// no news.
func TestSendIgnoresOldRefusals(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := &laneWorld{events: append(slices.Repeat([]event{lateFull}, 10), ack), latency: 500 * time.Millisecond}
		got, err := w.sendTo(t.Context(), New(Options{Streams: theStreams}), hall{}, &listed{items: numbered(10)})
		if err != nil || got.acked != 10 || w.seen[len(w.seen)-1].attempt != 2 {
			t.Error(got, err, w.seen)
		}
	})
}

// When the connection breaks while a batch goes back, nothing overtakes.
func TestSendNothingOvertakes(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := &laneWorld{events: append(slices.Repeat([]event{lost}, 10), ack, ack, disconnected, ack)}
		if got, err := w.sendTo(t.Context(), New(Options{Streams: theStreams}), hall{}, &listed{items: numbered(10)}); err != nil || got.acked != 10 {
			t.Error(got, err)
		}
		for i, m := range w.stored {
			if m.ID() != numbered(10)[i].m.id {
				t.Errorf("%s is at %d", m.ID(), m.Seq)
			}
		}
	})
}

// A stream that takes long for what is in flight, but goes on, is not sent it
// again.
func TestSendSlowStream(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w, room := &laneWorld{latency: time.Millisecond, pace: 20 * time.Millisecond}, &cell{}
		const count = 3 * windowMessages
		got, err := w.sendTo(t.Context(), New(Options{Streams: theStreams}), room, &listed{items: numbered(count)})
		if err != nil || got.acked != count || w.repeated() || room.mostMessages != windowMessages {
			t.Error(got, err, room.mostMessages)
		}
	})
}

// Large messages are few in flight, and one that is larger than the window
// goes alone.
func TestSendLargeMessages(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w, room := &laneWorld{latency: time.Millisecond}, &cell{}
		all := numbered(40)
		for i := range all {
			all[i].m.data = make([]byte, 1<<20-100)
		}
		all[20].m.data = make([]byte, 2*windowBytes)
		got, err := w.sendTo(t.Context(), New(Options{Streams: theStreams}), room, &listed{items: all})
		if err := errors.Join(err, room.check()); err != nil || got.acked != 40 || room.mostMessages != 4 {
			t.Error(got, err, room.mostMessages)
		}
	})
}

// A client that goes away ends its batch.
func TestSendClientGone(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w, room := &laneWorld{events: []event{ack, lost}}, &cell{}
		ctx, cancel := context.WithTimeout(t.Context(), 1500*time.Millisecond)
		defer cancel()
		start := time.Now()
		got, err := w.sendTo(ctx, New(Options{Streams: theStreams}), room, &listed{items: numbered(3000)})
		if !errors.Is(err, errClientGone) || got.acked != 1 || got.through != 1 {
			t.Error(got, err)
		}
		if took := time.Since(start); took != 1500*time.Millisecond {
			t.Errorf("went on for %v", took)
		}
		if err := room.check(); err != nil {
			t.Error(err)
		}
	})
}

// A connection that is closed for good ends the batch at once.
func TestSendClosed(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := &laneWorld{events: []event{lost}, status: make(chan nats.Status, 1)}
		w.status <- nats.CLOSED
		start := time.Now()
		_, err := w.sendTo(t.Context(), New(Options{Streams: theStreams}), &cell{}, &listed{items: numbered(3)})
		if !errors.Is(err, errStopping) || time.Since(start) > 0 {
			t.Error(err, time.Since(start))
		}
	})
}

// A new leader's announcement, or a connection that is there again, ends the
// waiting.
func TestSendWakes(t *testing.T) {
	t.Parallel()
	for name, wake := range map[string]func(d *Door, w *laneWorld){
		"new leader":     func(d *Door, _ *laneWorld) { d.bells["MESSAGES"].ring() },
		"new connection": func(_ *Door, w *laneWorld) { w.status <- nats.CONNECTED },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				w := &laneWorld{events: append(slices.Repeat([]event{lost}, 10), ack), status: make(chan nats.Status, 1)}
				d := New(Options{Streams: theStreams})
				defer time.AfterFunc(300*time.Millisecond, func() { wake(d, w) }).Stop()
				start := time.Now()
				got, err := w.sendTo(t.Context(), d, &cell{}, &listed{items: numbered(10)})
				if err != nil || got.acked != 10 || time.Since(start) != 300*time.Millisecond {
					t.Error(got, err, time.Since(start))
				}
			})
		})
	}
}

// A room in which nothing fits is no reason to wait for ever.
func TestSendNoRoom(t *testing.T) {
	t.Parallel()
	_, err := (&laneWorld{}).sendTo(t.Context(), New(Options{Streams: theStreams}), wall{}, &listed{items: numbered(3)})
	if !errors.Is(err, errBusy) {
		t.Error(err)
	}
}

type wall struct{ hall }

func (wall) take(int) bool { return false }
