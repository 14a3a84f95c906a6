package sink

import (
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"landfall/message"
)

func TestTrimTo(t *testing.T) {
	room := message.Stream{First: 1, Last: 100, Messages: 100, Bytes: 1000, MaxBytes: 10_000}
	full := message.Stream{First: 1, Last: 100, Messages: 100, Bytes: 9000, MaxBytes: 10_000}
	later := message.Stream{First: 50, Last: 149, Messages: 100, Bytes: 9000, MaxBytes: 10_000}
	tests := map[string]struct {
		st              message.Stream
		cursor, expired uint64
		want            uint64
	}{
		"nothing expired":                {room, 100, 0, 0},
		"some expired":                   {room, 100, 40, 40},
		"all expired":                    {room, 100, 100, 100},
		"expired beyond the cursor":      {room, 30, 100, 30},
		"nothing stored":                 {room, 0, 0, 0},
		"nothing stored, all expired":    {room, 0, 100, 0},
		"only the first stored":          {room, 1, 1, 0},
		"the first two stored":           {room, 2, 2, 2},
		"already gone":                   {later, 149, 40, 50 + 22 + 1},
		"already gone, with room":        {message.Stream{First: 50, Last: 149, Messages: 100, Bytes: 1, MaxBytes: 10}, 149, 50, 0},
		"crowded":                        {full, 100, 0, 1 + 22 + 1},
		"crowded, more than that is old": {full, 100, 60, 60},
		"crowded, little stored":         {full, 5, 0, 5},
		"crowded, nothing stored":        {full, 0, 0, 0},
		"crowded, cursor before first":   {later, 20, 0, 0},
		"empty":                          {message.Stream{First: 101, Last: 100, MaxBytes: 10}, 100, 100, 0},
		"without a limit":                {message.Stream{First: 1, Last: 9, Messages: 9, Bytes: 1 << 40}, 9, 0, 0},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			if got := trimTo(tt.st, tt.cursor, tt.expired); got != tt.want {
				t.Errorf("below %d, want %d", got, tt.want)
			}
		})
	}
}

func TestTrimToNeverTakesTooMuch(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		first := rapid.Uint64Range(1, 1<<40).Draw(t, "first")
		messages := rapid.Uint64Range(0, 10_000).Draw(t, "messages")
		size := rapid.Uint64Range(1, 100_000).Draw(t, "size")
		holes := rapid.Uint64Range(0, 100).Draw(t, "holes")
		st := message.Stream{First: first, Last: first + messages - 1, Messages: messages, Bytes: messages * size}
		if messages > 0 {
			st.Last += holes
		}
		st.MaxBytes = rapid.Int64Range(-1, int64(st.Bytes)*2+1).Draw(t, "max bytes")
		cursor := rapid.Uint64Range(0, st.Last+1000).Draw(t, "cursor")
		expired := rapid.Uint64Range(0, st.Last+2000).Draw(t, "expired")
		to := trimTo(st, cursor, expired)
		switch {
		case to == 0:
		case to == 1:
			t.Fatal("a purge below 1 may be taken for all")
		case to > cursor:
			t.Fatalf("below %d takes the message at the cursor %d, or what is not stored", to, cursor)
		case to <= st.First:
			t.Fatalf("below %d is nothing: the stream begins at %d", to, st.First)
		}
		if expired > st.First && cursor > st.First && to < min(expired, cursor) {
			t.Fatalf("below %d leaves some of what may go: %d expired, cursor %d", to, expired, cursor)
		}
	})
}

// Messages of one size, all stored: a trim gets the stream below the low
// mark, and takes no more than it must.
func TestTrimMakesRoom(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		first := rapid.Uint64Range(1, 1<<30).Draw(t, "first")
		messages := rapid.Uint64Range(20, 10_000).Draw(t, "messages")
		size := rapid.Uint64Range(1, 100_000).Draw(t, "size")
		st := message.Stream{First: first, Last: first + messages - 1, Messages: messages, Bytes: messages * size}
		st.MaxBytes = rapid.Int64Range(int64(st.Bytes), int64(st.Bytes)*2).Draw(t, "max bytes")
		to := trimTo(st, st.Last, 0)
		if !crowded(st) {
			if to != 0 {
				t.Fatalf("below %d though there is room", to)
			}
			return
		}
		left := float64((st.Last + 1 - to) * size)
		low := lowWater * float64(st.MaxBytes)
		if left > low || left < low-2*float64(size)-1 {
			t.Fatalf("%v bytes left, want just below %v", left, low)
		}
	})
}

func TestCrowded(t *testing.T) {
	tests := map[string]struct {
		st   message.Stream
		want bool
	}{
		"empty":         {message.Stream{MaxBytes: 100}, false},
		"at the mark":   {message.Stream{Messages: 1, Bytes: 80, MaxBytes: 100}, false},
		"past the mark": {message.Stream{Messages: 1, Bytes: 81, MaxBytes: 100}, true},
		"no limit":      {message.Stream{Messages: 1, Bytes: 81, MaxBytes: -1}, false},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			if got := crowded(tt.st); got != tt.want {
				t.Errorf("crowded: %v, want %v", got, tt.want)
			}
		})
	}
}

func TestScheduleFollowsTheWindow(t *testing.T) {
	for window, want := range map[time.Duration]time.Duration{
		0:                time.Second,
		5 * time.Second:  time.Second,
		5 * time.Minute:  15 * time.Second,
		72 * time.Hour:   time.Minute,
		10 * time.Minute: 30 * time.Second,
	} {
		if got := newSchedule(window).every; got != want {
			t.Errorf("a window of %v is looked at every %v, want %v", window, got, want)
		}
	}
}

