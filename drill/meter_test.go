package drill

import (
	"testing"
	"time"
)

func TestStillness(t *testing.T) {
	t.Parallel()
	at := func(ms int) time.Time { return time.Unix(1000, 0).Add(time.Duration(ms) * time.Millisecond) }
	var s stillness
	for _, look := range []struct {
		ms      int
		value   int64
		waiting bool
		longest time.Duration // in ms
	}{
		{0, 0, true, 0},
		{10, 0, true, 10},   // nothing moves from the beginning
		{20, 5, true, 10},   // it moves
		{500, 5, false, 10}, // nothing waits: a pause of the publishers is no silence
		{510, 5, true, 10},
		{700, 5, true, 200}, // it counts from when something waited
		{710, 9, true, 200},
		{760, 9, true, 200},
		{900, 3, true, 200}, // less is no progress
		{990, 3, true, 280},
		{999, 4, true, 280},
	} {
		s.look(look.value, look.waiting, at(look.ms))
		if s.longest != look.longest*time.Millisecond {
			t.Errorf("at %d ms: %s, not %d ms", look.ms, s.longest, look.longest)
		}
	}
}
