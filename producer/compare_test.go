package producer

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

// Repeats are read by the run; what replicas lack, or return as another
// message, the leader is asked for; and doubt ends the batch.
func TestCompareRepeats(t *testing.T) {
	t.Parallel()
	const count = 3000
	for name, c := range map[string]struct {
		world  *laneWorld
		err    error
		acked  uint64
		reads  int // of single messages, at most
		ranges int
		within time.Duration
	}{
		"whole":               {world: &laneWorld{}, acked: count, ranges: 200},
		"a replica lags":      {world: &laneWorld{lag: 100}, acked: count, reads: 100, ranges: 200},
		"a replica has holes": {world: &laneWorld{every: 10}, acked: count, reads: count / 10, ranges: 200},
		"a replica is wrong":  {world: &laneWorld{foreign: true}, acked: count, reads: count, ranges: 200},
		"reads fail at first": {world: &laneWorld{broken: 5}, acked: count, reads: 260, ranges: 200, within: time.Second},
		"nothing can be read": {world: &laneWorld{broken: 1 << 30}, err: errUncompared, reads: 1000, ranges: 1, within: 10 * time.Second},
		"trimmed":             {world: &laneWorld{lag: count, trimmed: true}, err: errTrimmed, reads: 1, ranges: 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				w, room := c.world, &cell{}
				w.latency = time.Millisecond
				for _, it := range numbered(count) {
					w.put(it.m)
				}
				start := time.Now()
				got, err := w.sendTo(t.Context(), New(Options{Streams: theStreams}), room, &listed{items: numbered(count)})
				if !errors.Is(err, c.err) || c.err == nil && err != nil {
					t.Errorf("error %v, want %v", err, c.err)
				}
				if got.acked != c.acked || got.duplicates != c.acked || got.through != c.acked || got.refused != 0 {
					t.Errorf("%+v", got)
				}
				if took := time.Since(start); took > c.within+100*time.Millisecond {
					t.Errorf("took %v", took)
				}
				if w.reads > c.reads || w.ranges > c.ranges {
					t.Errorf("%d ranges and %d single messages were read", w.ranges, w.reads)
				}
				if err := room.check(); err != nil {
					t.Error(err)
				}
			})
		})
	}
}

// Nobody can have sent another message under an id made here.
func TestCompareNothingUnderMadeIDs(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := &laneWorld{events: []event{storedLost, ack}, broken: 1 << 30}
		all := numbered(3)
		for _, it := range all {
			it.m.made = true
		}
		if got, err := w.sendTo(t.Context(), New(Options{Streams: theStreams}), hall{}, &listed{items: all}); err != nil || got.acked != 3 || w.reads != 0 {
			t.Error(got, err)
		}
	})
}

// Among many messages of others a range is not read for each of ours.
func TestCompareScattered(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := &laneWorld{latency: time.Millisecond}
		for n, it := range numbered(1000) {
			w.put(it.m)
			for range n % 5 {
				w.put(lineOf("other", uint64(len(w.stored)), nil))
			}
		}
		got, err := w.sendTo(t.Context(), New(Options{Streams: theStreams}), hall{}, &listed{items: numbered(1000)})
		if err != nil || got.duplicates != 1000 || w.reads != 0 || w.ranges > 100 {
			t.Error(got, err, w.reads, w.ranges)
		}
	})
}