// What has been stored for the replay window goes, not earlier, and never
// the message at the cursor.
func TestReplayWindow(t *testing.T) {
	inWorld(t, options{replayWindow: time.Minute}, func(t *testing.T, w *world) {
		w.publish(100)
		w.stores(t)
		w.pass(50 * time.Second)
		w.publish(100)
		w.stores(t)
		w.do(func() {
			if len(w.stream.purges) > 0 {
				t.Errorf("purged below %v within the replay window", w.stream.purges)
			}
		})
		w.pass(20 * time.Second)
		w.do(func() {
			if w.stream.first() != 100 {
				t.Errorf("after the window the stream begins at %d, want 100", w.stream.first())
			}
		})
		w.pass(time.Hour)
		w.do(func() {
			if w.stream.first() != 200 || len(w.stream.held) != 1 {
				t.Errorf("the stream begins at %d, want 200: the message at the cursor stays", w.stream.first())
			}
		})
	})
}

// What Postgres does not have stays, however old it is.
func TestNothingUnstoredIsTrimmed(t *testing.T) {
	inWorld(t, options{replayWindow: 10 * time.Second, maxBytes: 100_000}, func(t *testing.T, w *world) {
		w.publishSized(20, 1000)
		w.stores(t)
		w.pass(time.Minute)
		w.outage(true)
		taken := w.publishSized(200, 1000)
		if taken >= 200 {
			t.Fatal("the stream did not fill up")
		}
		w.pass(time.Hour)
		w.do(func() {
			if w.stream.first() > 20 {
				t.Errorf("the stream begins at %d, cursor 20", w.stream.first())
			}
		})
		w.outage(false)
		w.stores(t)
		w.until(t, "room", func() bool { return !crowded(w.stream.state()) })
	})
}

// Under steady load a small stream never refuses a message, whether it would
// be full in seconds or within the time between two looks at its size.
func TestHighWater(t *testing.T) {
	for name, load := range map[string]struct {
		messages   int
		every      time.Duration
		most       float64 // of the stream in use at the end
		fewest, up int     // purges
	}{
		"slow": {5, 50 * time.Millisecond, highWater + 0.05, 3, 40},
		"fast": {50, 20 * time.Millisecond, highWater + 0.10, 30, 500},
	} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, options{maxBytes: 1 << 20}, func(t *testing.T, w *world) {
				w.stores(t)
				for i := range 500 {
					if taken := w.publishSized(load.messages, 1000); taken < load.messages {
						t.Fatalf("round %d: the stream is full", i)
					}
					w.pass(load.every)
				}
				w.stores(t)
				w.do(func() {
					held := float64(w.stream.bytes) / float64(w.stream.maxBytes)
					if held < lowWater-0.02 || held > load.most {
						t.Errorf("%.0f %% of the stream is in use, want 70 to %.0f", 100*held, 100*load.most)
					}
					if n := len(w.stream.purges); n < load.fewest || n > load.up {
						t.Errorf("%d purges", n)
					}
				})
			})
		})
	}
}

// The stream is made anew while a trim waits for the cursor's lock: what was
// stored of the old one says nothing about the messages of the new one.
func TestRecreatedWhileTrimming(t *testing.T) {
	inWorld(t, options{replayWindow: 10 * time.Second}, func(t *testing.T, w *world) {
		w.publish(100)
		w.stores(t)
		var lock chan struct{}
		w.do(func() { lock = w.pg.rows[0].lock })
		w.pass(9 * time.Second)
		lock <- struct{}{}
		w.pass(3 * time.Second)
		w.recreate()
		w.publish(100)
		<-lock
		w.stores(t)
		w.pass(time.Second)
		w.do(func() {
			if len(w.stream.purges) > 0 {
				t.Errorf("the new stream was purged below %v", w.stream.purges)
			}
		})
	})
}

// The stream's tail is lost, and its numbers are given out again, while a trim
// waits for the cursor's lock.
func TestTailLostWhileTrimming(t *testing.T) {
	for name, grow := range map[string]int{"grown to the cursor": 20, "grown beyond": 40, "shorter": 10} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, options{replayWindow: 10 * time.Second}, func(t *testing.T, w *world) {
				w.publish(100)
				w.stores(t)
				var lock chan struct{}
				w.do(func() { lock = w.pg.rows[0].lock })
				w.pass(9 * time.Second)
				lock <- struct{}{}
				w.pass(2 * time.Second)
				w.cut(80)
				w.publish(grow)
				<-lock
				w.stores(t)
			})
		})
	}
}

// A stream that is not trimmed fills up: the log says so once, at once if it
// is the set-up, after a while if it may pass.
func TestTrimTroubleIsLogged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(options{})
		log := slog.New(recorder{w})
		moment := newSchedule(time.Hour)
		moment.failed(log, errAway)
		if n := w.loud(); n != 0 {
			t.Error("a moment's trouble is loud")
		}
		wait(t.Context(), trimPatience)
		moment.failed(log, errAway)
		moment.failed(log, errAway)
		if n := w.loud(); n != 1 {
			t.Errorf("lasting trouble was said %d times", n)
		}
		newSchedule(time.Hour).failed(log, &message.SetupError{Reason: "no right to delete"})
		if n := w.loud(); n != 2 {
			t.Error("a fault of the set-up waited")
		}
	})
}
