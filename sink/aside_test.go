package sink

import (
	"log/slog"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"landfall/message"
)

// The log hears of the first dead letter at once, and of all, but not of each.
func TestDeadLetterLog(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &world{}
		log := slog.New(recorder{w})
		var a aside
		stored := func(bad int, seq uint64) {
			a.add(message.Outcome{DeadLetters: bad, Cursor: message.Cursor{Seq: seq}})
			a.tell(log)
		}
		stored(0, 1)
		stored(1, 2)
		for i := range 100 {
			stored(2, uint64(3+i))
			wait(t.Context(), time.Millisecond)
		}
		wait(t.Context(), tellAside)
		a.tell(log) // nothing came since
		a.tell(log)
		stored(3, 200) // too soon
		a.tellAll(log)
		a.tellAll(log)
		var got []string
		for _, l := range w.log {
			got = append(got, l.message)
		}
		if !slices.Equal(got, slices.Repeat([]string{"messages became dead letters"}, 3)) {
			t.Errorf("log %q, want three lines", got)
		}
	})
}
