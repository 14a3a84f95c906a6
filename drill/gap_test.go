package drill

import (
	"testing"
	"time"

	"pgregory.net/rapid"
)

var epoch = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

func at(ms int) time.Time { return epoch.Add(time.Duration(ms) * time.Millisecond) }

// heard is an entry offered and told at milliseconds.
func heard(offered, told int, o Outcome) Entry {
	return Entry{Offered: at(offered), Told: at(told), Outcome: o}
}

func longestGap(entries []Entry, end time.Time) time.Duration {
	var s silence
	for i := range entries {
		s.add(&entries[i])
	}
	return s.longest(end)
}

func TestLongestGap(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name    string
		entries []Entry
		end     int
		want    int
	}{
		{"nothing offered", nil, 1000, 0},
		{"one message", []Entry{heard(100, 130, Acked)}, 1000, 30},
		{"idle time is no gap", []Entry{heard(0, 5, Acked), heard(900, 903, Acked)}, 1000, 5},
		{"counted from the last ack while others wait", []Entry{heard(0, 10, Acked), heard(5, 200, Acked)}, 200, 190},
		{"all stall together", []Entry{heard(0, 500, Acked), heard(10, 500, Acked), heard(20, 501, Acked)}, 600, 500},
		{"a late ack measures from its schedule", []Entry{heard(0, 1, Acked), heard(2, 1500, Acked), heard(3, 1500, Acked)}, 1500, 1498},
		{"a refusal does not stop the clock", []Entry{heard(0, 10, Refused), heard(100, 110, Refused), heard(200, 210, Acked)}, 300, 210},
		{"given up, and nothing after", []Entry{heard(0, 10, Acked), heard(20, 720, Unknown)}, 5000, 700},
		{"never told counts to the end", []Entry{heard(0, 10, Acked), {Offered: at(20)}}, 420, 400},
		{"acked before it was due", []Entry{heard(50, 40, Acked)}, 100, 0},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			want := time.Duration(tc.want) * time.Millisecond
			if got := longestGap(tc.entries, at(tc.end)); got != want {
				t.Errorf("got %s, want %s", got, want)
			}
		})
	}
}

// A slow reading of the definition: step through every millisecond and count
// how long none was acknowledged although something had been offered.
func slowGap(entries []Entry, end int) time.Duration {
	longest, run := 0, 0
	running := false
	for ms := 0; ms <= end; ms++ {
		if running {
			run++
			longest = max(longest, run)
		}
		acked, open := false, 0
		for _, e := range entries {
			if e.Outcome == Acked && e.Told.Equal(at(ms)) {
				acked = true
			}
			if !e.Offered.After(at(ms)) && (e.Told.IsZero() || e.Told.After(at(ms))) {
				open++
			}
		}
		switch {
		case acked:
			run, running = 0, open > 0
		case !running:
			run, running = 0, open > 0
		}
	}
	return time.Duration(longest) * time.Millisecond
}

func TestLongestGapAgreesWithItsDefinition(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		const end = 120
		var entries []Entry
		for range rapid.IntRange(0, 8).Draw(t, "messages") {
			offered := rapid.IntRange(0, end-20).Draw(t, "offered")
			told := offered + rapid.IntRange(1, 20).Draw(t, "took")
			entries = append(entries, heard(offered, told, Acked))
		}
		if got, want := longestGap(entries, at(end)), slowGap(entries, end); got != want {
			t.Fatalf("got %s, want %s for %v", got, want, entries)
		}
	})
}
